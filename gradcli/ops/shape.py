"""Same elements, other shape. Results share memory with their input where NumPy can make a view."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any

import numpy as np

from gradcli.autograd.dtypes import Array, DType, as_numpy_dtype, dtype
from gradcli.autograd.operation import op, tensor_method
from gradcli.autograd.tensor import Tensor
from gradcli.ops.arguments import require_tensors
from gradcli.ops.dims import canonical_dim, canonical_dims, integers, sizes, variadic_method

__all__ = [
    "flatten",
    "ravel",
    "reshape",
    "squeeze",
    "unflatten",
    "unsqueeze",
]


@op("ViewBackward0", view=True)
def view(input: Array, shape: tuple[int, ...]) -> Array:
    """The elements in another shape; one size may be -1."""
    if min(shape, default=0) >= -1:
        try:
            return input.reshape(shape)
        except ValueError:
            pass
    raise RuntimeError(_why_invalid(shape, input.size))


view.gradient(input=lambda grad, input_shape: view(grad, input_shape))


def _why_invalid(shape: tuple[int, ...], size: int) -> str:
    """What is wrong with a shape for `size` elements, in PyTorch's words."""
    for index, length in enumerate(shape):
        if length < -1:
            return f"invalid shape dimension {length} at index {index} of shape {list(shape)}"
    if shape.count(-1) > 1:
        return "only one dimension can be inferred"
    if size == 0 and -1 in shape and 0 in shape:
        return (
            f"cannot reshape tensor of 0 elements into shape {list(shape)} because the unspecified dimension size -1 "
            "can be any value and is ambiguous"
        )
    return f"shape '{list(shape)}' is invalid for input of size {size}"


@variadic_method()
def reshape(input: Any, shape: Sequence[int]) -> Any:
    """The elements in another shape; one size may be -1."""
    return view(input, integers("reshape", "shape", shape))


@op("ViewBackward0", view=True, differentiable=False)
def view_as_type(input: Array, dtype: DType) -> Array:
    """The same memory, read as elements of another type: the last dim grows or shrinks with their size."""
    wanted = as_numpy_dtype(dtype)
    if wanted.itemsize != input.itemsize:
        change = f"to view {input.dtype.name} as {wanted.name} (different element sizes)"
        if input.ndim == 0:
            raise RuntimeError(f"self.dim() cannot be 0 {change}")
        if input.size and input.strides[-1] != input.itemsize:
            raise RuntimeError(f"self.stride(-1) must be 1 {change}, but got {input.strides[-1] // input.itemsize}")
        if input.shape[-1] * input.itemsize % wanted.itemsize:
            ratio = wanted.itemsize // input.itemsize
            raise RuntimeError(f"self.size(-1) must be divisible by {ratio} {change}, but got {input.shape[-1]}")
    return input.view(wanted)


@variadic_method("view")
def _view(input: Any, size: Sequence[Any] | None = None, dtype: DType | None = None) -> Any:
    """The elements in another shape, a copy only where memory allows no view; or read as those of another type."""
    if size is None and dtype is None:
        raise TypeError("view() needs a shape or a type")
    if size is not None and len(size) == 1 and isinstance(size[0], _TYPES):
        dtype = size[0]
    return view(input, sizes((size,))) if dtype is None else view_as_type(input, dtype)


_TYPES = (dtype, np.dtype, type)


@tensor_method()
def reshape_as(input: Any, other: Any) -> Any:
    """The elements in the shape of another tensor."""
    return view(input, tuple(other.shape))


@tensor_method()
def view_as(input: Any, other: Any) -> Any:
    """The elements in the shape of another tensor."""
    return view(input, tuple(other.shape))


@tensor_method()
def flatten(input: Any, start_dim: int = 0, end_dim: int = -1) -> Any:
    """Dims start_dim to end_dim made one; the tensor itself where that is a single one already."""
    require_tensors("flatten", input=input)
    first, last = canonical_dim(start_dim, input.ndim), canonical_dim(end_dim, input.ndim)
    if first > last:
        raise RuntimeError("flatten() has invalid args: start_dim cannot come after end_dim")
    if first == last and input.ndim:
        return input
    shape = tuple(input.shape)
    return view(input, (*shape[:first], math.prod(shape[first : last + 1]), *shape[last + 1 :]))


@tensor_method()
def ravel(input: Any) -> Any:
    """All elements in one dim, in row-major memory: a view where the tensor is that, else a copy."""
    require_tensors("ravel", input=input)
    return view(contiguous(input), (math.prod(input.shape),))


@tensor_method()
def unflatten(input: Any, dim: int, sizes: Sequence[int]) -> Any:
    """One dim made several, of these sizes; one of them may be -1."""
    require_tensors("unflatten", input=input)
    parts = integers("unflatten", "sizes", sizes)
    axis = canonical_dim(dim, input.ndim)
    if not parts:
        raise RuntimeError("unflatten: sizes must be non-empty")
    if input.ndim == 0:
        raise RuntimeError("unflatten: a 0-d tensor has no dim to make several of")
    shape = tuple(input.shape)
    known = math.prod(part for part in parts if part != -1)
    if parts.count(-1) == 1 and known > 0 and shape[axis] % known == 0:
        parts = tuple(shape[axis] // known if part == -1 else part for part in parts)
    elif min(parts) < 0 or known != shape[axis]:
        raise RuntimeError(
            f"unflatten: Provided sizes {list(parts)} don't multiply up to the size of dim {dim} ({shape[axis]}) "
            "in the input tensor"
        )
    return view(input, (*shape[:axis], *parts, *shape[axis + 1 :]))


@op("UnsqueezeBackward0", method=True, view=True)
def unsqueeze(input: Array, dim: int) -> Array:
    """A dim of size 1 inserted at `dim`."""
    axis = canonical_dim(dim, input.ndim + 1)
    return input.reshape(*input.shape[:axis], 1, *input.shape[axis:])


unsqueeze.gradient(input=lambda grad, input_shape: view(grad, input_shape))


@op("SqueezeBackward0", view=True)
def squeeze_all(input: Array) -> Array:
    """Without the dims of size 1."""
    return input.squeeze()


squeeze_all.gradient(input=lambda grad, input_shape: view(grad, input_shape))


@op("SqueezeBackward1", view=True)
def squeeze_dim(input: Array, dim: int) -> Array:
    """Without `dim`, if its size is 1."""
    axis = canonical_dim(dim, input.ndim)
    return input.squeeze(axis) if input.ndim and input.shape[axis] == 1 else input.view()


squeeze_dim.gradient(input=lambda grad, input_shape: view(grad, input_shape))


@op("SqueezeBackward2", view=True)
def squeeze_dims(input: Array, dim: Sequence[int]) -> Array:
    """Without those of the dims that have size 1."""
    return input.squeeze(tuple(axis for axis in canonical_dims(dim, input.ndim) if dim and input.shape[axis] == 1))


squeeze_dims.gradient(input=lambda grad, input_shape: view(grad, input_shape))


def squeeze(input: Any, dim: int | Sequence[int] | None = None) -> Any:
    """Without the dims of size 1, or without `dim` (one or several) where its size is 1."""
    if dim is None:
        return squeeze_all(input)
    return squeeze_dims(input, dim) if isinstance(dim, Sequence) else squeeze_dim(input, dim)


@tensor_method("squeeze")
def _squeeze_method(input: Tensor, *dims: Any, **options: Any) -> Any:
    """Without the dims of size 1, or without those given, as `0`, `(0, 1)` or `0, 1`, that have size 1."""
    return squeeze(input, *(dims if len(dims) < 2 else (dims,)), **options)


@tensor_method()
def contiguous(input: Tensor) -> Tensor:
    """The tensor in row-major memory: itself where it is, else a copy."""
    if input.array.flags.c_contiguous:
        return input
    result: Tensor = contiguous_copy(input)
    return result


@op("CloneBackward0")
def contiguous_copy(input: Array) -> Array:
    """A copy in row-major memory."""
    return np.array(input, order="C")


contiguous_copy.gradient(input=lambda grad: grad)
