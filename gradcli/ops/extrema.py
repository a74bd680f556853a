"""The largest and the smallest: values, and where they stand. NaN counts as both.

Equals share the gradient of `amax`, `amin`, `aminmax` and of `max` and `min` of everything; along a dim, `max` and
`min` choose the first of them, as PyTorch does.
"""

from __future__ import annotations

import operator
from collections.abc import Callable
from typing import Any, NamedTuple

import numpy as np

from gradcli.autograd.dtypes import Array
from gradcli.autograd.operation import op, tensor_method
from gradcli.autograd.tensor import Tensor
from gradcli.ops.arguments import values_of
from gradcli.ops.choosing import maximum, minimum
from gradcli.ops.dims import Dims, canonical_dims
from gradcli.ops.reduction import with_kept_dims
from gradcli.ops.values_and_indices import choice, with_indices

__all__ = [
    "amax",
    "amin",
    "aminmax",
    "argmax",
    "argmin",
    "max",
    "min",
]


class MinAndMax(NamedTuple):
    """The result of `aminmax`."""

    min: Any
    max: Any


# --- values -----------------------------------------------------------------------------------------------------------


@op("AmaxBackward0", method=True)
def amax(input: Array, dim: Dims = (), keepdim: bool = False) -> Array:
    """The largest of all elements, or along `dim` (one or several); equals share the gradient."""
    return np.asarray(np.max(input, axis=nonempty_axes("amax", input, dim), keepdims=keepdim))


@op("AminBackward0", method=True)
def amin(input: Array, dim: Dims = (), keepdim: bool = False) -> Array:
    """The smallest of all elements, or along `dim` (one or several); equals share the gradient."""
    return np.asarray(np.min(input, axis=nonempty_axes("amin", input, dim), keepdims=keepdim))


amax.gradient(input=lambda grad, input, out, dim: _shared_gradient(grad, input, out, dim))
amin.gradient(input=lambda grad, input, out, dim: _shared_gradient(grad, input, out, dim))


def _shared_gradient(grad: Any, input: Any, out: Any, dim: Dims) -> Any:
    """The gradient, in equal parts, for every element that equals the extremum."""
    values, shape = values_of(input), tuple(input.shape)
    equal = values == values_of(with_kept_dims(out, shape, dim))
    count = np.sum(equal, axis=canonical_dims(dim, len(shape)), keepdims=True)  # 0, hence nan, where that is NaN
    return with_kept_dims(grad, shape, dim) * np.divide(equal, count, dtype=values.dtype)


@op("AminmaxBackward0", multiple=True)
def aminmax_along(input: Array, dim: int | None, keepdim: bool) -> tuple[Array, Array]:
    """The smallest and the largest of all elements, or along dim."""
    if dim is None and input.size == 0:
        raise RuntimeError(
            "aminmax(): cannot compute aminmax over an empty dimension as the operation has no identity."
        )
    axes = nonempty_axes("aminmax", input, dim)
    smallest, largest = np.min(input, axis=axes, keepdims=keepdim), np.max(input, axis=axes, keepdims=keepdim)
    return np.asarray(smallest), np.asarray(largest)


@aminmax_along.gradients("input")
def _aminmax_gradient(grad: Any, input: Any, dim: int | None) -> tuple[Any]:
    axes = canonical_dims(dim, input.ndim)
    extrema = (find(values_of(input), axis=axes, keepdims=True) for find in (np.min, np.max))
    shares = [_shared_gradient(g, input, each, dim) for g, each in zip(grad, extrema, strict=True) if g is not None]
    return (shares[0] if len(shares) == 1 else shares[0] + shares[1],)


@tensor_method()
def aminmax(input: Any, *, dim: int | None = None, keepdim: bool = False) -> MinAndMax:
    """The smallest and the largest of all elements, or along dim, as `(min, max)`; equals share the gradient."""
    return MinAndMax(*aminmax_along(input, dim, keepdim))


# --- indices ----------------------------------------------------------------------------------------------------------


@op(method=True, differentiable=False)
def argmax(input: Array, dim: int | None = None, keepdim: bool = False) -> Array:
    """Index of the largest element (the first of equals), of the flattened tensor or along a dim, as int64."""
    return _index("argmax", np.argmax, input, dim, keepdim)


@op(method=True, differentiable=False)
def argmin(input: Array, dim: int | None = None, keepdim: bool = False) -> Array:
    """Index of the smallest element (the first of equals), of the flattened tensor or along a dim, as int64."""
    return _index("argmin", np.argmin, input, dim, keepdim)


def _index(name: str, choose: Callable[..., Any], input: Array, dim: int | None, keepdim: bool) -> Array:
    if input.dtype == np.bool_:
        raise RuntimeError(f"{name}(): does not support bool input")
    if dim is None and input.size == 0:
        raise IndexError(f"{name}(): Expected reduction dim to be specified for input.numel() == 0.")
    axes = (None,) if dim is None else nonempty_axes(name, input, operator.index(dim))
    return np.asarray(choose(input, axis=axes[0] if axes else None, keepdims=keepdim), np.int64)


# --- values with their indices, and the larger of two ---------------------------------------------------------------


@op("MaxBackward1")
def max_all(input: Array) -> Array:
    """The largest of all elements, 0-d."""
    return np.asarray(np.max(input, axis=nonempty_axes("max", input, None)))


@op("MinBackward1")
def min_all(input: Array) -> Array:
    """The smallest of all elements, 0-d."""
    return np.asarray(np.min(input, axis=nonempty_axes("min", input, None)))


max_all.gradient(input=lambda grad, input, out: evenly_distributed(grad, input, out))
min_all.gradient(input=lambda grad, input, out: evenly_distributed(grad, input, out))


def evenly_distributed(grad: Any, input: Any, out: Any) -> Any:
    """The gradient of one of all elements, in equal parts for every element like it: NaN counts as like NaN."""
    values, chosen = values_of(input), values_of(out)
    equal = np.isnan(values) if np.isnan(chosen) else values == chosen
    return grad * np.divide(equal, np.count_nonzero(equal) or 1, dtype=values.dtype)


max_along = choice("MaxBackward0", "max_along")
min_along = choice("MinBackward0", "min_along")


@tensor_method()
def max(input: Any, dim: Any = None, keepdim: bool = False, *, other: Any = None) -> Any:
    """The largest of all elements; along `dim`, `(values, indices)`; or element by element that of two tensors."""
    return _extremum("max", (max_all, np.argmax, max_along, maximum), input, dim, keepdim, other)


@tensor_method()
def min(input: Any, dim: Any = None, keepdim: bool = False, *, other: Any = None) -> Any:
    """The smallest of all elements; along `dim`, `(values, indices)`; or element by element that of two tensors."""
    return _extremum("min", (min_all, np.argmin, min_along, minimum), input, dim, keepdim, other)


def _extremum(
    name: str, operations: tuple[Callable[..., Any], ...], input: Any, dim: Any, keepdim: bool, other: Any
) -> Any:
    of_all, positions, along, of_two = operations
    if other is None and isinstance(dim, Tensor | np.ndarray):
        dim, other = None, dim
    if not isinstance(input, Tensor | np.ndarray) or isinstance(dim, bool | float) or (dim is None and keepdim):
        raise TypeError(
            f"{name}() takes a tensor, and nothing else, or another tensor, or the int dim and the bool keepdim, but "
            f"got {type(input).__name__}, dim={dim!r}, keepdim={keepdim}"
        )
    if other is not None:
        return of_two(input, other)
    if dim is None:
        return of_all(input)
    values = values_of(input)
    axes = nonempty_axes(name, values, operator.index(dim))
    indices = np.asarray(positions(values, axis=axes[0] if axes else None, keepdims=keepdim), np.int64)
    return with_indices(along, input, indices, axes[0] if axes else 0, keepdim)


# ----------------------------------------------------------------------------------------------------------------------


def nonempty_axes(name: str, input: Array, dim: Dims) -> tuple[int, ...]:
    """The axes to reduce, which must not leave nothing to choose from, with PyTorch's exceptions."""
    axes = canonical_dims(dim, input.ndim)
    if input.size == 0:
        if dim is None or dim == () or dim == []:
            raise RuntimeError(
                f"{name}(): Expected reduction dim to be specified for input.numel() == 0. Specify the reduction dim "
                "with the 'dim' argument."
            )
        for axis in axes:
            if input.shape[axis] == 0:
                raise IndexError(f"{name}(): Expected reduction dim {axis} to have non-zero size.")
    return axes
