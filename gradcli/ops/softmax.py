"""Softmax, its logarithm, and the logarithm of a sum of exponentials: shifted by the largest, so without overflow."""

from __future__ import annotations

from typing import Any

import numpy as np

from gradcli.autograd.dtypes import Array, DType
from gradcli.autograd.operation import op, tensor_method
from gradcli.autograd.tensor import Tensor
from gradcli.kernels import memory
from gradcli.ops.arguments import require_kind
from gradcli.ops.conversion import converted
from gradcli.ops.dims import Dims, canonical_dim, canonical_dims
from gradcli.ops.exponential import exp
from gradcli.ops.promotion import as_floating
from gradcli.ops.reduction import sum, with_kept_dims

__all__ = [
    "log_softmax",
    "logsumexp",
    "softmax",
]


@op("LogSoftmaxBackward0")
def log_softmax_along(input: Array, dim: int) -> Array:
    """log(exp(input) / sum(exp(input))) along dim."""
    axis = _axis(dim, input.ndim)
    if input.size == 0:
        return input.copy()
    require_kind("log_softmax", input)
    largest = np.max(input, axis=axis, keepdims=True)
    result: Array = np.subtract(input, largest, out=memory.empty(input.shape, input.dtype))
    np.exp(result, out=result)
    # The logarithm shifts a whole row, so it stays in double precision: only the result is rounded.
    log_total = largest + np.log(np.sum(result, axis=axis, keepdims=True, dtype=np.float64))
    np.subtract(input, log_total, out=result, casting="same_kind")
    return result


log_softmax_along.gradient(input=lambda grad, out, dim: _log_softmax_gradient(grad, out, dim))


def _log_softmax_gradient(grad: Any, out: Any, dim: int) -> Any:
    if isinstance(grad, Tensor):
        return grad - exp(out) * sum(grad, dim, keepdim=True)
    # The same without intermediate arrays.
    axis = _axis(dim, out.ndim)
    total = np.sum(grad, axis=axis, keepdims=True, dtype=np.float64)
    share = np.exp(out, out=memory.empty(out.shape, out.dtype))
    np.multiply(share, total.astype(out.dtype), out=share)
    return np.subtract(grad, share, out=share)


@tensor_method()
def log_softmax(input: Any, dim: int, dtype: DType | None = None) -> Any:
    """log(exp(input) / sum(exp(input))) along dim, in `dtype` if given."""
    return log_softmax_along(input if dtype is None else converted(input, dtype), dim)


@op("SoftmaxBackward0")
def softmax_along(input: Array, dim: int) -> Array:
    """exp(input) / sum(exp(input)) along dim."""
    axis = _axis(dim, input.ndim)
    if input.size == 0:
        return input.copy()
    require_kind("softmax", input)
    powers = np.exp(input - np.max(input, axis=axis, keepdims=True))
    total = np.sum(powers, axis=axis, keepdims=True, dtype=np.float64)  # float16 would overflow
    return np.asarray(powers / total).astype(input.dtype)


softmax_along.gradient(input=lambda grad, out, dim: out * (grad - sum(grad * out, dim, keepdim=True)))


@tensor_method()
def softmax(input: Any, dim: int, dtype: DType | None = None) -> Any:
    """exp(input) / sum(exp(input)) along dim, in `dtype` if given."""
    return softmax_along(input if dtype is None else converted(input, dtype), dim)


@op("LogsumexpBackward0", method=True)
def logsumexp(input: Array, dim: Dims, keepdim: bool = False) -> Array:
    """log(sum(exp(input))) along `dim` (one or several), of integers as float32; -inf for no elements."""
    axes = canonical_dims(dim, input.ndim)
    values = as_floating(input)
    largest = np.max(values, axis=axes, keepdims=True, initial=-np.inf)
    largest = np.where(np.isinf(largest), 0, largest)
    total = np.sum(np.exp(values - largest), axis=axes, keepdims=True, dtype=np.float64)
    result = np.log(total) + largest
    return np.asarray(result if keepdim else result.squeeze(axes), values.dtype)


@logsumexp.gradients("input")
def _logsumexp_gradient(grad: Any, input: Any, out: Any, dim: Dims) -> tuple[Any]:
    shape = tuple(input.shape)
    return (with_kept_dims(grad, shape, dim) * exp(input - with_kept_dims(out, shape, dim)),)


def _axis(dim: int, ndim: int) -> int | None:
    """The axis as NumPy takes it: None for a 0-d array, which has none. IndexError for one that isn't there."""
    axis = canonical_dim(dim, ndim)
    return axis if ndim else None
