"""What tensors tell of themselves: where they are, how their memory is laid out, and how much of it they take."""

from __future__ import annotations

from typing import Any, NamedTuple

import numpy as np

from gradcli.autograd.dtypes import DType, as_numpy_dtype
from gradcli.autograd.operation import tensor_method
from gradcli.autograd.tensor import Tensor
from gradcli.ops.dims import canonical_dim

__all__ = [
    "device",
    "finfo",
    "iinfo",
    "is_floating_point",
    "is_tensor",
    "numel",
]


class device:  # noqa: N801 - PyTorch's name
    """Where a tensor is, as "cpu" or "cpu:0". Others can be named, but nothing can be moved there."""

    __slots__ = ("index", "type")

    def __init__(self, type: str | device, index: int | None = None) -> None:
        name, _, number = str(type).partition(":")
        if number and (index is not None or not number.isdecimal()):
            raise RuntimeError(f"Invalid device string: {str(type)!r}")
        self.type = name
        self.index = int(number) if number else index

    def __str__(self) -> str:
        return self.type if self.index is None else f"{self.type}:{self.index}"

    def __repr__(self) -> str:
        return f"device(type={self.type!r}" + (")" if self.index is None else f", index={self.index})")

    def __eq__(self, other: object) -> bool:
        return isinstance(other, device) and (self.type, self.index) == (other.type, other.index)

    def __hash__(self) -> int:
        return hash((self.type, self.index))


_CPU = device("cpu")


def _device(input: Tensor) -> device:
    """The CPU, as for all tensors here."""
    return _CPU


def _bytes_per_element(input: Tensor) -> int:
    """Bytes that one element takes."""
    return input.dtype.itemsize


def _bytes(input: Tensor) -> int:
    """Bytes that all elements take."""
    return input.numel() * input.dtype.itemsize


Tensor.device = property(_device)  # type: ignore[attr-defined]
Tensor.is_cuda = property(lambda input: False)  # type: ignore[attr-defined]
Tensor.itemsize = property(_bytes_per_element)  # type: ignore[attr-defined]
Tensor.nbytes = property(_bytes)  # type: ignore[attr-defined]


@tensor_method()
def cpu(input: Tensor) -> Tensor:
    """The tensor itself: it is there already."""
    return input


@tensor_method()
def element_size(input: Tensor) -> int:
    """Bytes that one element takes."""
    return _bytes_per_element(input)


@tensor_method()
def is_contiguous(input: Tensor) -> bool:
    """Whether the elements lie in row-major order, without gaps. Images inside of networks often don't."""
    return bool(input.array.flags.c_contiguous)


@tensor_method()
def stride(input: Tensor, dim: int | None = None) -> Any:
    """How many elements of memory lie between neighbours along each dim, or along `dim`."""
    strides = tuple(step // input.array.itemsize for step in input.array.strides)
    return strides if dim is None else strides[canonical_dim(dim, input.ndim)]


@tensor_method("nelement")
def numel(input: Tensor) -> int:
    """Number of elements."""
    return input.numel()


@tensor_method()
def ndimension(input: Tensor) -> int:
    """Number of dimensions."""
    return input.ndim


def is_tensor(obj: Any) -> bool:
    """Whether something is a tensor."""
    return isinstance(obj, Tensor)


def is_floating_point(input: Tensor) -> bool:
    """True for a tensor of a float type: only those can require gradients."""
    return input.is_floating_point()


# --- what the types of elements reach ---------------------------------------------------------------------------------


class FloatLimits(NamedTuple):
    """What a float type reaches: numbers from `min` to `max`, the smallest normal one above zero, and steps at 1."""

    bits: int
    eps: float
    max: float
    min: float
    resolution: float
    smallest_normal: float
    tiny: float
    dtype: str


class IntegerLimits(NamedTuple):
    """What an integer type reaches."""

    bits: int
    max: int
    min: int
    dtype: str


def finfo(type: DType = np.float32) -> FloatLimits:
    """The limits of a float type."""
    wanted = as_numpy_dtype(type)
    if wanted.kind != "f":
        raise TypeError(
            f"torch.finfo() requires a floating point input type. Use torch.iinfo to handle {wanted.name!r}"
        )
    limits = np.finfo(wanted)
    numbers = {name: float(getattr(limits, name)) for name in FloatLimits._fields[1:-1]}
    return FloatLimits(bits=limits.bits, **numbers, dtype=wanted.name)


def iinfo(type: DType) -> IntegerLimits:
    """The limits of an integer type."""
    wanted = as_numpy_dtype(type)
    if wanted.kind not in "iu":
        raise TypeError(f"torch.iinfo() requires an integer input type. Use torch.finfo to handle {wanted.name!r}")
    limits = np.iinfo(wanted)
    return IntegerLimits(limits.bits, limits.max, limits.min, wanted.name)
