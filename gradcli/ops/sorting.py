"""Order along a dim: sorting, the largest few, the middle one. NaN counts as the largest; equals stay in order."""

from __future__ import annotations

import operator
from typing import Any

import numpy as np

from gradcli.autograd.dtypes import Array
from gradcli.autograd.operation import op, tensor_method
from gradcli.ops.arguments import require_kind, require_tensors, values_of
from gradcli.ops.dims import canonical_dim
from gradcli.ops.extrema import evenly_distributed, nonempty_axes
from gradcli.ops.values_and_indices import ValuesAndIndices, choice, with_indices

__all__ = [
    "argsort",
    "median",
    "msort",
    "sort",
    "topk",
]


sort_along = choice("SortBackward0", "sort_along")
stable_sort_along = choice("SortBackward1", "stable_sort_along")
topk_along = choice("TopkBackward0", "topk_along")
median_along = choice("MedianBackward1", "median_along")


@op("MedianBackward0")
def median_all(input: Array) -> Array:
    """The middle element of all, the lower of two, 0-d; nan where any is nan or there is none."""
    if not input.size:
        if input.dtype.kind != "f":
            raise IndexError("median(): an empty tensor of integers has no median")
        return np.asarray(np.nan, input.dtype)
    flat = np.sort(input, axis=None)
    return np.asarray(flat[-1] if flat[-1] != flat[-1] else flat[(flat.size - 1) // 2])


median_all.gradient(input=lambda grad, input, out: evenly_distributed(grad, input, out))


def _order(input: Array, dim: int, descending: bool) -> Array:
    """The indices that put the elements in order along dim, equals in the order that they have."""
    axis = canonical_dim(dim, input.ndim)
    if not input.ndim:
        return np.zeros((), np.int64)
    if not descending:
        return np.argsort(input, axis, stable=True)
    backwards: Array = np.flip(np.argsort(np.flip(input, axis), axis, stable=True), axis)
    return np.asarray(input.shape[axis] - 1 - backwards)


@tensor_method()
def sort(input: Any, dim: int = -1, descending: bool = False, *, stable: bool | None = None) -> ValuesAndIndices:
    """All elements in order along dim, and their indices. Equals always stay in order, `stable` or not."""
    require_tensors("sort", input=input)
    along = sort_along if stable is None else stable_sort_along
    return with_indices(along, input, _order(values_of(input), dim, descending), dim, True)


@op(method=True, differentiable=False)
def argsort(input: Array, dim: int = -1, descending: bool = False, stable: bool = False) -> Array:
    """The indices that `sort` gives."""
    return _order(input, dim, descending)


@tensor_method()
def msort(input: Any) -> Any:
    """The elements in rising order along the first dim."""
    return sort(input, 0)[0]


@tensor_method()
def topk(input: Any, k: int, dim: int = -1, largest: bool = True, sorted: bool = True) -> ValuesAndIndices:
    """The k largest (or smallest) along dim in order, and their indices. They come in order, `sorted` or not."""
    require_tensors("topk", input=input)
    values, count = values_of(input), operator.index(k)
    if values.dtype == np.bool_:
        raise RuntimeError("topk does not support bool dtypes")
    axis = canonical_dim(dim, values.ndim)
    if not 0 <= count <= (values.shape[axis] if values.ndim else 1):
        raise RuntimeError("selected index k out of range")
    order = _order(values, dim, largest)
    indices = order[(slice(None),) * axis + (slice(0, count),)] if values.ndim else order
    return with_indices(topk_along, input, indices, axis, True)


@tensor_method()
def median(input: Any, dim: int | None = None, keepdim: bool = False) -> Any:
    """The middle of all elements, or along dim, `(values, indices)`: of an even number, the lower of two.

    Where an element is nan, the first nan is chosen.
    """
    require_tensors("median", input=input)
    values = values_of(input)
    require_kind("median", values, "iuf")
    if dim is None:
        return median_all(input)
    axes = nonempty_axes("median", values, operator.index(dim))
    indices = _middle(values, axes[0], keepdim) if axes else np.zeros((), np.int64)
    return with_indices(median_along, input, indices, axes[0] if axes else 0, keepdim)


def _middle(values: Array, axis: int, keepdim: bool) -> Array:
    """The index of the middle element along axis, or of the first nan."""
    size = values.shape[axis]
    ranks = np.full((*values.shape[:axis], 1, *values.shape[axis + 1 :]), (size - 1) // 2)
    if values.dtype.kind == "f":
        nans = np.count_nonzero(np.isnan(values), axis=axis, keepdims=True)
        ranks = np.where(nans > 0, size - nans, ranks)  # nan stands behind all others
    indices = np.take_along_axis(_order(values, axis, descending=False), ranks, axis)
    return indices if keepdim else indices.squeeze(axis)
