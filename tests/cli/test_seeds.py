"""`--seed`: the input and the labels are the tensors of the PyTorch script after `torch.manual_seed`, to the bit."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from safetensors.numpy import load_file

Run = Callable[..., Any]
Array = np.ndarray[Any, Any]


def pytorchs_numbers(seed: int, *shapes: tuple[int, ...]) -> list[Array]:
    """torch.rand of each shape after torch.manual_seed(seed): 24 bits of every word of the Mersenne Twister."""
    words, arrays = np.random.RandomState(seed), []
    for shape in shapes:
        drawn = words.randint(0, 2**32, shape, np.uint32) & np.uint32(0xFFFFFF)
        arrays.append((drawn * 2.0**-24).astype(np.float32))
    return arrays


def test_the_numbers_here_are_pytorchs() -> None:
    data, labels = pytorchs_numbers(0, (1, 3, 64, 64), (1, 1000))
    # torch.manual_seed(0); torch.rand(1, 3, 64, 64); torch.rand(1, 1000)
    assert data[0, 0, 0, :3].tolist() == [0.49625658988952637, 0.7682217955589294, 0.08847743272781372]
    assert hashlib.sha256(data.tobytes()).hexdigest()[:16] == "16f26362307b4146"
    assert hashlib.sha256(labels.tobytes()).hexdigest()[:16] == "22bb42bfe5d740dc"


@pytest.mark.parametrize(
    ("seed", "shape"), [(0, (1, 3, 64, 64)), (0, (2, 3, 33, 40)), (7, (1, 3, 64, 64))], ids=["default", "batch", "7"]
)
def test_a_step_with_a_seed_is_the_step_on_the_tensors_of_the_script(
    seed: int, shape: tuple[int, ...], gradcli: Run
) -> None:
    data, labels = pytorchs_numbers(seed, shape, (shape[0], 1000))
    np.save("data.npy", data)
    np.save("labels.npy", labels)
    drawn = ["--seed", seed] + ([] if shape == (1, 3, 64, 64) else ["--shape", ",".join(map(str, shape))])
    given = ["-i", "data.npy", "-t", "labels.npy", "--seed", 99]
    for loss in ("sum-difference", "mse"):
        records = []
        for name, source in (("drawn", drawn), ("given", given)):
            # Every element of the input moves the first layer, and with "mse" every label moves the last one.
            result = gradcli("step", *source, "--loss", loss, "--save", f"{name}.safetensors", "--json")
            assert result.exit_code == 0, result.stderr
            records.append({name: value for name, value in json.loads(result.stdout).items() if name != "seconds"})
        assert records[0] == records[1]
        assert Path("drawn.safetensors").read_bytes() == Path("given.safetensors").read_bytes()


def test_classes_drawn_for_a_seed_are_randints(gradcli: Run) -> None:
    words = np.random.RandomState(3)
    data = ((words.randint(0, 2**32, (2, 3, 40, 40), np.uint32) & np.uint32(0xFFFFFF)) * 2.0**-24).astype(np.float32)
    classes = words.randint(0, 2**32, 2, np.uint32) % 1000
    np.save("data.npy", data)
    np.save("classes.npy", classes.astype(np.int64))
    common = ("step", "--loss", "cross-entropy", "--save")
    assert gradcli(*common, "drawn.safetensors", "--seed", 3, "--shape", "2,3,40,40").exit_code == 0
    assert gradcli(*common, "given.safetensors", "-i", "data.npy", "-t", "classes.npy").exit_code == 0
    assert Path("drawn.safetensors").read_bytes() == Path("given.safetensors").read_bytes()


@pytest.mark.parity
@pytest.mark.parametrize("seed", [0, 5])
def test_parity_of_the_tutorials_script(seed: int, gradcli: Run) -> None:
    """The script's loss and its weights after the step, from nothing but seeds on both sides."""
    torch = pytest.importorskip("torch")
    from reference.torch_resnet18 import resnet18

    torch.manual_seed(0)
    model = resnet18()
    before = {name: parameter.detach().clone() for name, parameter in model.named_parameters()}
    torch.manual_seed(seed)
    data = torch.rand(1, 3, 64, 64)
    labels = torch.rand(1, 1000)
    prediction = model(data)
    loss = (prediction - labels).sum()
    loss.backward()
    torch.optim.SGD(model.parameters(), lr=1e-2, momentum=0.9).step()

    result = gradcli("step", "-w", "random:0", "--seed", seed, "--save", "after.safetensors", "--json")
    assert json.loads(result.stdout)["loss"] == pytest.approx(loss.item(), rel=1e-5)
    after = load_file("after.safetensors")
    for name, parameter in model.named_parameters():
        moved = (parameter - before[name]).detach().numpy()
        error = np.linalg.norm(after[name] - before[name].numpy() - moved) / np.linalg.norm(moved)
        # A single image in train mode has few digits, and one flipped ReLU moves 1e-2; other numbers move all of it.
        assert error < 0.05, name
