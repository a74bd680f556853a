"""Members of a tar archive: those that are not plain files, stand twice, are missing, or hide behind pax headers."""

from __future__ import annotations

import io
import tarfile
from pathlib import Path

import pytest

from gradcli.checkpoints.mapped_file import map_file
from gradcli.checkpoints.tar_archive import find_tar_members, looks_like_tar
from gradcli.errors import WeightsError

NAMES = ("first", "second")


def archive_of(path: Path, headers: list[tarfile.TarInfo], archive_format: int = tarfile.PAX_FORMAT) -> Path:
    """An archive of members without content or, where they are plain files, with their names as content."""
    with tarfile.open(path, "w:", format=archive_format) as archive:
        for header in headers:
            content = header.name.encode() if header.isreg() else b""
            header.size = len(content)
            archive.addfile(header, io.BytesIO(content))
    return path


def header_of(name: str, kind: bytes = tarfile.REGTYPE, **pax: str) -> tarfile.TarInfo:
    header = tarfile.TarInfo(name)
    header.type = kind
    header.pax_headers = pax
    return header


def members_of(path: Path) -> dict[str, bytes]:
    data = map_file(path)
    members = find_tar_members(path, data, NAMES)
    return {name: data[member.start : member.end].tobytes() for name, member in members.items()}


@pytest.mark.parametrize("archive_format", [tarfile.USTAR_FORMAT, tarfile.GNU_FORMAT, tarfile.PAX_FORMAT])
def test_members_are_found_in_every_format(tmp_path: Path, archive_format: int) -> None:
    path = archive_of(tmp_path / "a.tar", [header_of("second"), header_of("first")], archive_format)
    assert looks_like_tar(path.read_bytes()[:512])
    assert members_of(path) == {"second": b"second", "first": b"first"}


@pytest.mark.parametrize(
    ("headers", "reason"),
    [
        ([header_of("first")], "without a member 'second', not a file of torch.save"),
        ([], "without a member 'first'"),
        ([*map(header_of, NAMES), header_of("third")], "with a member 'third', not a file of torch.save"),
        ([*map(header_of, NAMES), header_of("first")], "two members 'first'"),
        ([header_of("../first")], "with a member '../first'"),
        ([header_of("first", tarfile.SYMTYPE)], "'first' of its tar archive is no plain file"),
        ([header_of("first", tarfile.LNKTYPE)], "no plain file"),
        ([header_of("first", tarfile.DIRTYPE)], "no plain file"),
        ([header_of("first", tarfile.CHRTYPE)], "no plain file"),
        ([header_of("first", tarfile.FIFOTYPE)], "no plain file"),
        ([header_of("first", tarfile.GNUTYPE_SPARSE)], "no plain file"),
        ([header_of("first", comment="x" * 2**16)], "pax header at byte 512 that torch.save never writes"),
        ([header_of("first", **{"GNU.sparse.major": "1"})], "pax header at byte 512"),
    ],
)
def test_other_archives_are_refused(tmp_path: Path, headers: list[tarfile.TarInfo], reason: str) -> None:
    path = archive_of(tmp_path / "a.tar", headers)
    with pytest.raises(WeightsError, match=r"a\.tar: ") as caught:
        members_of(path)
    assert reason in str(caught.value)


@pytest.mark.parametrize("record", ["path=second", "linkpath=second", "size=99999"])
def test_a_pax_header_can_not_change_the_member_after_it(tmp_path: Path, record: str) -> None:
    path = archive_of(tmp_path / "a.tar", [header_of("first", comment="-" * len(record)), header_of("second")])
    path.write_bytes(
        path.read_bytes().replace(b"comment=" + b"-" * len(record), f"{record:-<{len(record) + 8}}".encode())
    )
    with pytest.raises(WeightsError, match=r"pax header at byte 512 that torch.save never writes"):
        members_of(path)


def test_endless_pax_headers_are_refused(tmp_path: Path) -> None:
    whole = archive_of(tmp_path / "a.tar", [header_of("first", comment="1")]).read_bytes()
    path = tmp_path / "many.tar"
    path.write_bytes(whole[:1024] * 17 + whole)
    with pytest.raises(WeightsError, match=r"that torch.save never writes"):
        members_of(path)


@pytest.mark.parametrize("size", [b"\xff" * 12, b"\x80" + b"\xff" * 11, b"77777777777\0", b"notanumber!\0"])
def test_sizes_that_lie_are_refused(tmp_path: Path, size: bytes) -> None:
    header = bytearray(header_of("first").tobuf(tarfile.USTAR_FORMAT))
    header[124:136] = size
    header[148:156] = b" " * 8
    header[148:156] = f"{sum(header):06o}\0 ".encode()
    path = tmp_path / "a.tar"
    path.write_bytes(bytes(header) + bytes(10240 - 512))
    with pytest.raises(WeightsError, match=r"cut short|is corrupt"):
        members_of(path)


def test_what_follows_the_end_is_refused(tmp_path: Path) -> None:
    path = archive_of(tmp_path / "a.tar", [*map(header_of, NAMES)])
    path.write_bytes(path.read_bytes() + b"more")
    with pytest.raises(WeightsError, match="bytes follow the end of its tar archive at 10240"):
        members_of(path)


def test_a_damaged_header_is_named(tmp_path: Path) -> None:
    path = archive_of(tmp_path / "a.tar", [*map(header_of, NAMES)])
    data = bytearray(path.read_bytes())
    data[1024 + 100] ^= 1
    path.write_bytes(data)
    with pytest.raises(WeightsError, match="its tar archive is corrupt: bad checksum at byte 1024"):
        members_of(path)
