"""What a checkpoint is described as."""

from __future__ import annotations

import hashlib
import math
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
    assert described.tensors == (
        TensorDescription("a", (1, 2), "float32", 5.0, -4.0, 3.0, 0, 0, -0.5, math.sqrt(24.5), None),
        TensorDescription("n", (), "int64", 2.0, 2.0, 2.0, 0, 0, 2.0, math.nan, None),
    )
    assert described.dtypes == {"float32": 1, "int64": 1}
    assert (described.naming, described.prefix) == ("unknown", "")
    assert (described.ignored, described.shards) == ((), ())


def test_parameters_are_floating_point_and_no_running_statistics(tmp_path: Path) -> None:
    path = tmp_path / "w.safetensors"
    save_safetensors(
        path,
        {
            "module.layer1.0.conv1.weight": np.zeros((2, 3), np.float32),
            "module.layer1.0.bn1.weight": np.ones(2, np.float16),
            "module.layer1.0.bn1.bias": np.float32([1.5, -2.0]),
            "module.layer1.0.bn1.running_mean": np.full(2, np.nan),
            "module.layer1.0.bn1.running_var": np.ones(2, np.float32),
            "module.layer1.0.bn1.num_batches_tracked": np.array(5),
        },
        dtypes={"module.layer1.0.bn1.bias": "bfloat16"},
    )
    described = describe_checkpoint(load_checkpoint(path))
    assert (described.parameters, described.elements, described.nonfinite) == (10, 15, 2)
    assert described.dtypes == {"float32": 2, "float16": 1, "bfloat16": 1, "float64": 1, "int64": 1}
    assert (described.naming, described.prefix) == ("torchvision", "module.")


def test_statistics_of_more_than_one_block(tmp_path: Path) -> None:
    values = np.random.default_rng(0).standard_normal((7, 50_000)).astype(np.float32)
    values[0, :10], values[6, -1], values[3, 3] = 0, -99, 99
    path = tmp_path / "w.safetensors"
    save_safetensors(path, {"w": values})
    [tensor] = describe_checkpoint(load_checkpoint(path)).tensors
    assert tensor.norm == pytest.approx(np.linalg.norm(values.astype(np.float64)), rel=1e-14)
    assert (tensor.min, tensor.max, tensor.zeros, tensor.nonfinite) == (-99, 99, 10, 0)
    values[6, 100], values[0, 0] = np.inf, np.nan
    save_safetensors(path, {"w": values})
    [tensor] = describe_checkpoint(load_checkpoint(path)).tensors
    assert tensor.norm == pytest.approx(np.linalg.norm(values[np.isfinite(values)].astype(np.float64)), rel=1e-12)
    assert (tensor.min, tensor.max, tensor.zeros, tensor.nonfinite) == (-99, 99, 9, 2)
    assert tensor.first_nonfinite == (0, 0)


def test_norms_and_counts_of_special_values(tmp_path: Path) -> None:
    path = tmp_path / "w.safetensors"
    save_safetensors(
        path,
        {
            "nan": np.array([1.0, np.nan, np.inf]),
            "inf": np.array([1.0, -np.inf]),
            "none": np.array([np.nan, np.nan]),
            "half": np.full(4, 60000, np.float16),
            "huge": np.full(4, 1e200),
            "bool": np.array([True, True, True, True]),
            "empty": np.zeros((0, 3), np.float32),
        },
    )
    described = {tensor.name: tensor for tensor in describe_checkpoint(load_checkpoint(path)).tensors}
    assert (described["nan"].norm, described["nan"].nonfinite, described["nan"].first_nonfinite) == (1.0, 2, (1,))
    assert (described["inf"].norm, described["inf"].nonfinite) == (1.0, 1)
    none = described["none"]
    assert np.isnan([none.norm, none.mean, none.std, none.min, none.max]).all()
    assert described["half"].norm == 2 * float(np.float16(60000))
    assert described["huge"].norm == np.inf
    assert (described["inf"].min, described["inf"].max) == (1.0, 1.0)
    assert described["bool"].norm == 2.0
    assert (described["empty"].norm, described["empty"].zeros, described["empty"].nonfinite) == (0.0, 0, 0)
    assert np.isnan([described["empty"].min, described["empty"].max]).all()


def test_the_dtype_described_is_the_files(torch_zip: Any) -> None:
    path = torch_zip.write({"w": torch_zip.whole(np.array([0x3F80, 0x3F80], np.uint16), "BFloat16Storage"), "x": [1]})
    described = describe_checkpoint(load_checkpoint(path))
    assert described.tensors == (TensorDescription("w", (2,), "bfloat16", 2**0.5, 1.0, 1.0, 0, 0, 1.0, 0.0, None),)
    assert described.ignored == ("x",)


def test_a_file_that_vanished_is_a_weights_error(tmp_path: Path) -> None:
    path = tmp_path / "w.safetensors"
    save_safetensors(path, {"w": np.zeros(1)})
    checkpoint = load_checkpoint(path)
    path.unlink()
    with pytest.raises(WeightsError, match="cannot be read"):
        describe_checkpoint(checkpoint)
