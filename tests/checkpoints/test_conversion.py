"""Converting weights files to safetensors."""

from __future__ import annotations

import hashlib
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from gradcli.checkpoints import convert_checkpoint, load_checkpoint, save_safetensors
from gradcli.errors import DataError, UsageError, WeightsError


def test_a_torch_file_becomes_safetensors(torch_zip: Any, tmp_path: Path) -> None:
    weight = np.arange(6, dtype=np.float16).reshape(2, 3)
    content = {
        "model": {
            "w": torch_zip.whole(weight, "HalfStorage"),
            "b": torch_zip.whole(np.array([0x3F80], np.uint16), "BFloat16Storage"),
        },
        "epoch": 7,
        "optimizer": {},
    }
    source, destination = torch_zip.write(content), tmp_path / "out.safetensors"
    conversion = convert_checkpoint(source, str(destination))
    checkpoint = load_checkpoint(destination)
    sha256 = hashlib.sha256(source.read_bytes()).hexdigest()
    assert checkpoint.metadata == {"epoch": "7", "source_sha256": sha256}
    assert checkpoint.dtypes == {"w": "float16", "b": "float32"}
    np.testing.assert_array_equal(checkpoint.tensors["w"], weight)
    np.testing.assert_array_equal(checkpoint.tensors["b"], np.float32([1.0]))
    assert (conversion.source, conversion.destination) == (source, destination)
    assert (conversion.container, conversion.tensors, conversion.elements) == ("torch-zip", 2, 7)
    assert conversion.source_sha256 == sha256
    assert conversion.destination_sha256 == hashlib.sha256(destination.read_bytes()).hexdigest()
    assert (conversion.widened, conversion.ignored) == (("b",), ("optimizer",))


def test_what_cannot_be_converted_leaves_nothing(torch_zip: Any, tmp_path: Path) -> None:
    source = torch_zip.write({"w": torch_zip.whole(np.ones(2, np.float32))})
    with pytest.raises(UsageError, match=r"name it out\.safetensors"):
        convert_checkpoint(source, tmp_path / "out.pth")
    with pytest.raises(DataError, match="does not exist"):
        convert_checkpoint(source, tmp_path / "missing" / "out.safetensors")
    with pytest.raises(WeightsError, match="no such file"):
        convert_checkpoint(tmp_path / "none.pth", tmp_path / "out.safetensors")
    assert list(tmp_path.iterdir()) == [source]


def test_the_source_is_not_overwritten(tmp_path: Path) -> None:
    path = tmp_path / "w.safetensors"
    save_safetensors(path, {"w": np.zeros(1)})
    before = path.read_bytes()
    with pytest.raises(UsageError, match="is the source itself"):
        convert_checkpoint(path, path)
    assert path.read_bytes() == before
