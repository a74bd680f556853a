"""Dropout (Srivastava et al., 2014)."""

from __future__ import annotations

from typing import Any

import numpy as np

from gradcli.autograd.tensor import Tensor
from gradcli.ops.arguments import require_tensors
from gradcli.ops.random import default_generator

__all__ = [
    "dropout",
]


def dropout(input: Any, p: float = 0.5, training: bool = True, inplace: bool = False) -> Any:
    """Zero each element with probability p and scale the others by 1 / (1 - p); nothing outside training.

    Which elements are zeroed follows gradcli's own draws: PyTorch's can't be reproduced on the CPU. With `inplace` the
    result overwrites the input.
    """
    require_tensors("dropout", input=input)
    if not 0 <= p <= 1:
        raise ValueError(f"dropout probability has to be between 0 and 1, but got {p}")
    if not training or p == 0:
        return input
    dtype = input.array.dtype
    if dtype.kind != "f":
        raise RuntimeError(f"dropout: what is scaled by a fraction can't be kept as {dtype.name}")
    if p == 1:
        factors = np.zeros(tuple(input.shape), dtype)
    else:
        kept = default_generator.uniform(tuple(input.shape)) >= p
        factors = kept.astype(dtype) / dtype.type(1 - p)
    return input.mul_(Tensor(factors)) if inplace else input * Tensor(factors)
