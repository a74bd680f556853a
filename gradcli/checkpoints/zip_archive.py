"""The content of a zip archive's members, each checked against its CRC-32."""

from __future__ import annotations

import zlib
from pathlib import Path
from typing import Final

import numpy as np

from gradcli.checkpoints.mapped_file import Bytes
from gradcli.checkpoints.quoting import quoted
from gradcli.checkpoints.tensor_limits import ALWAYS_ALLOWED_BYTES
from gradcli.checkpoints.zip_directory import STORED, ZipMember, corrupt, read_directory
from gradcli.errors import WeightsError

# What inflated members may need together: enough for any that shrank honestly, far from what a bomb asks for.
_LARGEST_RATIO: Final = 16
_LARGEST_DEFLATE_RATIO: Final = 1032  # no deflated data expand further
_PIECE: Final = 2**18


class ZipArchive:
    """A zip archive that is all of `data`, the bytes of the file at `path`.

    Making one reads and checks its directory. WeightsError if that is missing, damaged or deceptive, or if the
    members that are compressed would need far more memory than the file has bytes.
    """

    def __init__(self, path: Path, data: Bytes) -> None:
        self.path = path
        self.members = read_directory(path, data)
        self._data = data
        inflated = 0
        for member in self.members.values():
            if member.method != STORED:
                inflated += member.size
                if member.size > _LARGEST_DEFLATE_RATIO * member.stored:
                    raise corrupt(
                        path,
                        f"member {quoted(member.name)} can't hold {member.size} bytes in {member.stored} compressed",
                    )
        if inflated > max(ALWAYS_ALLOWED_BYTES, _LARGEST_RATIO * data.size):
            raise WeightsError(
                f"{path}: its compressed members would need {inflated} bytes of memory, more than "
                f"{_LARGEST_RATIO} times its size; refused"
            )

    def read(self, name: str) -> Bytes:
        """The content of a member: a view of the file's bytes if it is stored, new memory if it was compressed.

        WeightsError if there is no such member, it does not inflate to its declared size, or its CRC-32 is
        another. A stored member whose CRC-32 is given as 0 is not checked: PyTorch writes that where
        checksums are switched off.
        """
        member = self.members.get(name)
        if member is None:
            raise WeightsError(f"{self.path}: is corrupt: its archive has no record {quoted(name)}")
        content = self._data[member.start : member.start + member.stored]
        if member.method != STORED:
            content = self._inflated(member, content)
        elif member.crc == 0:
            return content
        crc = zlib.crc32(content.data)
        if crc != member.crc:
            raise corrupt(self.path, f"member {quoted(name)} has the CRC-32 {crc:08x}, not {member.crc:08x} as stored")
        return content

    def _inflated(self, member: ZipMember, compressed: Bytes) -> Bytes:
        content = np.empty(member.size, np.uint8)
        filled = 0
        inflater = zlib.decompressobj(-zlib.MAX_WBITS)
        try:
            for begin in range(0, compressed.size, _PIECE):
                piece: memoryview | bytes = compressed[begin : begin + _PIECE].data
                while not inflater.eof:
                    # One byte more than fits shows content that is longer than declared.
                    limit = min(_PIECE, content.size - filled + 1)
                    inflated = np.frombuffer(inflater.decompress(piece, limit), np.uint8)
                    if filled + inflated.size > content.size:
                        raise corrupt(self.path, f"member {quoted(member.name)} is longer than its {member.size} bytes")
                    content[filled : filled + inflated.size] = inflated
                    filled += inflated.size
                    piece = inflater.unconsumed_tail
                    if not piece and inflated.size < limit:  # nothing is left to come from this piece
                        break
        except zlib.error as error:
            raise corrupt(self.path, f"member {quoted(member.name)} does not inflate: {error}") from None
        if filled < content.size or not inflater.eof:
            raise corrupt(self.path, f"member {quoted(member.name)} ends after {filled} of {member.size} bytes")
        return content
