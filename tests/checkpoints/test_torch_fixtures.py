"""Files that PyTorch wrote (see write_fixtures.py) load bit for bit where there is no PyTorch."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from gradcli.checkpoints import load_checkpoint

FIXTURES = Path(__file__).parent / "fixtures"


@pytest.mark.parametrize(
    ("name", "container", "tensors", "metadata"),
    [
        ("torch_zip.pth", "torch-zip", 47, {}),
        ("torch_zip_protocol_4.pth", "torch-zip", 47, {"epoch": "3"}),
        ("torch_zip_big_endian.pth", "torch-zip", 13, {}),
        ("torch_legacy.pth", "torch-legacy", 47, {}),
        ("expected.npz", "npz", 47, {}),
    ],
)
def test_every_dtype_layout_and_tie(name: str, container: str, tensors: int, metadata: dict[str, str]) -> None:
    expected = np.load(FIXTURES / "expected.npz")
    checkpoint = load_checkpoint(FIXTURES / name)
    assert (checkpoint.container, checkpoint.metadata, checkpoint.ignored) == (container, metadata, ())
    assert len(checkpoint.tensors) == tensors
    for tensor, loaded in checkpoint.tensors.items():
        assert (loaded.dtype, loaded.shape) == (expected[tensor].dtype, expected[tensor].shape)
        assert loaded.tobytes() == expected[tensor].tobytes()
        stored_dtype = "float32" if tensor in ("parameter", "buffer") else tensor.split(".")[0]
        if container != "npz":  # which holds bfloat16 widened
            assert checkpoint.dtypes[tensor] == stored_dtype
