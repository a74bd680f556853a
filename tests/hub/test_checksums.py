"""Checksums that are remembered: only while the file is the same, and never at the cost of an error."""

from __future__ import annotations

import hashlib
import json
import os
from pathlib import Path

import pytest

from gradcli.errors import WeightsError
from gradcli.hub import cache, checksums
from gradcli.hub.checksums import cached_sha256

LONG_AGO = 1_600_000_000


@pytest.fixture
def file(tmp_path: Path) -> Path:
    path = tmp_path / "weights.pth"
    path.write_bytes(b"content")
    os.utime(path, (LONG_AGO, LONG_AGO))
    return path


def sha256(content: bytes) -> str:
    return hashlib.sha256(content).hexdigest()


def remembered() -> dict[str, list[object]]:
    content: dict[str, list[object]] = json.loads((cache.home() / "checksums.json").read_text())
    return content


def test_a_file_is_read_once(file: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    assert cached_sha256(file) == sha256(b"content")
    monkeypatch.setattr(checksums, "file_sha256", lambda path: pytest.fail(f"{path} was read again"))
    assert cached_sha256(file) == sha256(b"content")
    link = file.with_name("link")
    link.symlink_to(file)
    assert cached_sha256(link) == sha256(b"content")


@pytest.mark.parametrize(
    ("content", "time"), [(b"changed", LONG_AGO + 1), (b"longer content", LONG_AGO)], ids=["time", "size"]
)
def test_a_changed_file_is_read_again(file: Path, content: bytes, time: int) -> None:
    cached_sha256(file)
    file.write_bytes(content)
    os.utime(file, (time, time))
    assert cached_sha256(file) == sha256(content)
    assert cached_sha256(file) == sha256(content)


@pytest.mark.skipif(os.name != "posix", reason="needs the time of the last change of state")
def test_a_file_whose_time_was_set_back_is_read_again(file: Path) -> None:
    cached_sha256(file)
    changed = file.stat().st_ctime_ns
    while file.stat().st_ctime_ns == changed:  # until the file system's clock has ticked
        file.write_bytes(b"CONTENT")
        os.utime(file, (LONG_AGO, LONG_AGO))
    assert cached_sha256(file) == sha256(b"CONTENT")


def test_a_file_that_took_the_others_place_is_read(file: Path) -> None:
    cached_sha256(file)
    other = file.with_name("other")
    other.write_bytes(b"CONTENT")
    os.utime(other, (LONG_AGO, LONG_AGO))
    os.replace(other, file)
    assert cached_sha256(file) == sha256(b"CONTENT")


def test_what_changed_just_now_is_not_remembered(file: Path) -> None:
    file.write_bytes(b"new")
    assert cached_sha256(file) == sha256(b"new")
    assert not (cache.home() / "checksums.json").exists()


@pytest.mark.parametrize("damage", ["", "{", "[1]", "null", '{"PATH": 3}', '{"PATH": []}', '{"PATH": [1, 2, 3, "x"]}'])
def test_damaged_notes_cost_only_time(file: Path, damage: str) -> None:
    cache.make_folder(cache.home())
    (cache.home() / "checksums.json").write_text(damage.replace("PATH", str(file)))
    assert cached_sha256(file) == sha256(b"content")
    assert list(remembered().values())[-1][-1] == sha256(b"content")


def test_an_unwritable_cache_costs_only_time(file: Path) -> None:
    cache.home().parent.mkdir(exist_ok=True)
    cache.home().write_text("a file in the folder's place")
    assert cached_sha256(file) == sha256(b"content")


def test_the_oldest_notes_are_forgotten(file: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(checksums, "MOST_ENTRIES", 2)
    for name in "abc":
        path = file.with_name(name)
        path.write_bytes(name.encode())
        os.utime(path, (LONG_AGO, LONG_AGO))
        cached_sha256(path)
    assert [Path(path).name for path in remembered()] == ["b", "c"]


def test_a_missing_file_is_an_error(tmp_path: Path) -> None:
    with pytest.raises(WeightsError, match=r"none\.pth: cannot be read"):
        cached_sha256(tmp_path / "none.pth")
