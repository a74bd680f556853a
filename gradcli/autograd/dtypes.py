"""Element types and shapes under PyTorch's names, and how they map to NumPy's.

Their text is PyTorch's (`torch.float32`, `torch.Size([2, 3])`), so that output compares line by line with a
PyTorch transcript and reads right under `import gradcli as torch`.
"""

from __future__ import annotations

import builtins
import math
from typing import Any

import numpy as np
import numpy.typing as npt

Array = npt.NDArray[Any]


class dtype:  # noqa: N801 - PyTorch's name
    """An element type; `numpy` is the NumPy dtype that stores it."""

    __slots__ = ("is_floating_point", "name", "numpy")

    def __init__(self, name: str) -> None:
        self.name = name
        self.numpy: np.dtype[Any] = np.dtype(name)
        self.is_floating_point = self.numpy.kind == "f"

    @property
    def itemsize(self) -> builtins.int:
        """Bytes that one element takes."""
        return self.numpy.itemsize

    def __repr__(self) -> str:
        return f"torch.{self.name}"

    def __reduce__(self) -> str:
        # Element types are compared by identity, so copies and pickles must give the very same object.
        return {"bool": "bool_"}.get(self.name, self.name)


float16 = half = dtype("float16")
float32 = float = dtype("float32")
float64 = double = dtype("float64")
int8 = dtype("int8")
int16 = short = dtype("int16")
int32 = int = dtype("int32")
int64 = long = dtype("int64")
uint8 = dtype("uint8")
bool_ = dtype("bool")

_BY_NUMPY = {t.numpy: t for t in (float16, float32, float64, int8, int16, int32, int64, uint8, bool_)}
_BY_PYTHON: dict[type, dtype] = {builtins.float: float64, builtins.int: int64, builtins.bool: bool_}

TYPE_NAMES = {
    "float16": "Half",
    "float32": "Float",
    "float64": "Double",
    "int8": "Char",
    "int16": "Short",
    "int32": "Int",
    "int64": "Long",
    "uint8": "Byte",
    "bool": "Bool",
}
"""What PyTorch calls the types of elements in the names of tensor types (`torch.FloatTensor`) and in messages."""

DType = dtype | np.dtype[Any] | type
"""What a `dtype=` argument may be: gradcli's, NumPy's, or Python's float, int and bool."""


def from_numpy_dtype(numpy_dtype: np.dtype[Any]) -> dtype:
    """The element type stored as `numpy_dtype`; TypeError for those that PyTorch has no tensor of here."""
    try:
        return _BY_NUMPY[numpy_dtype]
    except KeyError:
        known = ", ".join(t.name for t in _BY_NUMPY.values())
        raise TypeError(f"can't make a tensor of {numpy_dtype} values; the types are {known}") from None


def as_numpy_dtype(requested: DType) -> np.dtype[Any]:
    """The NumPy dtype of a `dtype=` argument."""
    if isinstance(requested, dtype):
        return requested.numpy
    if isinstance(requested, type) and requested in _BY_PYTHON:
        return _BY_PYTHON[requested].numpy
    return from_numpy_dtype(np.dtype(requested)).numpy


class Size(tuple[builtins.int, ...]):
    """The shape of a tensor: a tuple that prints as PyTorch's does."""

    __slots__ = ()

    def numel(self) -> builtins.int:
        """Number of elements of a tensor of this shape."""
        return math.prod(self)

    def __repr__(self) -> str:
        return f"torch.Size({list(self)})"
