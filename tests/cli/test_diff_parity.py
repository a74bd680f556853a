"""The recipe of docs/recipes/diff.md: gradients that PyTorch computed and saved, beside gradcli's."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

Run = Callable[..., Any]

pytestmark = pytest.mark.parity

TARGET = 4
TOLERANCE = "1e-4"


@pytest.fixture
def pytorch_file(model_file: Path, batch_file: Path, tmp_path: Path) -> Path:
    """PyTorch's gradients of the same weights, images and loss, as its users save them."""
    torch = pytest.importorskip("torch")
    from reference.torch_resnet18 import resnet18
    from safetensors.torch import load_file

    model = resnet18(num_classes=10)
    model.load_state_dict(load_file(model_file))
    images = torch.from_numpy(np.load(batch_file))
    loss = torch.nn.functional.cross_entropy(model(images), torch.full((len(images),), TARGET))
    loss.backward()
    path = tmp_path / "pytorch.pt"
    torch.save({name: parameter.grad for name, parameter in model.named_parameters()}, path)
    return path


@pytest.fixture
def gradcli_file(gradcli: Run, model_file: Path, batch_file: Path) -> str:
    """gradcli's."""
    common = ("-w", model_file, "-i", batch_file, "--loss", "cross-entropy", "-t", TARGET)
    assert gradcli("grads", *common, "-o", "gradcli.safetensors").exit_code == 0
    return "gradcli.safetensors"


def test_pytorchs_gradients_agree_with_gradclis(gradcli: Run, pytorch_file: Path, gradcli_file: str) -> None:
    result = gradcli("diff", gradcli_file, pytorch_file, "--tolerance", TOLERANCE, "--json")
    assert result.exit_code == 0, result.stderr
    document = json.loads(result.stdout)
    assert (document["b"]["container"], len(document["tensors"])) == ("torch-zip", 62)
    assert document["overall"]["relative"] < 1e-5
    assert min(record["cosine"] for record in document["tensors"]) > 1 - 1e-8


def test_the_tensor_from_which_on_gradients_are_wrong_is_named(
    gradcli: Run, pytorch_file: Path, gradcli_file: str
) -> None:
    torch = pytest.importorskip("torch")
    gradients = torch.load(pytorch_file)
    for name in ("layer3.1.conv2.weight", "layer3.0.conv1.weight", "conv1.weight"):
        gradients[name] *= 1.01
    torch.save({"epoch": 3, "state_dict": {f"module.{name}": each for name, each in gradients.items()}}, "wrapped.pt")
    result = gradcli("diff", gradcli_file, "wrapped.pt", "--tolerance", TOLERANCE)
    assert result.exit_code == 6
    assert "3 beyond relative 0.0001; the first in backward order is layer3.1.conv2.weight (relative 0.0099" in (
        result.stderr
    )


def test_statistics_are_those_of_torch(gradcli: Run) -> None:
    torch = pytest.importorskip("torch")
    generator = torch.Generator().manual_seed(0)
    for dtype in (torch.float16, torch.bfloat16, torch.float32, torch.float64):
        b = torch.randn(40, 30, generator=generator).to(dtype)
        a = (b + 1e-2 * torch.randn(40, 30, generator=generator)).to(dtype)
        torch.save({"w": a}, "a.pt")
        torch.save({"w": b}, "b.pt")
        (record,) = json.loads(gradcli("diff", "a.pt", "b.pt", "--json").stdout)["tensors"]
        wide_a, wide_b = a.double().flatten(), b.double().flatten()
        assert record["dtype"] == str(dtype).removeprefix("torch.")
        assert record["max_abs"] == (wide_a - wide_b).abs().max().item()
        assert record["relative"] == pytest.approx(((wide_a - wide_b).norm() / wide_b.norm()).item(), rel=1e-12)
        assert record["cosine"] == pytest.approx(torch.cosine_similarity(wide_a, wide_b, dim=0).item(), abs=1e-12)
        assert record["differing"] == (a != b).sum().item()
