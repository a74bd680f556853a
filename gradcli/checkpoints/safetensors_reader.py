"""Reading the safetensors container: a JSON header and the raw elements of every tensor.

Format: https://huggingface.co/docs/safetensors (8 bytes of header length, header, data).
"""

from __future__ import annotations

import json
import math
import mmap
from pathlib import Path
from typing import Any, BinaryIO, Final

import numpy as np

from gradcli.checkpoints.checkpoint import Checkpoint
from gradcli.checkpoints.dtypes import SAFETENSORS_DTYPES, array_from_bytes, item_size
from gradcli.errors import WeightsError

_LENGTH_BYTES: Final = 8
_LARGEST_HEADER: Final = 100_000_000  # the format's own limit


def looks_like_safetensors(opening: bytes) -> bool:
    """Whether a file that starts with these bytes (at least 9 of them) has a safetensors header."""
    length = int.from_bytes(opening[:_LENGTH_BYTES], "little")
    return opening[_LENGTH_BYTES : _LENGTH_BYTES + 1] == b"{" and 2 <= length <= _LARGEST_HEADER


def read_safetensors(path: Path) -> Checkpoint:
    """The tensors of a safetensors file, in the order of its header.

    The safetensors library checks the header, but its NumPy side knows no bfloat16 and copies every tensor. Here the
    arrays are a private map of the file: a page is read when it is used, and copied only if it is written to. As with
    every such map, a file that is cut short while its arrays are in use ends the process.

    WeightsError if the file is cut short, corrupt, or holds a dtype that is not supported.
    """
    from safetensors import SafetensorError, safe_open

    with path.open("rb") as stream:
        header, data_start = _read_header(path, stream)
        try:
            with safe_open(path, framework="np"):
                pass  # opening checks sizes, offsets, overlaps and gaps
        except SafetensorError as error:
            raise _corrupt(path, " ".join(str(error).split())) from error
        metadata = header.pop("__metadata__", None) or {}
        content = _mapped(path, stream)
        tensors, dtypes = {}, {}
        for name, entry in header.items():
            dtypes[name] = _supported_dtype(path, name, entry["dtype"])
            start = data_start + entry["data_offsets"][0]
            tensors[name] = _tensor(path, content, start, dtypes[name], entry["shape"])
    return Checkpoint(tensors, metadata, path, "safetensors", dtypes)


def _read_header(path: Path, stream: BinaryIO) -> tuple[dict[str, Any], int]:
    """The decoded header and the position of the first element."""
    file_size = path.stat().st_size
    data_start = _LENGTH_BYTES + int.from_bytes(stream.read(_LENGTH_BYTES), "little")
    if file_size < data_start:
        raise WeightsError(
            f"{path}: cut short after {file_size} bytes, inside its header of {data_start} bytes; "
            "download or write it again"
        )
    try:
        header = json.loads(stream.read(data_start - _LENGTH_BYTES), object_pairs_hook=_without_duplicates)
        entries = [entry for name, entry in header.items() if name != "__metadata__"]
        data_end = data_start + max((int(entry["data_offsets"][1]) for entry in entries), default=0)
    except (
        ValueError,
        TypeError,
        KeyError,
        IndexError,
        AttributeError,
        RecursionError,
        OverflowError,
    ) as error:
        raise _corrupt(path, f"its header is not valid ({error})") from error
    if file_size < data_end:
        raise WeightsError(f"{path}: cut short after {file_size} of {data_end} bytes; download or write it again")
    return header, data_start


def _without_duplicates(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    # The library keeps the last of two equal names; two readers that differ here would see other weights.
    entries = dict(pairs)
    if len(entries) < len(pairs):
        raise ValueError("a name occurs twice")
    return entries


def _supported_dtype(path: Path, name: str, code: str) -> str:
    if code not in SAFETENSORS_DTYPES:
        supported = ", ".join(SAFETENSORS_DTYPES)
        raise WeightsError(f"{path}: tensor {name!r} has the dtype {code}; supported are {supported}")
    return SAFETENSORS_DTYPES[code]


def _mapped(path: Path, stream: BinaryIO) -> np.ndarray[Any, np.dtype[np.uint8]]:
    """The bytes of the file, writable without an effect on it. The map lives as long as an array that uses it."""
    try:
        return np.frombuffer(mmap.mmap(stream.fileno(), 0, access=mmap.ACCESS_COPY), np.uint8)
    except ValueError:  # an empty file
        raise _shrunk(path) from None


def _tensor(
    path: Path, content: np.ndarray[Any, np.dtype[np.uint8]], start: int, dtype: str, shape: list[int]
) -> np.ndarray[Any, Any]:
    byte_count = math.prod(shape) * item_size(dtype)
    data = content[start : start + byte_count]
    if data.size < byte_count:
        raise _shrunk(path)
    # A copy where the header's length leaves the elements at odd addresses.
    return np.require(array_from_bytes(data, dtype).reshape(shape), requirements="A")


def _shrunk(path: Path) -> WeightsError:
    """The error for a file that is shorter than when its size was checked."""
    return WeightsError(f"{path}: cut short while it was read; is another program writing it?")


def _corrupt(path: Path, reason: str) -> WeightsError:
    return WeightsError(f"{path}: is not a valid safetensors file: {reason}")
