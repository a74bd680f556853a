"""Parts of a tensor along one dim, as views: one of them, or all of them."""

from __future__ import annotations

import operator
from collections.abc import Iterator, Sequence
from itertools import accumulate, pairwise
from typing import Any

import numpy as np

from gradcli.autograd.dtypes import Array
from gradcli.autograd.operation import op, tensor_method
from gradcli.autograd.tensor import Tensor
from gradcli.ops.arguments import require_tensors, values_of
from gradcli.ops.dims import canonical_dim, integer, integers
from gradcli.ops.indexing import slice_dim
from gradcli.ops.joining import cat, stack

__all__ = [
    "chunk",
    "narrow",
    "split",
    "split_with_sizes",
    "tensor_split",
    "unbind",
]


@tensor_method()
def narrow(input: Any, dim: int, start: Any, length: int) -> Any:
    """The slices of `dim` from `start` on, `length` of them. `start` may count from the end, or be a 0-d tensor."""
    require_tensors("narrow", input=input)
    if input.ndim == 0:
        raise RuntimeError("narrow() cannot be applied to a 0-dim tensor.")
    if isinstance(start, Tensor) and (start.ndim or start.array.dtype.kind not in "iu"):
        raise RuntimeError("start must be an 0-dim integral Tensor.")
    first, count = operator.index(start), operator.index(length)
    if count < 0:
        raise RuntimeError("narrow(): length must be non-negative.")
    size = input.shape[canonical_dim(dim, input.ndim)]
    if not -size <= first <= size:
        raise IndexError(f"start out of range (expected to be in range of [{-size}, {size}], but got {first})")
    if first < 0:
        first += size
    if first + count > size:
        raise RuntimeError(f"start ({first}) + length ({count}) exceeds dimension size ({size}).")
    return slice_dim(input, dim, first, first + count)


@op("SplitBackward0", view=True, multiple=True)
def split_evenly(input: Array, split_size: int, dim: int = 0) -> tuple[Array, ...]:
    """Parts of `split_size` slices each along `dim`; the last one may be smaller."""
    axis = _axis("split", input, dim)
    size = input.shape[axis]
    if split_size < 0:
        raise RuntimeError(f"split expects split_size be non-negative, but got split_size={split_size}")
    if split_size == 0 and size:
        raise RuntimeError(f"split_size can only be 0 if dimension size is 0, but got dimension size of {size}")
    return _slices(input, axis, _even_sizes(size, split_size))


@op("SplitWithSizesBackward0", method=True, view=True, multiple=True)
def split_with_sizes(input: Array, split_sizes: Sequence[int], dim: int = 0) -> tuple[Array, ...]:
    """Parts of these sizes along `dim`, which they must fill."""
    wanted = integers("split_with_sizes", "split_sizes", split_sizes)
    axis = _axis("split_with_sizes", input, dim)
    if min(wanted, default=0) < 0:
        raise RuntimeError(
            f"split_with_sizes expects split_sizes have only non-negative entries, but got split_sizes={list(wanted)}"
        )
    if sum(wanted) != input.shape[axis]:
        raise RuntimeError(
            f"split_with_sizes expects split_sizes to sum exactly to {input.shape[axis]} (input tensor's size at "
            f"dimension {dim}), but got split_sizes={list(wanted)}"
        )
    return _slices(input, axis, wanted)


@op("UnbindBackward0", method=True, view=True, multiple=True)
def unbind(input: Array, dim: int = 0) -> tuple[Array, ...]:
    """The slices of `dim`, each without it."""
    if input.ndim == 0:
        raise IndexError(f"Dimension specified as {dim} but tensor has no dimensions")
    axis = canonical_dim(dim, input.ndim)
    leading: tuple[Any, ...] = (slice(None),) * axis
    return tuple(input[(*leading, index, ...)] for index in range(input.shape[axis]))


def _joined(grad: Any, sizes: Sequence[int], shape: tuple[int, ...], dim: int) -> tuple[Any]:
    """The gradient of a split tensor of this shape from those of its parts, zeros where a part has none."""
    axis = canonical_dim(dim, len(shape))
    shapes = [(*shape[:axis], size, *shape[axis + 1 :]) for size in sizes]
    return (cat(_with_zeros(grad, shapes), axis),)


def _with_zeros(grad: Any, shapes: Sequence[tuple[int, ...]]) -> list[Any]:
    """The gradients of several results, arrays or tensors, with zeros of these shapes for those that got none."""
    grads = grad if isinstance(grad, tuple) else (grad,)  # that of a single result comes as it is
    given = next(part for part in grads if part is not None)
    dtype = values_of(given).dtype
    return [np.zeros(shape, dtype) if part is None else part for part, shape in zip(grads, shapes, strict=True)]


@split_evenly.gradients("input")
def _split_evenly_gradient(grad: Any, input_shape: tuple[int, ...], split_size: int, dim: int) -> tuple[Any]:
    sizes = _even_sizes(input_shape[canonical_dim(dim, len(input_shape))], split_size)
    return _joined(grad, sizes, input_shape, dim)


@split_with_sizes.gradients("input")
def _split_with_sizes_gradient(
    grad: Any, input_shape: tuple[int, ...], split_sizes: Sequence[int], dim: int
) -> tuple[Any]:
    return _joined(grad, split_sizes, input_shape, dim)


@unbind.gradients("input")
def _unbind_gradient(grad: Any, input_shape: tuple[int, ...], dim: int) -> tuple[Any]:
    axis = canonical_dim(dim, len(input_shape))
    shape = (*input_shape[:axis], *input_shape[axis + 1 :])
    return (stack(_with_zeros(grad, [shape] * input_shape[axis]), axis),)


def split(tensor: Any, split_size_or_sections: int | Sequence[int], dim: int = 0) -> Any:
    """Parts along `dim`: of one size, the last perhaps smaller, or of the sizes in a sequence, as a tuple of views."""
    if isinstance(split_size_or_sections, Sequence):
        return split_with_sizes(tensor, split_size_or_sections, dim)
    return split_evenly(tensor, integer("split", "split_size", split_size_or_sections), dim)


@tensor_method("split")
def _split_method(input: Tensor, split_size: int | Sequence[int], dim: int = 0) -> Any:
    """Parts along `dim`: of one size, the last perhaps smaller, or of the sizes in a sequence, as a tuple of views."""
    return split(input, split_size, dim)


@tensor_method("__iter__")
def _iterate(input: Tensor) -> Iterator[Tensor]:
    """The slices of the first dim, one by one, as `unbind` gives them."""
    if input.ndim == 0:
        raise TypeError("iteration over a 0-d tensor")
    return iter(unbind(input))


@tensor_method()
def chunk(input: Any, chunks: int, dim: int = 0) -> Any:
    """At most `chunks` parts along `dim`, all but the last of one size, as a tuple of views."""
    require_tensors("chunk", input=input)
    count = integer("chunk", "chunks", chunks)
    if input.ndim == 0:
        raise RuntimeError("chunk expects at least a 1-dimensional tensor")
    if count <= 0:
        raise RuntimeError(f"chunk expects `chunks` to be greater than 0, got: {count}")
    size = input.shape[canonical_dim(dim, input.ndim)]
    return split_with_sizes(input, (0,) * count, dim) if size == 0 else split_evenly(input, -(-size // count), dim)


@tensor_method()
def tensor_split(input: Any, indices_or_sections: Any, dim: int = 0) -> Any:
    """A number of parts along `dim`, the first ones larger by one where needed; or parts cut before each index.

    Number and indices may be an int64 tensor.
    """
    require_tensors("tensor_split", input=input)
    if input.ndim == 0:
        raise RuntimeError("tensor_split expected at least a 1-dimensional tensor, but got a tensor with 0 dims")
    if isinstance(indices_or_sections, Tensor):
        if indices_or_sections.array.dtype != np.int64:
            raise RuntimeError(
                "tensor_split expected tensor_indices_or_sections to have dtype of long, but got "
                f"{indices_or_sections.array.dtype.name}"
            )
        if indices_or_sections.ndim > 1:
            raise RuntimeError(
                "tensor_split expected tensor_indices_or_sections to be a zero-dimensional or one-dimensional tensor, "
                f"but got a tensor with {indices_or_sections.ndim} dims"
            )
        indices_or_sections = indices_or_sections.tolist()
    size = input.shape[canonical_dim(dim, input.ndim)]
    if isinstance(indices_or_sections, Sequence):
        cuts = list(integers("tensor_split", "indices", indices_or_sections))
    else:
        sections = integer("tensor_split", "sections", indices_or_sections)
        if sections <= 0:
            raise RuntimeError(f"number of sections must be larger than 0, got {sections}")
        cuts = [number * (size // sections) + min(number, size % sections) for number in range(1, sections)]
    return tuple(slice_dim(input, dim, start, end) for start, end in pairwise([0, *cuts, size]))


def _axis(function: str, input: Array, dim: int) -> int:
    if input.ndim == 0:
        raise RuntimeError(f"{function} expects at least a 1-dimensional tensor")
    return canonical_dim(dim, input.ndim)


def _even_sizes(size: int, split_size: int) -> list[int]:
    """The sizes of the parts of `split_size` of a dim; an empty dim has one part."""
    return [min(split_size, size - start) for start in range(0, size, split_size)] if size else [0]


def _slices(input: Array, axis: int, sizes: Sequence[int]) -> tuple[Array, ...]:
    leading = (slice(None),) * axis
    return tuple(input[(*leading, slice(end - size, end))] for end, size in zip(accumulate(sizes), sizes, strict=True))
