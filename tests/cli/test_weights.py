"""`gradcli weights`: inspect and convert."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from safetensors.numpy import load_file, save_file

Run = Callable[..., Any]


def test_inspect_tells_names_norms_and_checksum(gradcli_json: Run, model_file: Path) -> None:
    document = gradcli_json("weights", "inspect", model_file)
    assert document["schema"] == "gradcli.weights.inspect/1"
    assert (document["container"], document["path"]) == ("safetensors", str(model_file))
    assert document["sha256"] == hashlib.sha256(model_file.read_bytes()).hexdigest()
    assert len(document["tensors"]) == 122
    tensors = load_file(model_file)
    for record in document["tensors"]:
        array = tensors[record["name"]]
        assert record["shape"] == list(array.shape)
        assert record["norm"] == pytest.approx(float(np.linalg.norm(array.astype(np.float64).ravel())), rel=1e-9)


def test_a_converted_file_has_the_same_tensors(gradcli: Run, model_file: Path) -> None:
    result = gradcli("weights", "convert", model_file, "copy.safetensors", "--json")
    assert result.exit_code == 0
    record = json.loads(result.stdout)
    assert record["schema"] == "gradcli.weights.convert/1"
    assert record["destination_sha256"] == hashlib.sha256(Path("copy.safetensors").read_bytes()).hexdigest()
    before, after = load_file(model_file), load_file("copy.safetensors")
    assert {name: array.tobytes() for name, array in before.items()} == {
        name: array.tobytes() for name, array in after.items()
    }


@pytest.mark.parity
def test_a_pytorch_file_is_converted_and_used_as_it_is(gradcli: Run, gradcli_json: Run, model_file: Path) -> None:
    torch = pytest.importorskip("torch")
    tensors = {name: torch.from_numpy(array.copy()) for name, array in load_file(model_file).items()}
    torch.save(tensors, "ten.pth")
    assert gradcli("weights", "convert", "ten.pth", "ten.safetensors").exit_code == 0
    losses = {
        gradcli_json("step", "-w", path, "--shape", "2,3,32,32")["loss"]
        for path in ("ten.pth", "ten.safetensors", model_file)
    }
    assert len(losses) == 1


@pytest.mark.parametrize(
    ("arguments", "exit_code", "message"),
    [
        (["inspect", "none.safetensors"], 4, "none.safetensors: no such file"),
        (["convert", "none.pth", "out.safetensors"], 4, "none.pth: no such file"),
        (["convert", "text.pth", "out.safetensors"], 4, "text.pth: neither a safetensors file nor a zip file"),
        (["convert", "text.pth", "out.pth"], 2, "name it out.safetensors"),
    ],
    ids=lambda value: " ".join(value) if isinstance(value, list) else "",
)
def test_what_cannot_be_read_or_written(arguments: list[str], exit_code: int, message: str, gradcli: Run) -> None:
    Path("text.pth").write_text("this is no checkpoint")
    result = gradcli("weights", *arguments)
    assert (result.exit_code, result.stdout) == (exit_code, "")
    assert message in result.stderr
    assert result.stderr.count("\n") == 1
    assert [path.name for path in Path().iterdir()] == ["text.pth"]


def test_a_run_folder_stands_for_its_weights(gradcli: Run, gradcli_json: Run, model_file: Path) -> None:
    Path("run").mkdir()
    Path("run/model.safetensors").write_bytes(model_file.read_bytes())
    assert gradcli_json("weights", "inspect", "run")["path"] == "run/model.safetensors"
    Path("empty").mkdir()
    assert "a folder without model.safetensors" in gradcli("weights", "inspect", "empty").stderr


def test_weights_of_half_precision_are_said_to_be_widened(gradcli: Run, model_file: Path) -> None:
    halves = {
        name: array.astype(np.float16) if array.dtype == np.float32 else array
        for name, array in load_file(model_file).items()
    }
    save_file(halves, "half.safetensors")
    result = gradcli("step", "-w", "half.safetensors", "--shape", "2,3,32,32")
    assert result.stderr == "half.safetensors holds float16; computing in float32\n"
