"""Reading the safetensors container: a JSON header and the raw elements of every tensor.

Format: https://huggingface.co/docs/safetensors (8 bytes of header length, header, data).
"""

from __future__ import annotations

import json
import math
import re
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

import numpy as np

from gradcli.checkpoints.checkpoint import Checkpoint
from gradcli.checkpoints.cut_files import cut_short
from gradcli.checkpoints.dtypes import SAFETENSORS_DTYPES, UNSUPPORTED_SAFETENSORS_DTYPES, array_from_bytes, item_size
from gradcli.checkpoints.mapped_file import Bytes, map_file
from gradcli.checkpoints.quoting import quoted
from gradcli.errors import WeightsError

_LENGTH_BYTES: Final = 8
# The format allows 100 MB, which takes gigabytes and a minute to decode. A hundred thousand tensors fit in this.
_LARGEST_HEADER: Final = 10_000_000
_TEXT: Final = re.compile(rb"[\t\n\r -~]{8}")
_LONGEST_REASON: Final = 300  # the library's messages quote the file


def looks_like_safetensors(opening: bytes) -> bool:
    """Whether a file that starts with these bytes has a safetensors header, be its length right or not."""
    length = int.from_bytes(opening[:_LENGTH_BYTES], "little")
    header = opening[_LENGTH_BYTES:]
    if 2 <= length <= _LARGEST_HEADER:
        return header.startswith(b"{")
    # A wrong length, unless these are the first eight characters of a text.
    return header.startswith((b'{"', b"{}")) and not _TEXT.match(opening)


def read_safetensors(path: Path) -> Checkpoint:
    """The tensors of a safetensors file, in the order of its header.

    The safetensors library checks the header, but its NumPy side knows no bfloat16 and copies every tensor. Here the
    arrays are a private map of the file, as `map_file` describes it.

    WeightsError if the file is cut short, corrupt, or holds a dtype that is not supported.
    """
    file = open_safetensors(path)
    tensors = dict(file.arrays())
    dtypes = {name: file.dtype(name) for name in tensors}
    return Checkpoint(tensors, file.metadata, path, "safetensors", dtypes)


@dataclass(frozen=True, eq=False)
class SafetensorsFile:
    """A safetensors file whose header is checked. `entries` has its order; `data` are the bytes behind the header."""

    path: Path
    metadata: dict[str, str]
    entries: dict[str, dict[str, Any]]
    data: Bytes

    def dtype(self, name: str) -> str:
        """The dtype of a tensor under PyTorch's name. WeightsError if it is not supported."""
        code = self.entries[name]["dtype"]
        if code not in SAFETENSORS_DTYPES:
            torch_name = UNSUPPORTED_SAFETENSORS_DTYPES.get(code, "unknown to PyTorch")
            supported = ", ".join(SAFETENSORS_DTYPES)
            raise WeightsError(
                f"{self.path}: tensor {quoted(name)} has the dtype {code} ({torch_name}); supported are {supported}"
            )
        return SAFETENSORS_DTYPES[code]

    def arrays(self) -> Iterator[tuple[str, np.ndarray[Any, Any]]]:
        """Name and array of each tensor, without a copy where its elements are as NumPy wants them."""
        for name, entry in self.entries.items():
            dtype = self.dtype(name)
            shape, (start, end) = entry["shape"], entry["data_offsets"]
            if math.prod(shape) * item_size(dtype) != end - start or end > self.data.size:
                raise WeightsError(f"{self.path}: changed while it was read; is another program writing it?")
            elements = array_from_bytes(self.data[start:end], dtype)
            if not elements.flags.aligned:  # the header's length leaves them at odd addresses
                elements = elements.copy()
            try:
                array = elements.reshape(shape)
            except (ValueError, OverflowError) as error:  # more than NumPy's 64 dimensions; an empty one of 2**63
                raise _corrupt(
                    self.path, f"tensor {quoted(name)} has a shape that NumPy does not take ({error})"
                ) from error
            yield name, array


def open_safetensors(path: Path) -> SafetensorsFile:
    """Check the header of a safetensors file, which leaves its tensors unread.

    WeightsError if the file is cut short or corrupt.
    """
    from safetensors import SafetensorError, safe_open

    content = map_file(path)
    data_start = _data_start(path, content)
    try:
        with safe_open(path, framework="np"):
            pass  # opening checks sizes, offsets, overlaps and gaps
    except SafetensorError as error:
        # The library's word on what is wrong comes after a plainer one, if there is one.
        if "not fully covered" in str(error):
            _check_length(path, content, data_start)
        raise _corrupt(path, " ".join(str(error).split())[:_LONGEST_REASON]) from error
    metadata, entries = _header(path, content, data_start)
    return SafetensorsFile(path, metadata, entries, content[data_start:])


def _data_start(path: Path, content: Bytes) -> int:
    """The position of the first element."""
    length = int.from_bytes(content[:_LENGTH_BYTES].tobytes(), "little")
    data_start = _LENGTH_BYTES + length
    if length > _LARGEST_HEADER:
        raise _corrupt(path, f"its header would be {length} bytes long, more than {_LARGEST_HEADER}")
    if content.size < data_start:
        raise cut_short(path, content.size, where=f", inside its header of {data_start:,} bytes")
    return data_start


def _check_length(path: Path, content: Bytes, data_start: int) -> None:
    """WeightsError if the file ends before its last tensor or goes on after it."""
    _, entries = _header(path, content, data_start)
    whole = data_start + max((entry["data_offsets"][1] for entry in entries.values()), default=0)
    if content.size < whole:
        raise cut_short(path, content.size, whole)
    if content.size > whole:
        raise _corrupt(path, f"it has {content.size - whole} bytes after its last tensor")


def _header(path: Path, content: Bytes, data_start: int) -> tuple[dict[str, str], dict[str, dict[str, Any]]]:
    """The metadata and the entries of the header."""
    try:
        header = json.loads(content[_LENGTH_BYTES:data_start].tobytes(), object_pairs_hook=without_duplicates)
        metadata = header.pop("__metadata__", None) or {}
        # The library has checked its own view of the file, which might have been replaced since.
        if not all(isinstance(text, str) for text in metadata.values()):
            raise TypeError("its metadata is no text")
        for name, entry in header.items():
            start, end = entry["data_offsets"]
            if not all(type(number) is int and number >= 0 for number in (*entry["shape"], start, end)):
                raise ValueError(f"a size or offset of {quoted(name)} is no whole number")
            if not isinstance(entry["dtype"], str):
                raise TypeError(f"the dtype of {quoted(name)} is no text")
    except (ValueError, TypeError, KeyError, AttributeError, RecursionError) as error:
        reason = " ".join(str(error).split())[:_LONGEST_REASON]
        raise _corrupt(path, f"its header is not valid ({reason})") from error
    return metadata, header


def without_duplicates(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    """The object of these pairs in JSON text; ValueError names one that occurs twice.

    Most libraries keep the last of two equal names; two readers that differ here would see other weights.
    """
    entries = dict(pairs)
    if len(entries) < len(pairs):
        [(name, _)] = Counter(name for name, _ in pairs).most_common(1)
        raise ValueError(f"the name {quoted(name)} occurs twice")
    return entries


def _corrupt(path: Path, reason: str) -> WeightsError:
    return WeightsError(f"{path}: is not a valid safetensors file: {reason}")
