"""What a checkpoint is described as."""

from __future__ import annotations

import hashlib
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from gradcli.checkpoints import TensorDescription, describe_checkpoint, load_checkpoint, save_safetensors
from gradcli.errors import WeightsError


def test_description_of_a_safetensors_file(tmp_path: Path) -> None:
    path = tmp_path / "w.safetensors"
    save_safetensors(path, {"a": np.array([[3.0, -4.0]], np.float32), "n": np.array(2)}, {"k": "v"})
    described = describe_checkpoint(load_checkpoint(path))
    assert described.container == "safetensors"
    assert described.path == path
    assert described.file_size == len(path.read_bytes())
    assert described.sha256 == hashlib.sha256(path.read_bytes()).hexdigest()
    assert described.elements == 3
    assert described.metadata == {"k": "v"}
    assert sorted(described.tensors, key=lambda tensor: tensor.name) == [
        TensorDescription("a", (1, 2), "float32", 5.0, 0),
        TensorDescription("n", (), "int64", 2.0, 0),
    ]


def test_norms_and_counts_of_special_values(tmp_path: Path) -> None:
    path = tmp_path / "w.safetensors"
    save_safetensors(
        path,
        {
            "nan": np.array([1.0, np.nan, np.inf]),
            "inf": np.array([1.0, -np.inf]),
            "half": np.full(4, 60000, np.float16),
            "huge": np.full(4, 1e200),
            "bool": np.array([True, True, True, True]),
            "empty": np.zeros((0, 3), np.float32),
        },
    )
    described = {tensor.name: tensor for tensor in describe_checkpoint(load_checkpoint(path)).tensors}
    assert np.isnan(described["nan"].norm)
    assert described["nan"].nonfinite == 2
    assert (described["inf"].norm, described["inf"].nonfinite) == (np.inf, 1)
    assert described["half"].norm == 2 * float(np.float16(60000))
    assert described["huge"].norm == np.inf
    assert described["bool"].norm == 2.0
    assert (described["empty"].norm, described["empty"].nonfinite) == (0.0, 0)


def test_the_dtype_described_is_the_files(torch_zip: Any) -> None:
    path = torch_zip.write({"w": torch_zip.whole(np.array([0x3F80], np.uint16), "BFloat16Storage"), "x": [1]})
    described = describe_checkpoint(load_checkpoint(path))
    assert described.tensors == (TensorDescription("w", (1,), "bfloat16", 1.0, 0),)
    assert described.ignored == ("x",)


def test_a_file_that_vanished_is_a_weights_error(tmp_path: Path) -> None:
    path = tmp_path / "w.safetensors"
    save_safetensors(path, {"w": np.zeros(1)})
    checkpoint = load_checkpoint(path)
    path.unlink()
    with pytest.raises(WeightsError, match="cannot be read"):
        describe_checkpoint(checkpoint)
