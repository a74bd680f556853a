"""The one function that writes weights.

The safetensors library's own writer is not used: version 0.8.0 ignores the strides of arrays, orders
metadata by chance (equal weights would get unequal checksums), and writes an unreadable file for no
tensors with empty metadata. Its reader checks every file that is written here.
"""

from __future__ import annotations

import json
import os
from collections.abc import Mapping
from pathlib import Path
from typing import Any, Final

import numpy as np

from gradcli.checkpoints.atomic import replace_atomically
from gradcli.checkpoints.dtypes import SAFETENSORS_DTYPES
from gradcli.errors import DataError, WeightsError

_CODES: Final = {dtype: code for code, dtype in SAFETENSORS_DTYPES.items() if dtype != "bfloat16"}
_HEADER_ALIGNMENT: Final = 8


def save_safetensors(
    path: str | os.PathLike[str],
    tensors: Mapping[str, np.ndarray[Any, Any]],
    metadata: Mapping[str, str] | None = None,
) -> None:
    """Write arrays by name, and text metadata, as a safetensors file: whole and verified, or not at all.

    Arrays of bool, integer, float16, float32 and float64 dtypes in any memory layout, byte order and
    shape (0-d and empty too) keep their dtype and shape; the names keep their order. Equal arguments
    give equal bytes. The file is written beside its place, read back, compared bit for bit (dtype,
    shape, NaN payloads, metadata), flushed to the disk and only then renamed; it gets the mode that the
    umask says. On any failure the old file is untouched. At most one tensor is copied at a time.

    WeightsError for a name, text or dtype that the format does not take; DataError if `path` cannot be
    written or what was read back differs.
    """
    arrays = {name: np.asarray(array) for name, array in tensors.items()}
    text = dict(metadata or {})
    for name, array in arrays.items():
        _check_tensor(path, name, array)
    # Wide elements first: every tensor then starts at a multiple of its element size.
    file_order = sorted(arrays, key=lambda name: -arrays[name].itemsize)
    header = _header(path, arrays, file_order, text)
    with replace_atomically(path) as temporary:
        with temporary.open("wb") as stream:
            stream.write(header)
            for name in file_order:
                stream.write(_little_endian_in_order(arrays[name]).data)
        difference = _first_difference(temporary, arrays, text)
        if difference is not None:
            raise DataError(f"{os.fspath(path)}: what was read back differs ({difference}); not kept")


def _check_tensor(path: str | os.PathLike[str], name: str, array: np.ndarray[Any, Any]) -> None:
    if name == "__metadata__":
        raise WeightsError(f"{os.fspath(path)}: {name!r} cannot be the name of a tensor in a safetensors file")
    if array.dtype.name not in _CODES:
        raise WeightsError(
            f"{os.fspath(path)}: tensor {name!r} has the dtype {array.dtype}, which is not written; "
            f"convert it to one of {', '.join(_CODES)}"
        )


def _header(
    path: str | os.PathLike[str],
    arrays: Mapping[str, np.ndarray[Any, Any]],
    file_order: list[str],
    metadata: dict[str, str],
) -> bytes:
    """The length and the JSON header, padded with spaces so that the data starts aligned."""
    offsets, end = {}, 0
    for name in file_order:
        offsets[name] = [end, end + arrays[name].nbytes]
        end += arrays[name].nbytes
    entries: dict[str, Any] = {"__metadata__": metadata} if metadata else {}
    for name, array in arrays.items():
        entries[name] = {
            "dtype": _CODES[array.dtype.name],
            "shape": array.shape,
            "data_offsets": offsets[name],
        }
    try:
        data = json.dumps(entries, ensure_ascii=False, separators=(",", ":")).encode()
    except UnicodeEncodeError as error:
        raise WeightsError(f"{os.fspath(path)}: a name or metadata is no valid text: {error}") from error
    data += b" " * (-len(data) % _HEADER_ALIGNMENT)
    return len(data).to_bytes(8, "little") + data


def _little_endian_in_order(array: np.ndarray[Any, Any]) -> np.ndarray[Any, Any]:
    """The elements in C order and little-endian, copied only if they are not."""
    # np.ascontiguousarray would turn a 0-d array into one of shape (1,)
    return array.astype(array.dtype.newbyteorder("<"), order="C", copy=False)


def _first_difference(path: Path, arrays: Mapping[str, np.ndarray[Any, Any]], metadata: dict[str, str]) -> str | None:
    """What in the file is not what was to be written, if anything."""
    from safetensors import SafetensorError, safe_open

    try:
        with safe_open(path, framework="np") as file:
            if (file.metadata() or {}) != metadata:
                return "the metadata"
            if set(file.keys()) != set(arrays):
                return "the list of tensors"
            for name, array in arrays.items():
                if not _same_bits(file.get_tensor(name), array):
                    return f"tensor {name!r}"
    except SafetensorError as error:
        return " ".join(str(error).split())
    return None


def _same_bits(read: np.ndarray[Any, Any], given: np.ndarray[Any, Any]) -> bool:
    native = given.astype(given.dtype.newbyteorder("="), order="C", copy=False)
    if read.dtype != native.dtype or read.shape != native.shape:
        return False
    # As unsigned integers, so that NaN equals the same NaN and -0.0 differs from 0.0
    bits = f"u{native.itemsize}"
    return np.array_equal(read.view(bits), native.view(bits))
