"""Zip archives made record by record, so that any number in them can lie."""

from __future__ import annotations

import struct
import zlib
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any

IN_EXTRA_FIELD = 0xFFFFFFFF


@dataclass(frozen=True)
class Member:
    """A member as it should be; `directory` and `local` replace numbers of its two headers."""

    name: bytes
    content: bytes = b"content"
    method: int = 0
    directory: dict[str, Any] = field(default_factory=dict)
    local: dict[str, Any] = field(default_factory=dict)
    local_extra: bytes = b""
    extra: bytes = b""

    def numbers(self) -> dict[str, Any]:
        """What both headers say, if nothing lies."""
        stored = self.stored_content()
        return {
            "name": self.name,
            "flags": 0,
            "method": self.method,
            "crc": zlib.crc32(self.content),
            "stored": len(stored),
            "size": len(self.content),
        }

    def stored_content(self) -> bytes:
        """The bytes as they stand in the file."""
        if self.method != 8:
            return self.content
        deflater = zlib.compressobj(9, zlib.DEFLATED, -15)
        return deflater.compress(self.content) + deflater.flush()


def build_zip(
    members: Sequence[Member], *, end: dict[str, int] | None = None, zip64: bool | dict[str, int] = False
) -> bytes:
    """An archive of these members; `end` and `zip64` replace numbers of the end records."""
    data = b""
    directory = b""
    for member in members:
        local = member.numbers() | member.local
        entry = member.numbers() | {"offset": len(data), "disk": 0} | member.directory
        data += struct.pack("<4s5H", b"PK\3\4", 20, local["flags"], local["method"], 0, 0)
        data += struct.pack(
            "<3I2H", local["crc"], local["stored"], local["size"], len(local["name"]), len(member.local_extra)
        )
        data += local["name"] + member.local_extra + member.stored_content()
        directory += struct.pack("<4s6H", b"PK\1\2", 20, 20, entry["flags"], entry["method"], 0, 0)
        directory += struct.pack("<3I", entry["crc"], entry["stored"], entry["size"])
        directory += struct.pack(
            "<5H2I", len(entry["name"]), len(member.extra), 0, entry["disk"], 0, 0, entry["offset"]
        )
        directory += entry["name"] + member.extra
    count = len(members)
    numbers = {"disk": 0, "first_disk": 0, "here": count, "count": count, "size": len(directory), "offset": len(data)}
    begins = len(data) + len(directory)
    records = b""
    if zip64 is not False:
        long = numbers | (zip64 if isinstance(zip64, dict) else {})
        locator = {"length": 44, "begins": begins} | {key: long.pop(key) for key in ("length", "begins") if key in long}
        records += struct.pack("<4sQ2H2I4Q", b"PK\6\6", locator["length"], 45, 45, *long.values())
        records += struct.pack("<4sIQI", b"PK\6\7", 0, locator["begins"], 1)
    return data + directory + records + struct.pack("<4s4H2IH", b"PK\5\6", *(numbers | (end or {})).values(), 0)


def zip64_field(*numbers: int) -> bytes:
    """The extra field with these numbers."""
    return struct.pack(f"<2H{len(numbers)}Q", 1, 8 * len(numbers), *numbers)
