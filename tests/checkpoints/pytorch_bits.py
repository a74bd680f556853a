"""Tensors of PyTorch to write into files, and to compare with what is loaded from them."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest


def assert_same_bits(loaded: np.ndarray[Any, Any], expected: Any) -> None:
    """Compare with a tensor of PyTorch, bfloat16 widened to float32."""
    torch = pytest.importorskip("torch")
    expected = expected.detach()
    reference = (expected.float() if expected.dtype == torch.bfloat16 else expected).contiguous().numpy()
    assert (loaded.dtype, loaded.shape) == (reference.dtype, reference.shape)
    assert loaded.tobytes() == reference.tobytes()


def sample(dtype: str) -> Any:
    """Four by six elements; of a floating-point dtype also a NaN, an infinity and a negative zero."""
    torch = pytest.importorskip("torch")
    torch.manual_seed(0)
    if dtype.startswith(("float", "bfloat")):
        values = torch.randn(4, 6, dtype=torch.float64)
        values[0, :3] = torch.tensor([float("nan"), float("inf"), -0.0])
        return values.to(getattr(torch, dtype))
    return torch.randint(0, 100, (4, 6)).to(getattr(torch, dtype))
