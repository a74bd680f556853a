"""Making tensors from values, and of constants."""

from __future__ import annotations

from typing import Any

import numpy as np

from gradcli.autograd.dtypes import Array, DType, as_numpy_dtype, float32, from_numpy_dtype
from gradcli.autograd.tensor import Tensor
from gradcli.ops.dims import sizes
from gradcli.ops.promotion import promote_types, result_type

__all__ = [
    "arange",
    "as_tensor",
    "empty",
    "eye",
    "from_numpy",
    "full",
    "ones",
    "tensor",
    "zeros",
]


def tensor(data: Any, *, dtype: DType | None = None, requires_grad: bool = False) -> Tensor:
    """A new tensor of a number, nested lists, an array or a tensor, copied.

    Python floats become float32, integers int64, bools bool; arrays keep their type, inside of lists too.
    """
    values = np.array(data.array if isinstance(data, Tensor) else _nested(data))
    wanted: np.dtype[Any] = values.dtype
    if dtype is not None:
        wanted = as_numpy_dtype(dtype)
    elif isinstance(data, list | tuple) and values.dtype.kind in "iuf":
        wanted = _type_of_leaves(data) or float32.numpy
    elif isinstance(data, float) and not isinstance(data, np.generic):
        wanted = float32.numpy
    with np.errstate(all="ignore"):  # what is too large becomes inf without a word, as in PyTorch
        values = values.astype(wanted, copy=False)
    from_numpy_dtype(values.dtype)  # refuses text, objects and the like
    return Tensor(values, requires_grad)


def _type_of_leaves(data: list[Any] | tuple[Any, ...]) -> np.dtype[Any] | None:
    """The common type of what nested lists hold; None where they hold nothing."""
    common: np.dtype[Any] | None = None
    for part in data:
        if isinstance(part, list | tuple):
            own = _type_of_leaves(part)
        elif isinstance(part, Tensor):
            own = part.array.dtype
        else:
            own = part.dtype if isinstance(part, np.ndarray | np.generic) else result_type(part)
        if own is not None:
            common = own if common is None else promote_types(common, own)
    return common


def _nested(data: Any) -> Any:
    """`data` with the tensors inside lists replaced by their values; ValueError for ragged lists."""
    if isinstance(data, list | tuple):
        parts = [_nested(part) for part in data]
        lengths = {len(part) if isinstance(part, list | tuple | np.ndarray) and np.ndim(part) else -1 for part in parts}
        if len(lengths) > 1:
            raise ValueError(f"expected sequences of one length, but got lengths {sorted(lengths)}")
        return parts
    return data.array if isinstance(data, Tensor) else data


def as_tensor(data: Any, dtype: DType | None = None) -> Tensor:
    """A tensor of `data`: itself if it is one of that type, sharing memory with an array of that type."""
    if isinstance(data, Tensor):
        return data if dtype is None else data.to(dtype)
    if isinstance(data, np.ndarray) and (dtype is None or data.dtype == as_numpy_dtype(dtype)):
        return from_numpy(data)
    return tensor(data, dtype=dtype)


def from_numpy(ndarray: Array) -> Tensor:
    """A tensor that shares memory with an array."""
    if not isinstance(ndarray, np.ndarray):
        raise TypeError(f"expected np.ndarray (got {type(ndarray).__name__})")
    from_numpy_dtype(ndarray.dtype)
    return Tensor(ndarray)


def zeros(*size: Any, dtype: DType = float32, requires_grad: bool = False) -> Tensor:
    """Zeros in the shape given as `2, 3` or `(2, 3)`."""
    return Tensor(np.zeros(sizes(size), as_numpy_dtype(dtype)), requires_grad)


def ones(*size: Any, dtype: DType = float32, requires_grad: bool = False) -> Tensor:
    """Ones in the shape given as `2, 3` or `(2, 3)`."""
    return Tensor(np.ones(sizes(size), as_numpy_dtype(dtype)), requires_grad)


def empty(*size: Any, dtype: DType = float32, requires_grad: bool = False) -> Tensor:
    """Memory as it comes, in the shape given as `2, 3` or `(2, 3)`."""
    return Tensor(np.empty(sizes(size), as_numpy_dtype(dtype)), requires_grad)


def full(
    size: tuple[int, ...] | list[int],
    fill_value: float,
    *,
    dtype: DType | None = None,
    requires_grad: bool = False,
) -> Tensor:
    """One value everywhere; its own type decides where `dtype` doesn't."""
    return tensor(np.full(tuple(size), tensor(fill_value, dtype=dtype).array), requires_grad=requires_grad)


def arange(
    start: float,
    end: float | None = None,
    step: float = 1,
    *,
    dtype: DType | None = None,
    requires_grad: bool = False,
) -> Tensor:
    """The numbers from start up to, not including, end; `arange(n)` starts at 0. Integers give int64."""
    first, last = (0, start) if end is None else (start, end)
    if step == 0:
        raise RuntimeError("step must be nonzero")
    if (last - first) * step < 0:
        raise RuntimeError("upper bound and lower bound inconsistent with step sign")
    integral = all(isinstance(value, int) for value in (first, last, step))
    wanted = as_numpy_dtype(dtype) if dtype is not None else np.dtype(np.int64 if integral else np.float32)
    return Tensor(np.arange(first, last, step).astype(wanted), requires_grad)


def eye(n: int, m: int | None = None, *, dtype: DType = float32, requires_grad: bool = False) -> Tensor:
    """Ones on the diagonal of an n x m matrix (n x n by default), zeros elsewhere."""
    return Tensor(np.eye(n, m, dtype=as_numpy_dtype(dtype)), requires_grad)
