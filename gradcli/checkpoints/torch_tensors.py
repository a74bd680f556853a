"""Arrays from the tensors and storages that a PyTorch file describes, every number checked first."""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any, Final

import numpy as np

from gradcli.checkpoints.dtypes import SUPPORTED_DTYPES, array_from_bytes, item_size
from gradcli.checkpoints.torch_pickle import StorageRecord, TensorRecord
from gradcli.errors import WeightsError

# Tensors may share storages and repeat elements (stride 0), so a small file can describe terabytes.
_LARGEST_EXPANSION: Final = 16
_ALWAYS_ALLOWED_BYTES: Final = 2**28
_LARGEST_RANK: Final = 64  # NumPy's limit

Bytes = np.ndarray[Any, np.dtype[np.uint8]]


def arrays_from_records(
    records: Mapping[str, TensorRecord],
    read_storage: Callable[[str], Bytes],
    path: Path,
    big_endian: bool = False,
) -> dict[str, np.ndarray[Any, Any]]:
    """The tensors as C-contiguous arrays that share no memory, in the order given.

    `read_storage` returns the bytes of the storage with that key, in memory that may be kept. Each
    storage is read once and let go after its last tensor. A tensor may be any strided window of its
    storage: transposed, sliced, expanded, overlapping others.

    WeightsError names the file and the tensor where the dtype is not supported, a size, stride or offset
    is no non-negative whole number, the storage is not as long as declared, or the window reaches
    beyond it.
    """
    for name, record in records.items():
        _check_record(path, name, record)
    _check_total(path, records)

    uses = Counter(record.storage.key for record in records.values())
    storages: dict[str, Bytes] = {}
    arrays = {}
    for name, record in records.items():
        key = record.storage.key
        if key not in storages:
            storages[key] = read_storage(key)
        uses[key] -= 1
        last_use = uses[key] == 0
        data = storages.pop(key) if last_use else storages[key]
        declared = record.storage.elements * (item_size(record.dtype) if record.storage.dtype else 1)
        if declared != data.size:
            raise _wrong(path, name, f"storage {key!r} has {data.size} bytes, not the {declared} declared")
        arrays[name] = _window(path, name, record, data, big_endian, may_keep=last_use)
    return arrays


def _check_record(path: Path, name: str, record: TensorRecord) -> None:
    """Everything about one tensor that can be known before its storage is read."""
    if record.dtype not in SUPPORTED_DTYPES:
        supported = ", ".join(SUPPORTED_DTYPES)
        raise WeightsError(f"{path}: tensor {name!r} has the dtype {record.dtype}; supported are {supported}")
    storage = record.storage
    if not isinstance(storage, StorageRecord) or not isinstance(storage.key, str):
        raise _wrong(path, name, "no storage is named")
    shape, strides = record.shape, record.strides
    if not isinstance(shape, tuple) or not isinstance(strides, tuple) or len(shape) != len(strides):
        raise _wrong(path, name, "its sizes and strides do not match")
    if len(shape) > _LARGEST_RANK:
        raise _wrong(path, name, f"it has {len(shape)} dimensions, more than {_LARGEST_RANK}")
    for number in (*shape, *strides, record.offset, storage.elements):
        if type(number) is not int or number < 0:
            raise _wrong(path, name, f"{number!r} is no size, stride or offset")
    if math.prod(shape):
        end = record.offset + sum((n - 1) * stride for n, stride in zip(shape, strides, strict=True)) + 1
        elements = storage.elements if storage.dtype else storage.elements // item_size(record.dtype)
        if end > elements:
            raise _wrong(path, name, f"it reaches element {end} of a storage of {elements}")


def _check_total(path: Path, records: Mapping[str, TensorRecord]) -> None:
    total = sum(math.prod(record.shape) * item_size(record.dtype) for record in records.values())
    limit = max(_ALWAYS_ALLOWED_BYTES, _LARGEST_EXPANSION * path.stat().st_size)
    if total > limit:
        raise WeightsError(
            f"{path}: its tensors would need {total} bytes of memory, more than {_LARGEST_EXPANSION} times "
            "its size; refused"
        )


def _window(
    path: Path, name: str, record: TensorRecord, data: Bytes, big_endian: bool, may_keep: bool
) -> np.ndarray[Any, Any]:
    """The tensor's elements; without a copy if it may keep `data` and is all of it in order."""
    shape = record.shape
    item = item_size(record.dtype)
    if data.size % item:
        raise _wrong(path, name, f"its storage of {data.size} bytes is no whole number of elements")
    elements = array_from_bytes(data, record.dtype, big_endian)
    if math.prod(shape) == 0:
        return np.empty(shape, elements.dtype)
    # A dimension of size 1 may carry any stride; 0 keeps NumPy from multiplying it out.
    strides = [stride if n > 1 else 0 for n, stride in zip(shape, record.strides, strict=True)]
    window: np.ndarray[Any, Any] = np.ndarray(
        shape,
        elements.dtype,
        buffer=elements,
        offset=record.offset * elements.itemsize,
        strides=[stride * elements.itemsize for stride in strides],
    )
    if may_keep and window.flags.c_contiguous and window.size == elements.size:
        return window
    return window.copy(order="C")


def _wrong(path: Path, name: str, reason: str) -> WeightsError:
    return WeightsError(f"{path}: tensor {name!r} is corrupt: {reason}")
