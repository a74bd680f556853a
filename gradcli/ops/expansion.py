"""Broadcasting to a larger shape, without copying."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any

import numpy as np

from gradcli.autograd.dtypes import Array
from gradcli.autograd.operation import op, tensor_method
from gradcli.ops.arguments import require_tensors
from gradcli.ops.dims import integers, sizes, variadic_method

__all__ = [
    "broadcast_to",
]


@op("ExpandBackward0", view=True)
def expand_to(input: Array, shape: tuple[int, ...]) -> Array:
    """Dims of size 1 repeated, and new ones in front."""
    if input.shape == shape[len(shape) - input.ndim :] and math.prod(shape) == input.size:
        return input.reshape(shape)  # nothing is repeated, so the view can be written through
    try:
        return np.broadcast_to(input, shape)
    except ValueError:
        raise RuntimeError(
            f"The expanded size of the tensor {list(shape)} must match the existing size {list(input.shape)} "
            "at non-singleton dimensions"
        ) from None


expand_to.gradient(input=lambda grad: grad)  # summed back to the input's shape by the engine


@variadic_method()
def expand(input: Any, size: Sequence[int], *, implicit: bool = False) -> Any:
    """Broadcast to a shape; -1 keeps a size. `implicit` changes nothing: PyTorch marks broadcasting of its own so."""
    require_tensors("expand", input=input)
    wanted = sizes((size,))
    leading = len(wanted) - input.ndim
    if leading < 0:
        raise RuntimeError(
            f"expand: the number of sizes provided ({len(wanted)}) must be greater or equal to the number of "
            f"dimensions in the tensor ({input.ndim})"
        )
    if -1 in wanted[:leading]:
        raise RuntimeError(
            "The expanded size of the tensor (-1) isn't allowed in a leading, non-existing dimension "
            f"{wanted.index(-1)}"
        )
    own = (1,) * leading + tuple(input.shape)
    return expand_to(input, tuple(o if w == -1 else w for o, w in zip(own, wanted, strict=True)))


@variadic_method()
def broadcast_to(input: Any, size: Sequence[int]) -> Any:
    """Broadcast to a shape; -1 keeps a size."""
    return expand(input, integers("broadcast_to", "size", size))


@tensor_method()
def expand_as(input: Any, other: Any) -> Any:
    """Broadcast to the shape of another tensor."""
    return expand(input, tuple(other.shape))
