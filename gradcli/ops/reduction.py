"""Reductions over all elements or along dims."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any

import numpy as np

from gradcli.autograd.dtypes import Array, DType, as_numpy_dtype
from gradcli.autograd.graph import sum_to_shape
from gradcli.autograd.operation import op, tensor_method
from gradcli.ops.dims import canonical_dims, sizes
from gradcli.ops.elementwise import div, where
from gradcli.ops.expansion import expand
from gradcli.ops.shape import view

__all__ = [
    "mean",
    "norm",
    "sum",
]

Dims = int | Sequence[int] | None


@op("SumBackward0")
def sum_all(input: Array, dtype: DType | None = None) -> Array:
    """Sum of all elements, 0-d."""
    return _sum(input, None, False, dtype)


sum_all.gradient(input=lambda grad, input_shape: expand(grad, input_shape))


@op("SumBackward1")
def sum_dims(input: Array, dim: Dims, keepdim: bool = False, dtype: DType | None = None) -> Array:
    """Sum along dims."""
    return _sum(input, canonical_dims(dim, input.ndim), keepdim, dtype)


sum_dims.gradient(input=lambda grad, input_shape, dim: expand(_with_kept_dims(grad, input_shape, dim), input_shape))


@tensor_method()
def sum(input: Any, dim: Dims = None, keepdim: bool = False, *, dtype: DType | None = None) -> Any:
    """Sum of all elements, or along `dim` (one or several). Integers and bools are summed as int64."""
    if dim is None and not keepdim:
        return sum_all(input, dtype=dtype)
    return sum_dims(input, dim, keepdim, dtype=dtype)


@op("MeanBackward0")
def mean_all(input: Array, dtype: DType | None = None) -> Array:
    """Mean of all elements, 0-d."""
    return _mean(input, None, False, dtype)


mean_all.gradient(input=lambda grad, input_shape: expand(grad, input_shape) * _over(math.prod(input_shape)))


@op("MeanBackward1")
def mean_dims(input: Array, dim: Dims, keepdim: bool = False, dtype: DType | None = None) -> Array:
    """Mean along dims."""
    return _mean(input, canonical_dims(dim, input.ndim), keepdim, dtype)


@mean_dims.gradients("input")
def _mean_dims_gradient(grad: Any, input_shape: tuple[int, ...], dim: Dims) -> tuple[Any]:
    count = math.prod(input_shape[axis] for axis in canonical_dims(dim, len(input_shape)))
    # Scaled before it is spread: the fewer elements, the cheaper.
    return (expand(_with_kept_dims(grad, input_shape, dim) * _over(count), input_shape),)


@tensor_method()
def mean(input: Any, dim: Dims = None, keepdim: bool = False, *, dtype: DType | None = None) -> Any:
    """Mean of all elements, or along `dim` (one or several), of a float tensor."""
    if dim is None and not keepdim:
        return mean_all(input, dtype=dtype)
    return mean_dims(input, dim, keepdim, dtype=dtype)


@op("SumBackward1")
def sum_to(input: Array, shape: tuple[int, ...]) -> Array:
    """Sum over the dims along which a tensor of `shape` was broadcast to input."""
    return sum_to_shape(input.astype(_sum_dtype(input, None), copy=False), shape)


sum_to.gradient(input=lambda grad, input_shape: expand(grad, input_shape))


@tensor_method()
def sum_to_size(input: Any, *size: Any) -> Any:
    """Sum to a shape that broadcasts to this one; RuntimeError where it doesn't."""
    shape = sizes(size)
    if shape == tuple(input.shape):
        return input
    try:
        return sum_to(input, shape)
    except ValueError:
        raise RuntimeError(f"size {list(shape)} is not expandable to size {list(input.shape)}.") from None


@op("LinalgVectorNormBackward0", method=True)
def norm(input: Array) -> Array:
    """Euclidean norm of all elements, 0-d; its gradient at zero is zero."""
    if input.dtype.kind != "f":
        raise RuntimeError(f"norm(): expected a floating point tensor as input, but got {input.dtype.name}")
    return np.asarray(np.sqrt(np.square(input.astype(np.float64, copy=False)).sum())).astype(input.dtype)


norm.gradient(input=lambda grad, input, out: where(out == 0, 0.0, grad * div(input, out)))


def _sum_dtype(input: Array, dtype: DType | None) -> np.dtype[Any]:
    if dtype is not None:
        return as_numpy_dtype(dtype)
    return input.dtype if input.dtype.kind == "f" else np.dtype(np.int64)


def _sum(input: Array, axes: tuple[int, ...] | None, keepdim: bool, dtype: DType | None) -> Array:
    target = _sum_dtype(input, dtype)
    # NumPy adds one by one along all but the last axis: long float32 sums need double precision to come out exact.
    added_as = np.float64 if target.kind == "f" else target
    return np.asarray(np.sum(input, axis=axes, keepdims=keepdim, dtype=added_as), target)


def _mean(input: Array, axes: tuple[int, ...] | None, keepdim: bool, dtype: DType | None) -> Array:
    target = as_numpy_dtype(dtype) if dtype is not None else input.dtype
    if target.kind != "f":
        raise RuntimeError(
            "mean(): could not infer output dtype. Input dtype must be either a floating point or complex dtype. "
            f"Got: {input.dtype}"
        )
    axis_sizes = input.shape if axes is None else [input.shape[axis] for axis in axes]
    if math.prod(axis_sizes) == 0:
        shape = np.sum(input, axis=axes, keepdims=keepdim).shape
        return np.full(shape, math.nan, target)  # PyTorch's answer, without NumPy's warning
    return np.asarray(np.mean(input, axis=axes, keepdims=keepdim, dtype=np.float64), target)


def _over(count: int) -> float:
    return 1 / count if count else math.nan


def _with_kept_dims(grad: Any, input_shape: tuple[int, ...], dim: Dims) -> Any:
    """The gradient of a reduction with the reduced dims back, of size 1."""
    axes = canonical_dims(dim, len(input_shape))
    return view(grad, tuple(1 if axis in axes else size for axis, size in enumerate(input_shape)))
