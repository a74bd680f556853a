"""Copies of a tensor side by side."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np

from gradcli.autograd.dtypes import Array
from gradcli.autograd.operation import op
from gradcli.ops.arguments import require_tensors
from gradcli.ops.dims import integers, variadic_method
from gradcli.ops.reduction import sum_dims
from gradcli.ops.shape import view

__all__ = [
    "tile",
]


@op("RepeatBackward0")
def repeat_dims(input: Array, repeats: tuple[int, ...]) -> Array:
    """Every dim repeated as often as `repeats` says, whose first numbers are for new dims in front."""
    if len(repeats) < input.ndim:
        raise RuntimeError("Number of dimensions of repeat dims can not be smaller than number of dimensions of tensor")
    if min(repeats, default=0) < 0:
        raise RuntimeError(f"Trying to create tensor with negative dimension: repeats are {list(repeats)}")
    return np.tile(input, repeats)


@repeat_dims.gradients("input")
def _repeat_gradient(grad: Any, input_shape: tuple[int, ...], repeats: tuple[int, ...]) -> tuple[Any]:
    if not repeats:
        return (grad,)
    own = (1,) * (len(repeats) - len(input_shape)) + input_shape
    interleaved = tuple(size for pair in zip(repeats, own, strict=True) for size in pair)
    copies = tuple(range(0, len(interleaved), 2))
    return (view(sum_dims(view(grad, interleaved), copies), input_shape),)


@variadic_method()
def repeat(input: Any, repeats: Sequence[int]) -> Any:
    """Copies of the tensor side by side, `repeats` of them along each dim; its first numbers make new dims in front."""
    return repeat_dims(input, integers("repeat", "repeats", repeats))


@variadic_method()
def tile(input: Any, dims: Sequence[int]) -> Any:
    """Copies of the tensor side by side, as `repeat`; dims that `dims` leaves out, the first ones, are not repeated."""
    require_tensors("tile", input=input)
    repeats = integers("tile", "dims", dims)
    return repeat_dims(input, (1,) * (input.ndim - len(repeats)) + repeats)
