"""The directory of a zip archive, every number in it checked before it is used.

Sources: PKWARE's APPNOTE for the records, PyTorch's and NumPy's writers for what occurs in weights files: zip64
records and data descriptors in small files, extra fields that only align. What a weights file never needs is
refused: encryption, several disks, bytes before or after the archive, members that overlap.
"""

from __future__ import annotations

import itertools
import struct
from collections.abc import Iterator
from pathlib import Path
from typing import Final, NamedTuple

from gradcli.checkpoints.cut_files import cut_short
from gradcli.checkpoints.mapped_file import Bytes
from gradcli.checkpoints.quoting import quoted
from gradcli.errors import WeightsError

STORED: Final = 0
DEFLATED: Final = 8

_LOCAL: Final = struct.Struct("<4s5H3I2H")
_ENTRY: Final = struct.Struct("<4s6H3I5H2I")
_END: Final = struct.Struct("<4s4H2IH")
_END64: Final = struct.Struct("<4sQ2H2I4Q")
_LOCATOR64: Final = struct.Struct("<4sIQI")
_LOCAL_MARK: Final = b"PK\x03\x04"
_ENTRY_MARK: Final = b"PK\x01\x02"
_END_MARK: Final = b"PK\x05\x06"
_END64_MARK: Final = b"PK\x06\x06"
_LOCATOR64_MARK: Final = b"PK\x06\x07"

_ENCRYPTED: Final = 0x1
_SIZES_FOLLOW: Final = 0x8  # in a data descriptor behind the data
_UTF8: Final = 0x800
_IN_EXTRA_FIELD: Final = 0xFFFFFFFF  # a number that stands in the zip64 extra field
_ZIP64_FIELD: Final = 1
_LONGEST_COMMENT: Final = 0xFFFF

# A checkpoint has a member per tensor; a directory of millions would only take time.
_MOST_MEMBERS: Final = 2**17


class ZipMember(NamedTuple):
    """Where the data of one member lies. `stored` counts its bytes in the file, `size` those it stands for."""

    name: str
    method: int
    start: int
    stored: int
    size: int
    crc: int


class _Header(NamedTuple):
    """What a local header and the directory say about a member alike."""

    raw_name: bytes
    flags: int
    method: int
    crc: int
    stored: int
    size: int


def read_directory(path: Path, data: Bytes) -> dict[str, ZipMember]:
    """The members of the archive that is all of `data`, by name, in the order of its directory.

    Every member's data lies inside the file, before the directory, apart from all others, behind a local header
    that agrees with the directory. Names are unique, relative and without `..`.

    WeightsError names the file and what is wrong; an archive without its directory is said to be cut short.
    """
    try:
        return _read_directory(path, data)
    except struct.error:  # a record that would reach beyond the end
        raise corrupt(path, "a record of its directory lies outside the file") from None


def has_directory(data: Bytes) -> bool:
    """Whether the archive was written and copied to its end, and what stands there is its end record."""
    return _find_end(data) is not None


def missing_directory(path: Path, data: Bytes, needed: int = 0) -> WeightsError:
    """The error for an archive without directory. `needed` is a length that the caller knows the file must have."""
    needed = max([needed, *(member.start + member.stored for member in opening_members(data))])
    if needed > data.size:
        return cut_short(path, data.size, where=f"; its tensors need at least {needed:,}")
    return cut_short(path, data.size, where=": the directory at the end of its zip archive is missing")


def opening_members(data: Bytes) -> Iterator[ZipMember]:
    """The members from the start of an archive, read from their local headers, as far as lengths are known.

    For archives without directory. The content of the last one may reach beyond the end of `data`, and its sizes
    are 0 where the file gives them only behind the data.
    """
    offset = 0
    for _ in range(_MOST_MEMBERS):
        try:
            header, start = _read_local(data, offset)
            member = _member(header, start)
        except (struct.error, ValueError):
            return
        if start > data.size:
            return
        yield member
        if header.flags & _SIZES_FOLLOW:
            return
        offset = start + header.stored


def corrupt(path: Path, reason: str) -> WeightsError:
    """The error for a damaged archive."""
    return WeightsError(f"{path}: its zip archive is corrupt ({reason}); download or write it again")


def _read_directory(path: Path, data: Bytes) -> dict[str, ZipMember]:
    end = _find_end(data)
    if end is None:
        raise missing_directory(path, data)
    offset, size, count = _directory_extent(path, data, end)
    if count > _MOST_MEMBERS:
        raise WeightsError(f"{path}: is a zip archive of {count:,} members, more than {_MOST_MEMBERS:,}; refused")

    directory = data[offset : offset + size].tobytes()
    members: dict[str, ZipMember] = {}
    extents = []
    position = 0
    for _ in range(count):
        entry, local_offset, position = _read_entry(path, directory, position)
        member = _checked_member(path, data, entry, local_offset)
        if member.name in members:
            raise corrupt(path, f"two members have the name {quoted(member.name)}")
        members[member.name] = member
        extents.append((local_offset, member.start + member.stored, member.name))
    if position != size:
        raise corrupt(path, f"{size - position} bytes of its directory belong to no member")

    extents.append((offset, offset, "the directory"))
    extents.sort()
    for (_, ends, name), (begins, _, following) in itertools.pairwise(extents):
        if ends > begins:
            raise corrupt(path, f"member {quoted(name)} ends at byte {ends}, inside {quoted(following)}")
    return members


def _find_end(data: Bytes) -> int | None:
    """Where the end record stands: the last one, with its comment inside the file."""
    first = max(0, data.size - _END.size - _LONGEST_COMMENT)
    tail = data[first:].tobytes()
    position = tail.rfind(_END_MARK)
    while position >= 0:
        if position + _END.size <= len(tail):
            comment_length = _END.unpack_from(tail, position)[-1]
            if position + _END.size + comment_length <= len(tail):
                return first + position
        position = tail.rfind(_END_MARK, 0, position)
    return None


def _directory_extent(path: Path, data: Bytes, end: int) -> tuple[int, int, int]:
    """Offset, length and number of entries of the directory, which ends where the end records begin."""
    _, disk, first_disk, count_here, count, size, offset, comment_length = _END.unpack_from(data.data, end)
    if excess := data.size - end - _END.size - comment_length:
        raise corrupt(path, f"{excess} bytes follow its end")
    begins = end
    locator = end - _LOCATOR64.size
    if locator >= 0 and data[locator : locator + 4].tobytes() == _LOCATOR64_MARK:
        _, _, begins, _ = _LOCATOR64.unpack_from(data.data, locator)
        if not 0 <= begins <= locator - _END64.size:
            raise corrupt(path, f"its zip64 end record is said to stand at byte {begins}")
        short = (disk, first_disk, count_here, count, size, offset)
        mark, length, _, _, disk, first_disk, count_here, count, size, offset = _END64.unpack_from(data.data, begins)
        long = (disk, first_disk, count_here, count, size, offset)
        saturated = (0xFFFF, 0xFFFF, 0xFFFF, 0xFFFF, _IN_EXTRA_FIELD, _IN_EXTRA_FIELD)
        if mark != _END64_MARK or begins + 12 + length != locator:
            raise corrupt(path, f"there is no zip64 end record at byte {begins}")
        if any(a not in (b, c) for a, b, c in zip(short, long, saturated, strict=True)):
            raise corrupt(path, "its two end records disagree")
    if disk or first_disk or count != count_here:
        raise corrupt(path, "it is one part of an archive in several files")
    if offset + size != begins:
        raise corrupt(path, f"its directory of {size} bytes at byte {offset} does not end at byte {begins}")
    return offset, size, count


def _read_entry(path: Path, directory: bytes, position: int) -> tuple[_Header, int, int]:
    """The directory entry at `position`, the offset of its local header, and where the next entry stands."""
    mark, _, _, flags, method, _, _, crc, stored, size, *rest = _ENTRY.unpack_from(directory, position)
    name_length, extra_length, comment_length, disk, _, _, offset = rest
    if mark != _ENTRY_MARK:
        raise corrupt(path, f"there is no directory entry {position} bytes into its directory")
    start = position + _ENTRY.size
    name_end = start + name_length
    end = name_end + extra_length + comment_length
    if end > len(directory):
        raise corrupt(path, "an entry reaches beyond its directory")
    raw_name = directory[start:name_end]
    extra = directory[name_end : name_end + extra_length]
    try:
        size, stored, offset = _with_zip64(extra, size, stored, offset)
    except ValueError as error:
        raise corrupt(path, f"member {quoted(raw_name.decode('cp437'))} {error}") from None
    if disk:
        raise corrupt(path, "it is one part of an archive in several files")
    return _Header(raw_name, flags, method, crc, stored, size), offset, end


def _read_local(data: Bytes, offset: int) -> tuple[_Header, int]:
    """The local header at `offset` and where its data starts; ValueError says what is wrong with it."""
    if not 0 <= offset <= data.size - _LOCAL.size:
        raise ValueError(f"is said to stand at byte {offset} of {data.size}")
    mark, _, flags, method, _, _, crc, stored, size, name_length, extra_length = _LOCAL.unpack_from(data.data, offset)
    if mark != _LOCAL_MARK:
        raise ValueError(f"has no local header at byte {offset}")
    name_start = offset + _LOCAL.size
    start = name_start + name_length + extra_length
    raw_name = data[name_start : name_start + name_length].tobytes()
    if flags & _SIZES_FOLLOW:
        crc = stored = size = 0
    else:
        size, stored = _with_zip64(data[start - extra_length : start].tobytes(), size, stored)
    return _Header(raw_name, flags, method, crc, stored, size), start


def _with_zip64(extra: bytes, *numbers: int) -> list[int]:
    """These numbers, those too large for 32 bits taken from the zip64 extra field, which holds only them."""
    missing = numbers.count(_IN_EXTRA_FIELD)
    if not missing:
        return list(numbers)
    position = 0
    while position + 4 <= len(extra):
        kind, length = struct.unpack_from("<2H", extra, position)
        position += 4
        if kind == _ZIP64_FIELD and missing * 8 <= length <= len(extra) - position:
            large = iter(struct.unpack_from(f"<{missing}Q", extra, position))
            return [next(large) if number == _IN_EXTRA_FIELD else number for number in numbers]
        position += length
    raise ValueError("lacks its zip64 field")


def _checked_member(path: Path, data: Bytes, entry: _Header, offset: int) -> ZipMember:
    """The member of a directory entry, once its local header agrees and its data lies inside the file."""
    name = entry.raw_name.decode("cp437")
    try:
        local, start = _read_local(data, offset)
        member = _member(entry, start)
    except ValueError as error:
        reason = "has a name that is no UTF-8" if isinstance(error, UnicodeDecodeError) else str(error)
        raise corrupt(path, f"member {quoted(name)} {reason}") from None
    name = member.name
    if entry.flags & _ENCRYPTED or local.flags & _ENCRYPTED:
        raise WeightsError(
            f"{path}: member {quoted(name)} of its zip archive is encrypted; weights are read unencrypted"
        )
    if entry.method not in (STORED, DEFLATED):
        raise WeightsError(
            f"{path}: member {quoted(name)} of its zip archive is compressed by method {entry.method}; "
            "only deflate is read, and no compression"
        )
    # Local header first: what differs is what a reader that trusts the local headers would see otherwise.
    if local.raw_name != entry.raw_name or local.method != entry.method:
        raise corrupt(path, f"member {quoted(name)} is another one in its local header")
    if (local.flags ^ entry.flags) & _SIZES_FOLLOW:
        raise corrupt(path, f"member {quoted(name)} has other flags in its local header")
    if not local.flags & _SIZES_FOLLOW and local != entry._replace(flags=local.flags):
        raise corrupt(path, f"member {quoted(name)} has other sizes or another CRC-32 in its local header")
    if start + member.stored > data.size:
        raise corrupt(path, f"member {quoted(name)} ends at byte {start + member.stored} of {data.size}")
    if member.method == STORED and member.stored != member.size:
        raise corrupt(path, f"member {quoted(name)} declares {member.size} bytes and stores {member.stored}")
    parts = name.replace("\\", "/").split("/")
    if not name or "\0" in name or not parts[0] or ".." in parts or parts[0].endswith(":"):
        raise corrupt(path, f"a member has the name {quoted(name)}, which is no path inside an archive")
    return member


def _member(header: _Header, start: int) -> ZipMember:
    name = header.raw_name.decode("utf-8" if header.flags & _UTF8 else "cp437")
    return ZipMember(name, header.method, start, header.stored, header.size, header.crc)
