"""Reductions of truth values, where everything but zero is true. They never require gradients."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np

from gradcli.autograd.dtypes import Array
from gradcli.autograd.operation import op
from gradcli.ops.dims import Dims, canonical_dims

__all__ = [
    "all",
    "any",
    "count_nonzero",
]


@op(method=True, differentiable=False)
def all(input: Array, dim: Dims = None, keepdim: bool = False) -> Array:
    """Whether all elements, or all along `dim` (one or several, where none reduce nothing), are true.

    Bools; uint8 for uint8, as in PyTorch.
    """
    return _as_truth(np.all(input, axis=_axes(dim, input.ndim), keepdims=keepdim), input)


@op(method=True, differentiable=False)
def any(input: Array, dim: Dims = None, keepdim: bool = False) -> Array:
    """Whether any element, or any along `dim` (one or several, where none reduce nothing), is true.

    Bools; uint8 for uint8, as in PyTorch.
    """
    return _as_truth(np.any(input, axis=_axes(dim, input.ndim), keepdims=keepdim), input)


@op(method=True, differentiable=False)
def count_nonzero(input: Array, dim: Dims = None) -> Array:
    """How many elements, of all or along `dim` (one or several), are not zero; int64."""
    return np.asarray(np.count_nonzero(input, axis=canonical_dims(dim, input.ndim)), np.int64)


def _axes(dim: Dims, ndim: int) -> tuple[int, ...]:
    return () if isinstance(dim, Sequence) and not dim else canonical_dims(dim, ndim)


def _as_truth(result: Any, input: Array) -> Array:
    return np.asarray(result, np.uint8 if input.dtype == np.uint8 else np.bool_)
