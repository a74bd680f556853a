"""Same elements, other shape. Results share memory with their input where NumPy can make a view."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any

import numpy as np

from gradcli.autograd.dtypes import Array
from gradcli.autograd.operation import op, tensor_method
from gradcli.autograd.tensor import Tensor
from gradcli.ops.dims import canonical_dim, canonical_dims, sizes

__all__ = [
    "broadcast_to",
    "flatten",
    "permute",
    "reshape",
    "squeeze",
    "t",
    "transpose",
    "unsqueeze",
]


@op("ViewBackward0")
def view(input: Array, shape: tuple[int, ...]) -> Array:
    """The elements in another shape; one size may be -1."""
    if min(shape, default=0) < -1:
        raise RuntimeError(f"invalid shape dimension {min(shape)} in {list(shape)}; only -1 stands for a size")
    try:
        return input.reshape(shape)
    except ValueError:
        raise RuntimeError(f"shape '{list(shape)}' is invalid for input of size {input.size}") from None


view.gradient(input=lambda grad, input_shape: view(grad, input_shape))


@tensor_method("reshape", "view")
def reshape(input: Any, *shape: Any) -> Any:
    """The elements in another shape, given as `(2, 3)` or `2, 3`; one size may be -1."""
    return view(input, sizes(shape))


@tensor_method()
def flatten(input: Any, start_dim: int = 0, end_dim: int = -1) -> Any:
    """Dims start_dim to end_dim made one."""
    first, last = canonical_dim(start_dim, input.ndim), canonical_dim(end_dim, input.ndim)
    if first > last:
        raise RuntimeError("flatten() has invalid args: start_dim cannot come after end_dim")
    shape = tuple(input.shape)
    return view(input, (*shape[:first], math.prod(shape[first : last + 1]), *shape[last + 1 :]))


@op("PermuteBackward0")
def permute_dims(input: Array, dims: tuple[int, ...]) -> Array:
    """Dims in another order."""
    if len(dims) != input.ndim:
        raise RuntimeError(f"permute(): a tensor of {input.ndim} dims can't be put in the order {list(dims)}")
    return input.transpose(canonical_dims(dims, input.ndim))


@permute_dims.gradients("input")
def _permute_gradient(grad: Any, dims: tuple[int, ...]) -> tuple[Any]:
    forward = canonical_dims(dims, len(dims))
    return (permute_dims(grad, tuple(forward.index(axis) for axis in range(len(forward)))),)


@tensor_method()
def permute(input: Any, *dims: Any) -> Any:
    """Dims in the order given, as `(2, 0, 1)` or `2, 0, 1`."""
    return permute_dims(input, sizes(dims))


@op("TransposeBackward0", method=True)
def transpose(input: Array, dim0: int, dim1: int) -> Array:
    """Two dims swapped."""
    first, second = canonical_dim(dim0, input.ndim), canonical_dim(dim1, input.ndim)
    return input.swapaxes(first, second) if input.ndim else input


transpose.gradient(input=lambda grad, dim0, dim1: transpose(grad, dim0, dim1))


@op("TBackward0", method=True)
def t(input: Array) -> Array:
    """The transpose of a matrix; a vector or 0-d tensor stays as it is."""
    if input.ndim > 2:
        raise RuntimeError(f"t() expects a tensor with <= 2 dimensions, but self is {input.ndim}D")
    return input.T


t.gradient(input=lambda grad: t(grad))


def _reversed_dims(input: Tensor) -> Tensor:
    """Dims in reverse order (`Tensor.T`)."""
    result: Tensor = permute(input, tuple(reversed(range(input.ndim))))
    return result


def _matrix_transpose(input: Tensor) -> Tensor:
    """The last two dims swapped (`Tensor.mT`)."""
    if input.ndim < 2:
        raise RuntimeError(
            f"tensor.mT is only supported on matrices or batches of matrices. Got {input.ndim}-D tensor."
        )
    result: Tensor = transpose(input, -2, -1)
    return result


Tensor.T = property(_reversed_dims)  # type: ignore[attr-defined]
Tensor.mT = property(_matrix_transpose)  # type: ignore[attr-defined]


@op("UnsqueezeBackward0", method=True)
def unsqueeze(input: Array, dim: int) -> Array:
    """A dim of size 1 inserted at `dim`."""
    return np.expand_dims(input, canonical_dim(dim, input.ndim + 1))


unsqueeze.gradient(input=lambda grad, input_shape: view(grad, input_shape))


@op("SqueezeBackward0")
def squeeze_all(input: Array) -> Array:
    """Without the dims of size 1."""
    return input.squeeze()


squeeze_all.gradient(input=lambda grad, input_shape: view(grad, input_shape))


@op("SqueezeBackward1")
def squeeze_dim(input: Array, dim: int) -> Array:
    """Without `dim`, if its size is 1."""
    axis = canonical_dim(dim, input.ndim)
    return input.squeeze(axis) if input.ndim and input.shape[axis] == 1 else input


squeeze_dim.gradient(input=lambda grad, input_shape: view(grad, input_shape))


@op("SqueezeBackward2")
def squeeze_dims(input: Array, dim: Sequence[int]) -> Array:
    """Without those of the dims that have size 1."""
    return input.squeeze(tuple(axis for axis in canonical_dims(dim, input.ndim) if dim and input.shape[axis] == 1))


squeeze_dims.gradient(input=lambda grad, input_shape: view(grad, input_shape))


@tensor_method()
def squeeze(input: Any, dim: int | Sequence[int] | None = None) -> Any:
    """Without the dims of size 1, or without `dim` (one or several) where its size is 1."""
    if dim is None:
        return squeeze_all(input)
    return squeeze_dim(input, dim) if isinstance(dim, int) else squeeze_dims(input, dim)


@op("ExpandBackward0")
def expand_to(input: Array, shape: tuple[int, ...]) -> Array:
    """Dims of size 1 repeated, and new ones in front, without copying."""
    try:
        return np.broadcast_to(input, shape)
    except ValueError:
        raise RuntimeError(
            f"The expanded size of the tensor {list(shape)} must match the existing size {list(input.shape)} "
            "at non-singleton dimensions"
        ) from None


expand_to.gradient(input=lambda grad: grad)  # summed back to the input's shape by the engine


@tensor_method()
def expand(input: Any, *size: Any) -> Any:
    """Broadcast to a shape; -1 keeps a size."""
    wanted = sizes(size)
    leading = len(wanted) - input.ndim
    if -1 in wanted[: max(leading, 0)]:
        raise RuntimeError(
            "The expanded size of the tensor (-1) isn't allowed in a leading, non-existing dimension "
            f"{wanted.index(-1)}"
        )
    own = (1,) * leading + tuple(input.shape)
    return expand_to(input, tuple(o if w == -1 else w for o, w in zip(own, wanted, strict=False)))


@tensor_method()
def broadcast_to(input: Any, size: Sequence[int]) -> Any:
    """Broadcast to a shape."""
    return expand(input, tuple(size))


@tensor_method()
def expand_as(input: Any, other: Any) -> Any:
    """Broadcast to the shape of another tensor."""
    return expand(input, tuple(other.shape))


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
