"""What `tensor[...]` means: a key in two parts, one that makes a view and one that gathers elements, as in PyTorch."""

from __future__ import annotations

import operator
from collections.abc import Sequence
from typing import Any, NamedTuple

import numpy as np

from gradcli.autograd.dtypes import Array, bool_, uint8
from gradcli.autograd.tensor import Tensor
from gradcli.ops.creation import tensor

_MASKS = (bool_, uint8, np.dtype(np.bool_), np.dtype(np.uint8))
_FULL = slice(None)
_LONGEST_TUPLE = 32
"""Lists up to this length that hold more than numbers are keys of several parts, as they once were in NumPy."""

GatherKey = tuple[Any, ...]
"""A NumPy key of full slices and integer arrays."""


class SplitKey(NamedTuple):
    """A key in two parts: `array[view][gather]` is what the key means, in NumPy's terms.

    `view` holds integers, slices and None; `gather` full slices and integer arrays, and is None where there are none.
    """

    view: tuple[int | slice | None, ...]
    gather: GatherKey | None


def split_key(key: Any, shape: tuple[int, ...]) -> SplitKey:
    """The two parts of a key for a tensor of this shape.

    Integers (0-d tensors too), slices, None and `...` make the view; lists and tensors of integers or truth values
    gather from it. A single truth value keeps all or nothing, along a new dim. IndexError for a key with too many
    parts, of other types, or with a mask of another shape.
    """
    parts = _parts(key)
    specified = sum(map(_dims_of, parts))
    if specified > len(shape):
        raise IndexError(f"too many indices for tensor of dimension {len(shape)}")
    view: list[int | slice | None] = []
    gathers: dict[int, Array] = {}
    source, target = 0, 0  # the dim of the tensor, and that of the view
    for part in _without_ellipsis(parts, len(shape) - specified):
        if part is None or _is_truth(part):
            view.append(None)
            if part is not None:
                gathers[target] = np.zeros(int(bool(part)), np.int64)
            target += 1
        elif isinstance(part, slice):
            view.append(normal_slice(part))
            source, target = source + 1, target + 1
        elif _is_integer(part):
            view.append(_within(operator.index(part), source, shape[source]))
            source += 1
        else:
            for positions in index_arrays(part, shape, source):
                view.append(_FULL)
                gathers[target] = positions
                source, target = source + 1, target + 1
    gather = tuple(gathers.get(axis, _FULL) for axis in range(max(gathers) + 1)) if gathers else None
    return SplitKey(tuple(view), gather)


def index_arrays(part: Any, shape: tuple[int, ...], dim: int) -> tuple[Array, ...]:
    """The integer index arrays that a tensor or list at `dim` stands for; a mask gives one for each of its dims."""
    array = part.array if isinstance(part, Tensor) else part if isinstance(part, np.ndarray) else tensor(part).array
    if array.size == 0 and not isinstance(part, Tensor | np.ndarray):
        array = array.astype(np.int64)
    if array.dtype in (np.int64, np.int32):
        return (array,)
    if array.dtype not in (np.bool_, np.uint8):
        raise IndexError(f"tensors used as indices must be int64, int32, bool or uint8, but got {array.dtype.name}")
    if array.shape != shape[dim : dim + array.ndim]:
        raise IndexError(
            f"The shape of the mask {list(array.shape)} does not match the shape of the indexed tensor {list(shape)} "
            f"at dim {dim}"
        )
    return np.nonzero(array) if array.ndim else (np.zeros(int(array), np.int64),)


def gather_key(indices: Sequence[Any], shape: tuple[int, ...]) -> GatherKey:
    """The key that tensors, or None for a whole dim, at the first dims stand for (`index_put`)."""
    key: list[Any] = []
    for part in indices:
        if part is None:
            key.append(_FULL)
        elif isinstance(part, Tensor | np.ndarray):
            key += index_arrays(part, shape, len(key))
        else:
            raise TypeError(f"expected a tensor as an index, but got {type(part).__name__}")
    if len(key) > len(shape):
        raise IndexError(f"too many indices for tensor of dimension {len(shape)} (got {len(key)})")
    return tuple(key)


def _parts(key: Any) -> tuple[Any, ...]:
    if isinstance(key, tuple):
        return key
    several = Tensor, list, tuple, np.ndarray, slice
    if not isinstance(key, list) or len(key) > _LONGEST_TUPLE:
        return (key,)
    return tuple(key) if any(part is None or part is Ellipsis or isinstance(part, several) for part in key) else (key,)


def _dims_of(part: Any) -> int:
    """How many dims of the tensor a part covers."""
    if part is None or part is Ellipsis or _is_truth(part):
        return 0
    if isinstance(part, list) or (isinstance(part, Tensor | np.ndarray) and part.dtype in _MASKS):
        return np.ndim(part) if _holds_truth(part) else 1
    if isinstance(part, slice | Sequence | Tensor | np.ndarray) or _is_integer(part):
        return 1
    raise IndexError(
        "only integers, slices (`:`), ellipsis (`...`), None and integer or bool tensors are valid indices "
        f"(got {type(part).__name__})"
    )


def _holds_truth(part: Any) -> bool:
    while isinstance(part, list):
        if not part:
            return False
        part = part[0]
    return isinstance(part, bool | np.bool_) or (isinstance(part, Tensor | np.ndarray) and part.dtype in _MASKS)


def _without_ellipsis(parts: tuple[Any, ...], missing: int) -> list[Any]:
    """The parts with `...` written out as `missing` full slices."""
    ellipses = [position for position, part in enumerate(parts) if part is Ellipsis]
    if not ellipses:
        return list(parts)
    if len(ellipses) > 1:
        raise IndexError("an index can only have a single ellipsis ('...')")
    at = ellipses[0]
    return [*parts[:at], *(_FULL,) * missing, *parts[at + 1 :]]


def _is_truth(part: Any) -> bool:
    """A single truth value: it keeps everything or nothing, along a new dim."""
    return isinstance(part, bool | np.bool_) or (
        isinstance(part, Tensor | np.ndarray) and part.ndim == 0 and part.dtype in _MASKS
    )


def _is_integer(part: Any) -> bool:
    if isinstance(part, Tensor):
        return part.ndim == 0 and part.array.dtype.kind in "iu"
    if isinstance(part, np.ndarray):
        return part.ndim == 0 and part.dtype.kind in "iu"
    return isinstance(part, int | np.integer)


def _within(index: int, dim: int, size: int) -> int:
    if not -size <= index < size:
        raise IndexError(f"index {index} is out of bounds for dimension {dim} with size {size}")
    return index


def normal_slice(part: slice) -> slice:
    """A slice of plain integers; ValueError for steps below 1, which PyTorch has no views for."""
    if part == _FULL:
        return part
    bounds = (part.start, part.stop, part.step)
    start, stop, step = (None if bound is None else operator.index(bound) for bound in bounds)
    if step is not None and step < 1:
        raise ValueError("step must be greater than zero")
    return slice(start, stop, step)
