"""Arrays from the tensors and storages that a PyTorch file describes, every number checked first."""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any, Final

import numpy as np

from gradcli.checkpoints.dtypes import SUPPORTED_DTYPES, array_from_bytes, item_size
from gradcli.checkpoints.mapped_file import Bytes, release_pages
from gradcli.checkpoints.quoting import quoted
from gradcli.checkpoints.tensor_limits import ALWAYS_ALLOWED_BYTES, LARGEST_NUMBER, LARGEST_RANK
from gradcli.checkpoints.torch_pickle import StorageRecord, TensorRecord
from gradcli.errors import WeightsError

# Tensors may share storages and repeat elements (stride 0), so a small file can describe terabytes.
_LARGEST_EXPANSION: Final = 4


def arrays_from_records(
    records: Mapping[str, TensorRecord],
    read_storage: Callable[[str], Bytes],
    path: Path,
    big_endian: bool = False,
) -> dict[str, np.ndarray[Any, Any]]:
    """The tensors as C-contiguous arrays that share no memory, in the order given.

    `read_storage` returns the bytes of the storage with that key, in memory that may be kept. Each storage is
    read once and let go after its last tensor, which stays a view of it where its elements lie as NumPy wants
    them. A tensor may be any strided window of its storage: transposed, sliced, expanded, overlapping others.

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
        storage = record.storage
        if storage.key not in storages:
            storages[storage.key] = read_storage(storage.key)
        data = storages[storage.key]
        if storage.size != data.size:
            raise _wrong(
                path,
                name,
                f"storage {quoted(storage.key)} has {data.size} bytes, not the {storage.size} declared",
            )
        uses[storage.key] -= 1
        last_use = uses[storage.key] == 0
        arrays[name] = _window(record, data, big_endian, may_keep=last_use)
        if last_use:
            del storages[storage.key]
            if not np.may_share_memory(arrays[name], data):
                release_pages(data)
    return arrays


def _check_record(path: Path, name: str, record: TensorRecord) -> None:
    """Everything about one tensor that can be known before its storage is read."""
    if record.dtype not in SUPPORTED_DTYPES:
        supported = ", ".join(SUPPORTED_DTYPES)
        raise WeightsError(f"{path}: tensor {quoted(name)} has the dtype {record.dtype}; supported are {supported}")
    storage = record.storage
    if not isinstance(storage, StorageRecord) or not isinstance(storage.key, str):
        raise _wrong(path, name, "no storage is named")
    if storage.dtype not in (None, *SUPPORTED_DTYPES):
        raise _wrong(path, name, f"it is said to lie in a storage of {storage.dtype}")
    shape, strides = record.shape, record.strides
    if not isinstance(shape, tuple) or not isinstance(strides, tuple) or len(shape) != len(strides):
        raise _wrong(path, name, "its sizes and strides do not match")
    if len(shape) > LARGEST_RANK:
        raise _wrong(path, name, f"it has {len(shape)} dimensions, more than {LARGEST_RANK}")
    for number in (*shape, *strides, record.offset, storage.elements):
        if type(number) is not int:
            raise _wrong(path, name, f"a {type(number).__name__} is no size, stride or offset")
        if not 0 <= number <= LARGEST_NUMBER:
            shown = number if abs(number) <= LARGEST_NUMBER else f"a number of {number.bit_length()} bits"
            raise _wrong(path, name, f"{shown} is no size, stride or offset")
    item = item_size(record.dtype)
    if math.prod(n or 1 for n in shape) * item > LARGEST_NUMBER:
        raise _wrong(path, name, "its sizes are too large together")
    if math.prod(shape):
        end = record.offset + sum((n - 1) * stride for n, stride in zip(shape, strides, strict=True)) + 1
        elements = storage.size // item
        if end > elements:
            raise _wrong(path, name, f"it reaches element {end} of a storage of {elements}")


def _check_total(path: Path, records: Mapping[str, TensorRecord]) -> None:
    total = 0
    for record in records.values():
        loaded_size = 4 if record.dtype == "bfloat16" else item_size(record.dtype)
        total += math.prod(record.shape) * loaded_size
    limit = max(ALWAYS_ALLOWED_BYTES, _LARGEST_EXPANSION * path.stat().st_size)
    if total > limit:
        raise WeightsError(
            f"{path}: its tensors would need {total} bytes of memory, more than {_LARGEST_EXPANSION} times "
            "its size; refused"
        )


def _window(record: TensorRecord, data: Bytes, big_endian: bool, may_keep: bool) -> np.ndarray[Any, Any]:
    """The tensor's elements; without a copy if it may keep `data`, where they lie as NumPy wants them."""
    shape = record.shape
    item = item_size(record.dtype)
    if math.prod(shape) == 0:
        return array_from_bytes(np.empty(0, np.uint8), record.dtype).reshape(shape)
    # A dimension of size 1 may carry any stride; 0 keeps NumPy from multiplying it out.
    strides = [stride * item if n > 1 else 0 for n, stride in zip(shape, record.strides, strict=True)]
    stored: np.ndarray[Any, Any] = np.ndarray(shape, f"u{item}", data, record.offset * item, strides)
    if not (may_keep and stored.flags.c_contiguous and stored.flags.aligned and stored.flags.writeable):
        stored = stored.copy(order="C")
    return array_from_bytes(stored.reshape(-1).view(np.uint8), record.dtype, big_endian).reshape(shape)


def _wrong(path: Path, name: str, reason: str) -> WeightsError:
    return WeightsError(f"{path}: tensor {quoted(name)} is corrupt: {reason}")
