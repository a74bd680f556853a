"""The elements of a tensor in other places: reversed, or shifted around."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np

from gradcli.autograd.dtypes import Array
from gradcli.autograd.operation import op, tensor_method
from gradcli.ops.arguments import require_tensors
from gradcli.ops.dims import canonical_dim, canonical_dims, integers, variadic_method

__all__ = [
    "flip",
    "fliplr",
    "flipud",
    "roll",
]


@op("FlipBackward0")
def flip_dims(input: Array, dims: tuple[int, ...]) -> Array:
    """A copy with the order of the elements along `dims` reversed."""
    return np.array(np.flip(input, canonical_dims(dims, input.ndim) if dims else ()), order="K")


flip_dims.gradient(input=lambda grad, dims: flip_dims(grad, dims))


@variadic_method()
def flip(input: Any, dims: Sequence[int]) -> Any:
    """A copy with the order of the elements along `dims` reversed."""
    return flip_dims(input, integers("flip", "dims", dims))


@tensor_method()
def fliplr(input: Any) -> Any:
    """A copy with the columns (dim 1) in reverse order."""
    require_tensors("fliplr", input=input)
    if input.ndim < 2:
        raise RuntimeError("Input must be >= 2-d.")
    return flip_dims(input, (1,))


@tensor_method()
def flipud(input: Any) -> Any:
    """A copy with the rows (dim 0) in reverse order."""
    require_tensors("flipud", input=input)
    if input.ndim < 1:
        raise RuntimeError("Input must be >= 1-d.")
    return flip_dims(input, (0,))


@op("RollBackward0")
def roll_dims(input: Array, shifts: tuple[int, ...], dims: tuple[int, ...]) -> Array:
    """The elements moved on by `shifts` along `dims`, those that leave at the end back in front."""
    require_tensors("roll", input=input)
    if not shifts:
        raise RuntimeError("`shifts` required")
    if len(shifts) != (len(dims) or 1):
        raise RuntimeError(f"shifts and dimensions must align. shifts: {len(shifts)}, dims:{len(dims)}")
    if not dims:
        return np.roll(input, shifts[0])
    if input.ndim == 0:
        raise IndexError(f"Dimension specified as {dims[0]} but tensor has no dimensions")
    return np.roll(input, shifts, tuple(canonical_dim(dim, input.ndim) for dim in dims))


roll_dims.gradient(
    input=lambda grad, shifts, dims: roll_dims(grad, tuple(-shift for shift in shifts), dims),
)


@tensor_method()
def roll(input: Any, shifts: int | Sequence[int], dims: int | Sequence[int] = ()) -> Any:
    """The elements moved on by `shifts` along `dims`, one or several; those that leave at the end come back in front.

    Without dims, along all elements in row-major order.
    """
    return roll_dims(input, _one_or_several("shifts", shifts), _one_or_several("dims", dims))


def _one_or_several(name: str, value: int | Sequence[int]) -> tuple[int, ...]:
    return integers("roll", name, value if isinstance(value, Sequence) else (value,))
