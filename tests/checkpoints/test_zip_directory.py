"""The directory of zip archives: what writers make is read, what lies is refused before it is used."""

from __future__ import annotations

import io
import zipfile
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from gradcli.checkpoints.zip_directory import DEFLATED, STORED, opening_members, read_directory
from gradcli.errors import WeightsError
from tests.checkpoints.zip_builder import IN_EXTRA_FIELD, Member, build_zip, zip64_field

PATH = Path("file.zip")


def read(data: bytes) -> dict[str, Any]:
    return read_directory(PATH, np.frombuffer(data, np.uint8))


class Unseekable(io.RawIOBase):
    """A stream that a writer can't go back in, so that sizes follow the data."""

    def __init__(self) -> None:
        self.data = b""

    def writable(self) -> bool:
        return True

    def write(self, data: Any) -> int:
        self.data += bytes(data)
        return len(data)


@pytest.mark.parametrize("method", [zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED])
@pytest.mark.parametrize("zip64", [False, True])
@pytest.mark.parametrize("streamed", [False, True])
def test_what_zipfile_writes_is_read(method: int, zip64: bool, streamed: bool) -> None:
    contents = {"a/data.pkl": b"x" * 300, "a/empty": b"", "résumé": b"yz", "folder/": b""}
    stream: Any = Unseekable() if streamed else io.BytesIO()
    with zipfile.ZipFile(stream, "w", method) as archive:
        archive.comment = b"a comment"
        for name, content in contents.items():
            with archive.open(zipfile.ZipInfo(name), "w", force_zip64=zip64) as member:
                member.write(content)
    data = stream.data if streamed else stream.getvalue()
    members = read(data)
    with zipfile.ZipFile(io.BytesIO(data)) as archive:
        expected = {info.filename: (info.compress_size, info.file_size, info.CRC) for info in archive.infolist()}
    assert {name: (m.stored, m.size, m.crc) for name, m in members.items()} == expected
    assert list(members) == list(contents)


def test_offsets_and_methods() -> None:
    data = build_zip([Member(b"a", b"12"), Member(b"b", b"3" * 99, method=8, local_extra=b"FB\x05\x00ZZZZZ")])
    first, second = read(data).values()
    assert (first.method, second.method) == (STORED, DEFLATED)
    assert data[first.start : first.start + first.stored] == b"12"
    assert second.start == first.start + 2 + 30 + 1 + 9


def test_an_archive_without_members() -> None:
    assert read(build_zip([])) == {}
    assert read(build_zip([], zip64=True)) == {}


def test_zip64_numbers_are_read_from_their_field() -> None:
    large = {"stored": IN_EXTRA_FIELD, "size": IN_EXTRA_FIELD}
    one = Member(b"a", b"12345", directory=large, local=large, extra=zip64_field(5, 5), local_extra=zip64_field(5, 5))
    two = Member(b"b", b"67", directory={"offset": IN_EXTRA_FIELD}, extra=b"XX\x01\x00_" + zip64_field(56))
    saturated = {"count": 0xFFFF, "here": 0xFFFF, "size": 2**32 - 1, "offset": 2**32 - 1}
    members = read(build_zip([one, two], zip64=True, end=saturated))
    assert [member.size for member in members.values()] == [5, 2]


def test_names_without_the_utf8_flag_are_of_code_page_437() -> None:
    assert list(read(build_zip([Member(b"\x82t\x82")]))) == ["été"]
    flags = {"flags": 0x800}
    assert list(read(build_zip([Member("été".encode(), directory=flags, local=flags)]))) == ["été"]


def test_every_cut_is_said_to_be_one() -> None:
    whole = build_zip([Member(b"a/data.pkl"), Member(b"b", b"x" * 500)], zip64=True)
    for length in range(1, len(whole)):
        with pytest.raises(WeightsError, match=f"^file.zip: cut short after {length:,} bytes[:;] ") as caught:
            read(whole[:length])
        assert "\n" not in str(caught.value)
    needed = 30 + 10 + 7 + 30 + 1 + 500
    with pytest.raises(WeightsError, match=f"cut short after 100 bytes; its tensors need at least {needed};"):
        read(whole[:100])
    with pytest.raises(WeightsError, match="cut short after 580 bytes: the directory at the end"):
        read(whole[:580])


def test_opening_members_end_where_a_size_is_not_known() -> None:
    streamed = {"flags": 8, "crc": 0, "stored": 0, "size": 0}
    data = build_zip([Member(b"a", b"12"), Member(b"b", local=streamed), Member(b"c")])
    members = list(opening_members(np.frombuffer(data, np.uint8)))
    assert [(member.name, member.stored) for member in members] == [("a", 2), ("b", 0)]


def test_opening_members_end_where_a_header_is_damaged() -> None:
    no_text = {"flags": 0x800}
    for second in (Member(b"\xff", local=no_text), Member(b"b", local={"size": IN_EXTRA_FIELD})):
        data = build_zip([Member(b"a"), second])
        assert [member.name for member in opening_members(np.frombuffer(data, np.uint8))] == ["a"]


LIES = {
    "two members of one name": ([Member(b"a"), Member(b"a")], "two members have the name 'a'"),
    "overlap": ([Member(b"a"), Member(b"b", directory={"offset": 0, "name": b"a"})], "two members|inside"),
    "data inside another member": (
        [Member(b"a", b"_" + build_zip([Member(b"b")])), Member(b"b", directory={"offset": 32})],
        r"member 'a' ends at byte \d+, inside 'b'",
    ),
    "reaches into the directory": (
        [Member(b"a", directory={"stored": 40, "size": 40}, local={"stored": 40, "size": 40})],
        "ends at byte 71, inside 'the directory'",
    ),
    "reaches beyond the file": (
        [Member(b"a", directory={"stored": 2**31, "size": 2**31}, local={"stored": 2**31, "size": 2**31})],
        r"member 'a' ends at byte \d+ of \d+",
    ),
    "size of zip64": (
        [
            Member(
                b"a",
                directory={"stored": IN_EXTRA_FIELD, "size": IN_EXTRA_FIELD, "flags": 8},
                local={"flags": 8},
                extra=zip64_field(2**60, 2**60),
            )
        ],
        r"ends at byte 11529\d+ of",
    ),
    "offset of zip64": (
        [Member(b"a", directory={"offset": IN_EXTRA_FIELD}, extra=zip64_field(2**60))],
        r"is said to stand at byte 11529\d+ of",
    ),
    "zip64 field too short": (
        [Member(b"a", directory={"offset": IN_EXTRA_FIELD}, extra=b"\1\0\4\0abcd")],
        "lacks its zip64 field",
    ),
    "zip64 field missing": ([Member(b"a", directory={"size": IN_EXTRA_FIELD})], "lacks its zip64 field"),
    "stored longer than it is": (
        [Member(b"a", directory={"size": 9}, local={"size": 9})],
        "declares 9 bytes and stores 7",
    ),
    "no local header": ([Member(b"a"), Member(b"b", directory={"offset": 1})], "has no local header at byte 1"),
    "another local name": ([Member(b"a", local={"name": b"b"})], "is another one in its local header"),
    "another local method": ([Member(b"a", local={"method": 8})], "is another one in its local header"),
    "another local size": ([Member(b"a", local={"size": 6})], "other sizes or another CRC-32"),
    "another local checksum": ([Member(b"a", local={"crc": 6})], "other sizes or another CRC-32"),
    "other flags": ([Member(b"a", local={"flags": 8})], "other flags in its local header"),
    "encrypted": ([Member(b"a", directory={"flags": 1}, local={"flags": 1})], "'a' of its zip archive is encrypted"),
    "encrypted in one header": ([Member(b"a", local={"flags": 1})], "'a' of its zip archive is encrypted"),
    "lzma": ([Member(b"a", method=14)], "compressed by method 14; only deflate is read"),
    "name of no UTF-8": ([Member(b"\xff", directory={"flags": 0x800})], "name that is no UTF-8"),
    "absolute name": ([Member(b"/etc/passwd")], "no path inside an archive"),
    "drive": ([Member(b"c:/x")], "no path inside an archive"),
    "folder above": ([Member(b"a/../../x")], "no path inside an archive"),
    "folder above, in Windows' way": ([Member(b"a\\..\\x")], "no path inside an archive"),
    "NUL in a name": ([Member(b"data.pkl\0.txt")], "no path inside an archive"),
    "no name": ([Member(b"")], "no path inside an archive"),
    "another disk": ([Member(b"a", directory={"disk": 1})], "one part of an archive in several files"),
}


@pytest.mark.parametrize("case", LIES)
def test_members_that_lie_are_refused(case: str) -> None:
    members, message = LIES[case]
    with pytest.raises(WeightsError, match=message) as caught:
        read(build_zip(members))
    assert str(caught.value).startswith("file.zip: ")
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize(
    ("end", "zip64", "message"),
    [
        ({"disk": 1}, False, "one part of an archive in several files"),
        ({"here": 1}, False, "one part of an archive in several files"),
        ({"offset": 5}, False, "its directory of 94 bytes at byte 5 does not end at byte"),
        ({"size": 2**31}, False, "its directory of 2147483648 bytes"),
        ({"here": 3, "count": 3}, False, "a record of its directory lies outside"),
        ({"here": 1, "count": 1}, False, "47 bytes of its directory belong to no member"),
        ({}, {"here": 2**60, "count": 2**60}, "its two end records disagree"),
        ({"here": 0xFFFF, "count": 0xFFFF}, {"here": 2**60, "count": 2**60}, "more than 131,072; refused"),
        ({"offset": 2**32 - 1}, {"offset": 2**63}, "does not end at byte"),
        ({"size": 2**32 - 1}, {"size": 2**64 - 1}, "does not end at byte"),
        ({}, {"begins": 2**60}, "zip64 end record is said to stand at byte"),
        ({}, {"begins": 0}, "there is no zip64 end record at byte 0"),
        ({}, {"length": 2**60}, "there is no zip64 end record at byte"),
    ],
)
def test_end_records_that_lie_are_refused(end: dict[str, int], zip64: Any, message: str) -> None:
    with pytest.raises(WeightsError, match=message):
        read(build_zip([Member(b"a"), Member(b"b")], end=end, zip64=zip64))


def test_bytes_before_and_behind_the_archive_are_refused() -> None:
    whole = build_zip([Member(b"a")])
    with pytest.raises(WeightsError, match="does not end at byte"):
        read(b"#!/bin/sh" + whole)
    with pytest.raises(WeightsError, match="4 bytes follow its end"):
        read(whole + b"\r\n\r\n")


def test_damage_anywhere_is_a_weights_error_or_changes_nothing_that_is_used() -> None:
    whole = build_zip([Member(b"a", b"12345"), Member(b"b", b"x" * 99, method=8)], zip64=True)
    expected = read(whole)
    generator = np.random.default_rng(0)
    refused = 0
    for _ in range(3000):
        damaged = bytearray(whole)
        for _ in range(generator.integers(1, 4)):
            damaged[generator.integers(len(whole))] = generator.integers(256)
        try:
            members = read(bytes(damaged))
        except WeightsError:
            refused += 1
        else:
            starts = [(member.start, member.stored) for member in members.values()]
            assert starts == [(member.start, member.stored) for member in expected.values()]
    assert refused > 1500


def test_long_names_are_shown_in_part() -> None:
    name = b"n\r\n" * 20_000
    with pytest.raises(WeightsError, match="two members have the name") as caught:
        read(build_zip([Member(name), Member(name)]))
    assert len(str(caught.value)) < 500
    assert "\n" not in str(caught.value)
