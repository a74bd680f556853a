"""The members of a tar archive, found in the mapped bytes and checked; nothing is unpacked."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Final, NamedTuple

from gradcli.checkpoints.cut_files import cut_short
from gradcli.checkpoints.mapped_file import Bytes
from gradcli.checkpoints.quoting import quoted
from gradcli.errors import WeightsError

if TYPE_CHECKING:
    import tarfile

_BLOCK: Final = 512
_RECORD: Final = 20 * _BLOCK  # a whole archive is a multiple of this
_MAGIC: Final = slice(257, 262)
# Those of torch.save hold one time each, for four members.
_LARGEST_PAX_HEADER: Final = 2**16
_MOST_PAX_HEADERS: Final = 16
# What a pax header may say that makes the member after it another one than its own header says.
_CHANGING_PAX_RECORDS: Final = (b" size=", b" path=", b" linkpath=", b" GNU.sparse.")


class TarMember(NamedTuple):
    """Where in the archive the bytes of a member stand."""

    start: int
    end: int


def looks_like_tar(opening: bytes) -> bool:
    """Whether a file that starts with these bytes is a tar archive (POSIX or GNU)."""
    return opening[_MAGIC] == b"ustar"


def find_tar_members(path: Path, data: Bytes, names: Sequence[str]) -> dict[str, TarMember]:
    """The members of an archive that has exactly these, each once and a plain file, in any order.

    WeightsError if the archive is cut short, even in the zeros at its end; if a header is corrupt; if a member is
    missing, there twice, another one, or no plain file (a link, a device, a sparse file); or if bytes follow the end.
    """
    import tarfile

    members: dict[str, TarMember] = {}
    position = pax_headers = 0
    while True:
        start = position + _BLOCK
        if start > data.size:
            raise _cut_short(path, data, position if len(members) == len(names) else None)
        if not data[position:start].any():  # the end of the archive
            break
        try:
            header = tarfile.TarInfo.frombuf(data[position:start].tobytes(), "utf-8", "backslashreplace")
        except tarfile.HeaderError as error:
            raise WeightsError(f"{path}: its tar archive is corrupt: {error} at byte {position}") from error
        if header.size < 0:
            raise WeightsError(
                f"{path}: its tar archive is corrupt: a member of {header.size} bytes at byte {position}"
            )
        end = start + header.size
        position = -(-end // _BLOCK) * _BLOCK
        if header.type == tarfile.XHDTYPE:
            _check_pax_header(path, data, start, end, pax_headers)
            pax_headers += 1
            continue
        _check_member(path, header, names, members)
        members[header.name] = TarMember(start, end)
        if end > data.size:
            whole = position if len(members) == len(names) else None
            raise _cut_short(path, data, whole, f", inside its member {quoted(header.name)}")
    if missing := [name for name in names if name not in members]:
        raise WeightsError(f"{path}: is a tar archive without a member {missing[0]!r}, not a file of torch.save")
    if data.size < _archive_size(position):
        raise _cut_short(path, data, position)
    if data.size > _archive_size(position):
        raise WeightsError(f"{path}: is corrupt: bytes follow the end of its tar archive at {_archive_size(position)}")
    return members


def _check_member(path: Path, header: tarfile.TarInfo, names: Sequence[str], members: dict[str, TarMember]) -> None:
    import tarfile

    if header.name not in names:
        raise WeightsError(f"{path}: is a tar archive with a member {quoted(header.name)}, not a file of torch.save")
    if header.type not in (tarfile.REGTYPE, tarfile.AREGTYPE):
        raise WeightsError(f"{path}: member {quoted(header.name)} of its tar archive is no plain file; refused")
    if header.name in members:
        raise WeightsError(f"{path}: its tar archive has two members {quoted(header.name)}; refused")


def _check_pax_header(path: Path, data: Bytes, start: int, end: int, earlier: int) -> None:
    if end > data.size:
        raise _cut_short(path, data, None)
    content = data[start : min(end, start + _LARGEST_PAX_HEADER)].tobytes()
    too_much = len(content) < end - start or earlier >= _MOST_PAX_HEADERS
    if too_much or any(record in content for record in _CHANGING_PAX_RECORDS):
        raise WeightsError(f"{path}: its tar archive has a pax header at byte {start} that torch.save never writes")


def _archive_size(end: int) -> int:
    """The bytes of an archive whose last member ends at `end`: two blocks of zeros, and zeros up to a whole record."""
    return -(-(end + 2 * _BLOCK) // _RECORD) * _RECORD


def _cut_short(path: Path, data: Bytes, end: int | None, where: str = "") -> WeightsError:
    """What to say of a file that ends early; `end` is that of its last member, where that is known."""
    return cut_short(path, data.size, None if end is None else _archive_size(end), where)
