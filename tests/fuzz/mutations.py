"""Damage for files: bytes flipped, cut, moved and overwritten, and pieces of the formats where they don't belong."""

from __future__ import annotations

import io
import json
import struct
import warnings
import zipfile
from collections.abc import Callable
from typing import Any

import numpy as np

Rng = np.random.Generator

# Lengths, counts and offsets at the edges of what their fields hold.
_INTEGERS = (0, 1, 2, 127, 128, 255, 256, 2**16 - 1, 2**31 - 1, 2**31, 2**32 - 1, 2**40, 2**60, 2**63 - 1, 2**64 - 1)

# Pieces that the formats are made of, and some that a reader must refuse.
_TOKENS = (
    b"cos\nsystem\n",
    b"c__builtin__\neval\n",
    b"cnumpy\nload\n",
    b"ctorch\nFloatStorage\n",
    b"ctorch._utils\n_rebuild_tensor_v2\n",
    b"ccollections\nOrderedDict\n",
    b"\x80\x02",
    b"\x80\x04\x95" + struct.pack("<Q", 2**60),
    b"(",
    b"((((((((",
    b"]" * 40,
    b"\x85" * 60,
    b"t",
    b"R",
    b"b",
    b"\x81",
    b"Q",
    b"u",
    b"s",
    b"e",
    b"2",
    b"0",
    b".",
    b"h\x00",
    b"q\x00",
    b"r\xff\xff\xff\x7f",
    b"j\xff\xff\xff\xff",
    b"\x8a\x08" + struct.pack("<q", 2**60),
    b"\x8a\x01\xff",
    b"\x8b" + struct.pack("<i", 2**30),
    b"X" + struct.pack("<I", 2**32 - 1),
    b"X\x07\x00\x00\x00storage",
    b"PK\x03\x04",
    b"PK\x01\x02",
    b"PK\x05\x06",
    b"PK\x06\x06",
    b"PK\x07\x08",
    b"ustar\x0000",
    b"\x93NUMPY\x01\x00v\x00",
    b'{"__metadata__":{}}',
    b"<!DOCTYPE html>",
    b"\xff" * 16,
    b"\x00" * 512,
)


def mutate(rng: Rng, data: bytes, others: list[bytes]) -> bytes:
    """One damaged version of a file: its bytes as they lie, or its parts put together again so that checksums hold."""
    rebuild = _rebuild_of(data)
    if rebuild is not None and rng.random() < 0.6:
        return rebuild(rng, data, others)
    return _damaged(rng, data, others)


def _damaged(rng: Rng, data: bytes, others: list[bytes]) -> bytes:
    for _ in range(int(rng.geometric(0.5))):
        data = _DAMAGES[int(rng.integers(len(_DAMAGES)))](rng, data, others)
    return data


def _place(rng: Rng, data: bytes) -> int:
    """A position, more often near the start or the end, where headers and directories are."""
    near = int(rng.integers(0, 600))
    where = rng.random()
    if where < 0.35:
        return min(near, len(data))
    if where < 0.6:
        return max(len(data) - near, 0)
    return int(rng.integers(0, len(data) + 1))


def _flip_bits(rng: Rng, data: bytes, others: list[bytes]) -> bytes:
    changed = bytearray(data)
    for _ in range(int(rng.integers(1, 5))):
        position = _place(rng, data)
        if position < len(changed):
            changed[position] ^= 1 << int(rng.integers(8))
    return bytes(changed)


def _set_byte(rng: Rng, data: bytes, others: list[bytes]) -> bytes:
    position = _place(rng, data)
    return data[:position] + bytes([int(rng.integers(256))]) + data[position + 1 :]


def _cut(rng: Rng, data: bytes, others: list[bytes]) -> bytes:
    return data[: _place(rng, data)]


def _remove(rng: Rng, data: bytes, others: list[bytes]) -> bytes:
    position = _place(rng, data)
    return data[:position] + data[position + int(rng.integers(1, 65)) :]


def _repeat(rng: Rng, data: bytes, others: list[bytes]) -> bytes:
    position = _place(rng, data)
    piece = data[position : position + int(rng.integers(1, 129))]
    return data[:position] + piece * int(rng.integers(1, 30)) + data[position:]


def _insert_token(rng: Rng, data: bytes, others: list[bytes]) -> bytes:
    position = _place(rng, data)
    token = _TOKENS[int(rng.integers(len(_TOKENS)))]
    overwritten = len(token) if rng.random() < 0.5 else 0
    return data[:position] + token + data[position + overwritten :]


def _set_integer(rng: Rng, data: bytes, others: list[bytes]) -> bytes:
    value = _INTEGERS[int(rng.integers(len(_INTEGERS)))]
    width = (2, 4, 8)[int(rng.integers(3))]
    order = "little" if rng.random() < 0.8 else "big"
    position = _place(rng, data)
    return data[:position] + (value % 2 ** (8 * width)).to_bytes(width, order) + data[position + width :]  # type: ignore[arg-type]


def _splice(rng: Rng, data: bytes, others: list[bytes]) -> bytes:
    other = others[int(rng.integers(len(others)))]
    position, start = _place(rng, data), _place(rng, other)
    piece = other[start : start + int(rng.integers(1, 400))]
    return data[:position] + piece + data[position + (len(piece) if rng.random() < 0.5 else 0) :]


_DAMAGES: tuple[Callable[[Rng, bytes, list[bytes]], bytes], ...] = (
    _flip_bits,
    _set_byte,
    _cut,
    _remove,
    _repeat,
    _insert_token,
    _insert_token,
    _set_integer,
    _set_integer,
    _splice,
)


def _rebuild_of(data: bytes) -> Callable[[Rng, bytes, list[bytes]], bytes] | None:
    if data.startswith(b"PK\x03\x04"):
        return _rebuilt_zip
    if data[8:9] == b"{":
        return _rebuilt_safetensors
    return None


def _rebuilt_zip(rng: Rng, data: bytes, others: list[bytes]) -> bytes:
    """An archive with one member damaged, renamed, repeated or left out, its checksums right again."""
    with zipfile.ZipFile(io.BytesIO(data)) as archive:
        members = [(info.filename, archive.read(info)) for info in archive.infolist()]
    # The pickle decides over everything, so it is damaged most.
    pickles = [place for place, (name, _) in enumerate(members) if name.endswith("data.pkl")]
    place = pickles[0] if pickles and rng.random() < 0.7 else int(rng.integers(len(members)))
    name, content = members[place]
    what = rng.random()
    if what < 0.8:
        members[place] = (name, _damaged(rng, content, others))
    elif what < 0.87:
        members[place] = (members[int(rng.integers(len(members)))][0], content)
    elif what < 0.94:
        del members[place]
    else:
        members.insert(place, (name + "x", _damaged(rng, content, others)))
    compression = zipfile.ZIP_DEFLATED if rng.random() < 0.1 else zipfile.ZIP_STORED
    result = io.BytesIO()
    with warnings.catch_warnings(action="ignore"), zipfile.ZipFile(result, "w", compression) as archive:  # names repeat
        for name, content in members:
            info = zipfile.ZipInfo(name)
            info.compress_type = compression
            archive.writestr(info, content)
    return result.getvalue()


def _rebuilt_safetensors(rng: Rng, data: bytes, others: list[bytes]) -> bytes:
    """A file whose header has other numbers, names or types, its length right again."""
    length = int.from_bytes(data[:8], "little")
    header: dict[str, Any] = json.loads(data[8 : 8 + length])
    name = list(header)[int(rng.integers(len(header)))]
    entry = header[name]
    what = rng.random()
    if what < 0.3 and "data_offsets" in entry:
        entry["data_offsets"][int(rng.integers(2))] = _odd_value(rng)
    elif what < 0.6 and "shape" in entry:
        entry["shape"].insert(0, _odd_value(rng))
    elif what < 0.7 and "dtype" in entry:
        entry["dtype"] = ("F64", "U8", "F8_E4M3", "", 7)[int(rng.integers(5))]
    elif what < 0.75:
        header["other"] = entry
    elif what < 0.85:
        header = {(_odd_name(rng, key) if rng.random() < 0.1 else key): value for key, value in header.items()}
    elif what < 0.92:
        header["__metadata__"] = ({"a": 1}, [], "text", {"a": "b"})[int(rng.integers(4))]
    else:
        del header[name]
    text = json.dumps(header).encode()
    if rng.random() < 0.3:
        text = _damaged(rng, text, others)
    return len(text).to_bytes(8, "little") + text + data[8 + length :]


def _odd_name(rng: Rng, name: str) -> str:
    """A name of another network, style, wrapper or head, or none at all."""
    names = (f"module.{name}", f"backbone.{name}", name.replace("layer1", "layer5"), name.replace(".0.", ".7."))
    others = ("fc.1.weight", "head.weight", "encoder_k.conv1.weight", "", "\0", "é" * 2000, "layer1.0.conv3.weight")
    return (*names, *others)[int(rng.integers(len(names) + len(others)))]


def _odd_value(rng: Rng) -> Any:
    values = (*_INTEGERS, -1, -(2**60), 0.5, 1e300, "1", None, True, [1], 2**200)
    return values[int(rng.integers(len(values)))]
