"""The content of zip members: bytes as they are, inflated within bounds, and each checked."""

from __future__ import annotations

import zlib
from pathlib import Path

import numpy as np
import pytest

from gradcli.checkpoints.zip_archive import ZipArchive
from gradcli.errors import WeightsError
from tests.checkpoints.zip_builder import Member, build_zip

PATH = Path("file.zip")


def archive(*members: Member) -> ZipArchive:
    return ZipArchive(PATH, np.frombuffer(bytearray(build_zip(members)), np.uint8))


def lying(content: bytes, size: int) -> Member:
    """A deflated member that declares another size in both headers."""
    return Member(b"a", content, 8, directory={"size": size}, local={"size": size})


@pytest.mark.parametrize("length", [0, 1, 1000, 2**18, 2**18 + 1, 3 * 2**20])
@pytest.mark.parametrize("repeated", [False, True])
def test_members_are_read_whatever_their_length(length: int, repeated: bool) -> None:
    content = bytes(length) if repeated else np.random.default_rng(0).bytes(length)
    members = archive(Member(b"stored", content), Member(b"deflated", content, 8))
    assert members.read("stored").tobytes() == content
    assert members.read("deflated").tobytes() == content


def test_stored_members_are_views_and_inflated_ones_writable() -> None:
    data = np.frombuffer(bytearray(build_zip([Member(b"a"), Member(b"b", b"x" * 99, 8)])), np.uint8)
    members = ZipArchive(PATH, data)
    assert np.shares_memory(members.read("a"), data)
    assert not np.shares_memory(members.read("b"), data)
    assert members.read("b").flags.writeable


def test_a_member_that_is_not_there() -> None:
    with pytest.raises(WeightsError, match=r"^file\.zip: is corrupt: its archive has no record 'b'$"):
        archive(Member(b"a")).read("b")


@pytest.mark.parametrize("method", [0, 8])
def test_a_wrong_checksum_is_refused(method: int) -> None:
    wrong = {"crc": zlib.crc32(b"content") ^ 1}
    with pytest.raises(WeightsError, match=r"member 'a' has the CRC-32 \w{8}, not \w{8} as stored"):
        archive(Member(b"a", b"content", method, directory=wrong, local=wrong)).read("a")


def test_a_checksum_of_zero_is_one_that_was_not_written_unless_the_member_is_compressed() -> None:
    none = {"crc": 0}
    assert archive(Member(b"a", b"content", directory=none, local=none)).read("a").tobytes() == b"content"
    with pytest.raises(WeightsError, match="has the CRC-32"):
        archive(Member(b"a", b"content", 8, directory=none, local=none)).read("a")


@pytest.mark.parametrize(
    ("member", "message"),
    [
        (lying(b"x" * 100, 99), "member 'a' is longer than its 99 bytes"),
        (lying(bytes(2**20), 2**19), "member 'a' is longer than its 524288 bytes"),
        (lying(b"x" * 100, 101), "member 'a' ends after 100 of 101 bytes"),
        (lying(b"x" * 100, 0), "member 'a' is longer than its 0 bytes"),
    ],
)
def test_sizes_that_lie_are_refused(member: Member, message: str) -> None:
    with pytest.raises(WeightsError, match=message):
        archive(member).read("a")


def test_compressed_data_that_end_early_or_are_none() -> None:
    whole = bytearray(build_zip([Member(b"a", np.random.default_rng(0).bytes(1000), 8)]))
    damaged = whole.copy()
    damaged[31] = 0x07  # the type of the first block: one that does not exist
    with pytest.raises(WeightsError, match="member 'a' does not inflate"):
        ZipArchive(PATH, np.frombuffer(damaged, np.uint8)).read("a")
    whole[31] &= 0xFE  # the first block is no longer the last
    with pytest.raises(WeightsError, match=r"member 'a' (ends after|does not inflate)"):
        ZipArchive(PATH, np.frombuffer(whole, np.uint8)).read("a")


def test_bombs_are_refused_before_memory_is_taken() -> None:
    with pytest.raises(WeightsError, match=r"member 'a' can't hold 1073741824 bytes in \d+ compressed"):
        archive(lying(bytes(1000), 2**30))
    stored = bytes(300_000)  # what is in it does not matter: it is not inflated
    sizes = {"size": 257 * 2**20, "method": 8}
    with pytest.raises(WeightsError, match="would need 269484032 bytes of memory, more than 16 times its size"):
        archive(Member(b"a", stored, directory=sizes, local=sizes))


def test_damage_in_members_is_found() -> None:
    content = np.random.default_rng(1).bytes(300)
    whole = build_zip([Member(b"a", content), Member(b"b", content, 8)])
    generator = np.random.default_rng(0)
    refused = 0
    for _ in range(2000):
        damaged = bytearray(whole)
        damaged[generator.integers(len(whole))] ^= 1 << generator.integers(8)
        try:
            members = ZipArchive(PATH, np.frombuffer(damaged, np.uint8))
            contents = [members.read(name).tobytes() for name in members.members]
        except WeightsError:
            refused += 1
        else:
            assert contents == [content, content]
    assert refused > 1500
