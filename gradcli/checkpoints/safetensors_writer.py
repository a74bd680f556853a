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
from gradcli.checkpoints.dtypes import SAFETENSORS_DTYPES, bfloat16_bits, is_bfloat16, item_size
from gradcli.checkpoints.quoting import quoted
from gradcli.checkpoints.safetensors_reader import open_safetensors
from gradcli.errors import DataError, WeightsError

_CODES: Final = {dtype: code for code, dtype in SAFETENSORS_DTYPES.items()}
_NUMPY_DTYPES: Final = tuple(dtype for dtype in _CODES if dtype != "bfloat16")
_HEADER_ALIGNMENT: Final = 8


def save_safetensors(
    path: str | os.PathLike[str],
    tensors: Mapping[str, np.ndarray[Any, Any]],
    metadata: Mapping[str, str] | None = None,
    dtypes: Mapping[str, str] | None = None,
) -> None:
    """Write arrays by name, and text metadata, as a safetensors file: whole and verified, or not at all.

    Arrays of bool, integer, float16, float32 and float64 dtypes in any memory layout, byte order and
    shape (0-d and empty too) keep their dtype and shape; the names keep their order. `dtypes` may say
    "bfloat16" for float32 arrays whose values are all bfloat16, as they come from a file that holds
    bfloat16, and else nothing but what the arrays are. Equal arguments give equal bytes. The file is
    written beside its place, read back, compared bit for bit (dtype, shape, NaN payloads, metadata),
    flushed to the disk and only then renamed; it gets the mode that the umask says. On any failure the
    old file is untouched. At most one tensor is copied at a time.

    WeightsError for a name, text or dtype that the format does not take, or values that are no bfloat16; DataError if
    `path` cannot be written or what was read back differs.
    """
    arrays = {name: np.asarray(array) for name, array in tensors.items()}
    text = dict(metadata or {})
    codes = {name: _code(path, name, array, (dtypes or {}).get(name)) for name, array in arrays.items()}
    # Wide elements first: every tensor then starts at a multiple of its element size.
    file_order = sorted(arrays, key=lambda name: -item_size(SAFETENSORS_DTYPES[codes[name]]))
    header = _header(path, arrays, codes, file_order, text)
    with replace_atomically(path) as temporary:
        with temporary.open("wb") as stream:
            stream.write(header)
            for name in file_order:
                stream.write(_elements(arrays[name], codes[name]).data)
        difference = _first_difference(temporary, arrays, codes, text)
        if difference is not None:
            raise DataError(f"{os.fspath(path)}: what was read back differs ({difference}); not kept")


def _code(path: str | os.PathLike[str], name: str, array: np.ndarray[Any, Any], dtype: str | None) -> str:
    """The format's code for what the tensor is to be in the file."""
    if name == "__metadata__":
        raise WeightsError(f"{os.fspath(path)}: {quoted(name)} cannot be the name of a tensor in a safetensors file")
    if array.dtype.name not in _NUMPY_DTYPES:
        raise WeightsError(
            f"{os.fspath(path)}: tensor {quoted(name)} has the dtype {array.dtype}, which is not written; "
            f"convert it to one of {', '.join(_CODES)}"
        )
    if dtype == "bfloat16" and array.dtype.name == "float32":
        if not is_bfloat16(_native(array)):
            raise WeightsError(
                f"{os.fspath(path)}: tensor {quoted(name)} has values that are no bfloat16; round them, or write "
                "float32"
            )
    elif dtype not in (None, array.dtype.name):
        raise WeightsError(
            f"{os.fspath(path)}: tensor {quoted(name)} is {array.dtype.name} and is not written as {dtype}"
        )
    return _CODES[dtype or array.dtype.name]


def _header(
    path: str | os.PathLike[str],
    arrays: Mapping[str, np.ndarray[Any, Any]],
    codes: Mapping[str, str],
    file_order: list[str],
    metadata: dict[str, str],
) -> bytes:
    """The length and the JSON header, padded with spaces so that the data starts aligned."""
    offsets, end = {}, 0
    for name in file_order:
        start = end
        end += arrays[name].size * item_size(SAFETENSORS_DTYPES[codes[name]])
        offsets[name] = [start, end]
    entries: dict[str, Any] = {"__metadata__": metadata} if metadata else {}
    for name, array in arrays.items():
        entries[name] = {"dtype": codes[name], "shape": array.shape, "data_offsets": offsets[name]}
    try:
        data = json.dumps(entries, ensure_ascii=False, separators=(",", ":")).encode()
    except UnicodeEncodeError as error:
        raise WeightsError(f"{os.fspath(path)}: a name or metadata is no valid text: {error}") from error
    data += b" " * (-len(data) % _HEADER_ALIGNMENT)
    return len(data).to_bytes(8, "little") + data


def _elements(array: np.ndarray[Any, Any], code: str) -> np.ndarray[Any, Any]:
    """The elements as they stand in the file: in C order and little-endian, copied only if they are not."""
    if SAFETENSORS_DTYPES[code] != array.dtype.name:
        array = bfloat16_bits(_native(array))
    # np.ascontiguousarray would turn a 0-d array into one of shape (1,)
    return array.astype(array.dtype.newbyteorder("<"), order="C", copy=False)


def _first_difference(
    path: Path, arrays: Mapping[str, np.ndarray[Any, Any]], codes: Mapping[str, str], metadata: dict[str, str]
) -> str | None:
    """What in the file is not what was to be written, if anything."""
    try:
        file = open_safetensors(path)
        if file.metadata != metadata:
            return "the metadata"
        if list(file.entries) != list(arrays):
            return "the list of tensors"
        for name, array in file.arrays():
            if file.entries[name]["dtype"] != codes[name] or not _same_bits(array, arrays[name]):
                return f"tensor {quoted(name)}"
    except WeightsError as error:
        return str(error).removeprefix(f"{path}: ")
    return None


def _same_bits(read: np.ndarray[Any, Any], given: np.ndarray[Any, Any]) -> bool:
    native = _native(given)
    if read.dtype != native.dtype or read.shape != native.shape:
        return False
    # As unsigned integers, so that NaN equals the same NaN and -0.0 differs from 0.0
    bits = f"u{native.itemsize}"
    return np.array_equal(read.view(bits), native.view(bits))


def _native(array: np.ndarray[Any, Any]) -> np.ndarray[Any, Any]:
    """The array in C order and native byte order, copied only if it is not."""
    return array.astype(array.dtype.newbyteorder("="), order="C", copy=False)
