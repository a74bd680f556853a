"""New values for the whole of a tensor, in place: from another tensor, one number, or zero."""

from __future__ import annotations

from typing import Any

import numpy as np

from gradcli.autograd.dtypes import Array
from gradcli.autograd.in_place import call_in_place
from gradcli.autograd.operation import attach_in_place, op, tensor_method
from gradcli.autograd.tensor import Tensor
from gradcli.ops.arguments import is_number, require_tensors
from gradcli.ops.creation import zeros_like
from gradcli.ops.promotion import as_element

__all__ = [
    "fill",
    "zero_",
]


@op("CopyBackwards")
def copy(input: Array, src: Array | float, non_blocking: bool = False) -> Array:
    """`src`, broadcast to the shape of input and brought to its type. `non_blocking` changes nothing here."""
    if not is_number(src):
        require_tensors("copy_", other=src)
    values = np.asarray(src)
    try:
        return np.broadcast_to(values, input.shape).astype(input.dtype)
    except ValueError:
        raise RuntimeError(
            f"output with shape {list(input.shape)} doesn't match the broadcast shape of {list(values.shape)}"
        ) from None


copy.gradient(input=lambda grad: zeros_like(grad), src=lambda grad: grad)
attach_in_place(copy, "copy")


@op("FillBackward0")
def fill_with_number(input: Array, value: float) -> Array:
    """A number everywhere."""
    return np.full_like(input, as_element(value, input.dtype))


@op("FillBackward1")
def fill_with_tensor(input: Array, value: Array) -> Array:
    """The only element of a 0-d tensor everywhere."""
    return _filled(input, value)


@op("FillBackward2")
def overwrite_with_number(input: Array, value: float) -> Array:
    """A number everywhere, recorded as PyTorch records it in place."""
    return np.full_like(input, as_element(value, input.dtype))


@op("FillBackward3")
def overwrite_with_tensor(input: Array, value: Array) -> Array:
    """The only element of a 0-d tensor everywhere, recorded as PyTorch records it in place."""
    return _filled(input, value)


def _filled(input: Array, value: Array) -> Array:
    if value.ndim:
        raise RuntimeError(f"fill_ only supports 0-dimension value tensor but got tensor with {value.ndim} dimensions.")
    return np.full_like(input, value)


for _operation in (fill_with_number, overwrite_with_number):
    _operation.gradient(input=lambda grad: zeros_like(grad))
for _operation in (fill_with_tensor, overwrite_with_tensor):
    _operation.gradient(input=lambda grad: zeros_like(grad), value=lambda grad: grad.sum())


def fill(input: Any, value: Any) -> Any:
    """`value`, a number or a 0-d tensor, everywhere, in the shape and type of input."""
    require_tensors("fill", input=input)
    return (fill_with_number if is_number(value) else fill_with_tensor)(input, value)


def _overwrite(input: Any, value: Any) -> Any:
    """`value`, a number or a 0-d tensor, everywhere."""
    return (overwrite_with_number if is_number(value) else overwrite_with_tensor)(input, value)


attach_in_place(_overwrite, "fill")


@op("ZeroBackward0")
def zero(input: Array) -> Array:
    """Zero everywhere."""
    return np.zeros_like(input)


zero.gradient(input=lambda grad: zeros_like(grad))


@tensor_method()
def zero_(input: Tensor) -> Tensor:
    """In place: zero everywhere."""
    return call_in_place(zero, input, (), {})
