"""Reductions over all elements or along dims."""

from __future__ import annotations

import math
from typing import Any

import numpy as np

from gradcli.autograd.dtypes import TYPE_NAMES, Array, DType, as_numpy_dtype
from gradcli.autograd.grad_mode import is_grad_enabled
from gradcli.autograd.graph import sum_to_shape
from gradcli.autograd.operation import op, tensor_method
from gradcli.autograd.tensor import Tensor
from gradcli.ops.arguments import require_tensors, values_of
from gradcli.ops.dims import Dims, canonical_dims, sizes
from gradcli.ops.division import div
from gradcli.ops.expansion import expand_to
from gradcli.ops.shape import view

__all__ = [
    "mean",
    "nanmean",
    "nansum",
    "sum",
]


@op("SumBackward0")
def sum_all(input: Array, dtype: DType | None = None) -> Array:
    """Sum of all elements, 0-d."""
    return _sum(input, None, False, dtype)


sum_all.gradient(input=lambda grad, input_shape: expand_to(grad, input_shape))


@op("SumBackward1")
def sum_dims(input: Array, dim: Dims, keepdim: bool = False, dtype: DType | None = None) -> Array:
    """Sum along dims."""
    return _sum(input, canonical_dims(dim, input.ndim), keepdim, dtype)


sum_dims.gradient(input=lambda grad, input_shape, dim: expand_to(with_kept_dims(grad, input_shape, dim), input_shape))


@tensor_method()
def sum(input: Any, dim: Dims = None, keepdim: bool = False, *, dtype: DType | None = None) -> Any:
    """Sum of all elements, or along `dim` (one or several). Integers and bools are summed as int64."""
    require_float_gradient(input, dtype)
    if dim is None and not keepdim:
        return sum_all(input, dtype=dtype)
    return sum_dims(input, dim, keepdim, dtype=dtype)


@op("MeanBackward0")
def mean_all(input: Array, dtype: DType | None = None) -> Array:
    """Mean of all elements, 0-d."""
    return _mean(input, None, False, dtype)


mean_all.gradient(input=lambda grad, input_shape: expand_to(grad, input_shape) * _over(math.prod(input_shape)))


@op("MeanBackward1")
def mean_dims(input: Array, dim: Dims, keepdim: bool = False, dtype: DType | None = None) -> Array:
    """Mean along dims."""
    return _mean(input, dim, keepdim, dtype)


mean_dims.gradient(input=lambda grad, input_shape, dim: mean_gradient(grad, input_shape, dim))


def mean_gradient(grad: Any, input_shape: tuple[int, ...], dim: Dims) -> Any:
    """The gradient of a mean along dims with respect to its input."""
    count = math.prod(input_shape[axis] for axis in canonical_dims(dim, len(input_shape)))
    # Scaled before it is spread: the fewer elements, the cheaper.
    return expand_to(with_kept_dims(grad, input_shape, dim) * _over(count), input_shape)


@tensor_method()
def mean(input: Any, dim: Dims = None, keepdim: bool = False, *, dtype: DType | None = None) -> Any:
    """Mean of all elements, or along `dim` (one or several), of a float tensor."""
    if dim is None and not keepdim:
        return mean_all(input, dtype=dtype)
    return mean_dims(input, dim, keepdim, dtype=dtype)


@op("SumBackward1")
def sum_to(input: Array, shape: tuple[int, ...]) -> Array:
    """Sum over the dims along which a tensor of `shape` was broadcast to input."""
    return sum_to_shape(input.astype(sum_dtype(input, None), copy=False), shape)


sum_to.gradient(input=lambda grad, input_shape: expand_to(grad, input_shape))


@tensor_method()
def sum_to_size(input: Any, *size: Any) -> Any:
    """Sum to a shape that broadcasts to this one; RuntimeError where it doesn't."""
    shape = sizes(size)
    if not shape:
        return sum_all(input)
    if shape == tuple(input.shape):
        return input
    try:
        return sum_to(input, shape)
    except ValueError:
        raise RuntimeError(f"size {list(shape)} is not expandable to size {list(input.shape)}.") from None


@op("NansumBackward0")
def nansum_dims(input: Array, dim: Dims, keepdim: bool = False, dtype: DType | None = None) -> Array:
    """Sum along dims, where NaN counts as zero."""
    values = np.where(np.isnan(input), input.dtype.type(0), input) if input.dtype.kind == "f" else input
    return _sum(values, canonical_dims(dim, input.ndim), keepdim, dtype)


@nansum_dims.gradients("input")
def _nansum_gradient(grad: Any, input: Any, dim: Dims) -> tuple[Any]:
    values = values_of(input)
    return (with_kept_dims(grad, tuple(input.shape), dim) * ~np.isnan(values),)


@tensor_method()
def nansum(input: Any, dim: Dims = None, keepdim: bool = False, *, dtype: DType | None = None) -> Any:
    """Sum of all elements, or along `dim` (one or several), where NaN counts as zero."""
    require_float_gradient(input, dtype)
    return nansum_dims(input, dim, keepdim, dtype)


@tensor_method()
def nanmean(input: Any, dim: Dims = None, keepdim: bool = False, *, dtype: DType | None = None) -> Any:
    """Mean of all elements that are not NaN, or along `dim` (one or several), of a float tensor."""
    require_tensors("nanmean", input=input)
    values = values_of(input)
    if values.dtype.kind != "f":
        raise RuntimeError(f"nanmean(): expected input to have floating point dtype but got {values.dtype.name}")
    counts = np.asarray(np.sum(~np.isnan(values), axis=canonical_dims(dim, values.ndim), keepdims=keepdim))
    return div(nansum(input, dim, keepdim, dtype=dtype), counts)


def require_float_gradient(input: Any, dtype: DType | None) -> None:
    """RuntimeError for a sum or product as integers of what requires gradients, which integers have none of."""
    if dtype is not None and isinstance(input, Tensor) and input.requires_grad and is_grad_enabled():
        wanted = as_numpy_dtype(dtype)
        if wanted.kind != "f":
            raise RuntimeError(f"Autograd not support dtype: {TYPE_NAMES[wanted.name]}")


def sum_dtype(input: Array, dtype: DType | None) -> np.dtype[Any]:
    """The element type of a sum or product: the one asked for, else its own for floats and int64 for others."""
    if dtype is not None:
        return as_numpy_dtype(dtype)
    return input.dtype if input.dtype.kind == "f" else np.dtype(np.int64)


def _sum(input: Array, axes: tuple[int, ...] | None, keepdim: bool, dtype: DType | None) -> Array:
    target = sum_dtype(input, dtype)
    # NumPy adds one by one along all but the last axis: long float32 sums need double precision to come out exact.
    added_as = np.float64 if target.kind == "f" else target
    return np.asarray(input.sum(axis=axes, keepdims=keepdim, dtype=added_as), target)


def _mean(input: Array, dim: Dims, keepdim: bool, dtype: DType | None) -> Array:
    target = as_numpy_dtype(dtype) if dtype is not None else input.dtype
    if target.kind != "f":
        raise RuntimeError(
            "mean(): could not infer output dtype. Input dtype must be either a floating point or complex dtype. "
            f"Got: {input.dtype}"
        )
    axes = None if dim is None else canonical_dims(dim, input.ndim)
    total = input.sum(axis=axes, keepdims=keepdim, dtype=np.float64)
    count = input.size if axes is None else math.prod(input.shape[axis] for axis in axes)
    return np.asarray(total / np.float64(count), target)


def _over(count: int) -> float:
    return 1 / count if count else math.nan


def with_kept_dims(grad: Any, input_shape: tuple[int, ...], dim: Dims) -> Any:
    """What a reduction gave, or its gradient, with the reduced dims back, of size 1."""
    axes = canonical_dims(dim, len(input_shape))
    return view(grad, tuple(1 if axis in axes else size for axis, size in enumerate(input_shape)))
