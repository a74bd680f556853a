"""Atomic writing: whole or not at all, whatever step fails, with the mode that the umask says."""

from __future__ import annotations

import errno
import os
import stat
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from gradcli.checkpoints import replace_atomically, write_atomically
from gradcli.errors import DataError

DISK_FULL = OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))


def write(path: Path, content: bytes) -> None:
    with write_atomically(path) as stream:
        stream.write(content)


def write_then_raise(path: Path, error: BaseException) -> None:
    with write_atomically(path) as stream:
        stream.write(b"half")
        raise error


@contextmanager
def umask(mask: int) -> Iterator[None]:
    previous = os.umask(mask)
    try:
        yield
    finally:
        os.umask(previous)


@pytest.mark.parametrize(("mask", "mode"), [(0o022, 0o644), (0o077, 0o600), (0o002, 0o664)])
def test_mode_is_what_the_umask_says(tmp_path: Path, mask: int, mode: int) -> None:
    path = tmp_path / "result"
    with umask(mask), write_atomically(path) as stream:
        stream.write(b"x")
    assert stat.S_IMODE(path.stat().st_mode) == mode


def test_mode_is_the_umasks_even_if_the_block_changed_it(tmp_path: Path) -> None:
    path = tmp_path / "result"
    with umask(0o022), replace_atomically(path) as temporary:
        temporary.write_bytes(b"x")
        temporary.chmod(0o600)
    assert stat.S_IMODE(path.stat().st_mode) == 0o644


def test_bytes_and_text_arrive_unchanged(tmp_path: Path) -> None:
    with write_atomically(tmp_path / "bytes") as stream:
        stream.write(b"a\r\n\xff")
    with write_atomically(tmp_path / "text", "w") as text:
        text.write("é\r\n\n")
    assert (tmp_path / "bytes").read_bytes() == b"a\r\n\xff"
    assert (tmp_path / "text").read_bytes() == "é\r\n\n".encode()
    assert sorted(entry.name for entry in tmp_path.iterdir()) == ["bytes", "text"]


def test_old_content_stands_until_the_block_ends(tmp_path: Path) -> None:
    path = tmp_path / "result"
    path.write_bytes(b"old")
    with write_atomically(path) as stream:
        stream.write(b"new")
        stream.flush()
        assert path.read_bytes() == b"old"
    assert path.read_bytes() == b"new"


@pytest.mark.parametrize("error", [ValueError("no"), KeyboardInterrupt()])
def test_an_error_in_the_block_leaves_the_old_file_and_nothing_else(tmp_path: Path, error: BaseException) -> None:
    path = tmp_path / "result"
    path.write_bytes(b"old")
    with pytest.raises(type(error)):
        write_then_raise(path, error)
    assert path.read_bytes() == b"old"
    assert list(tmp_path.iterdir()) == [path]


@pytest.mark.parametrize("call", ["open", "chmod", "fsync", "replace"])
def test_a_failing_system_call_leaves_the_old_file_and_names_it(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, call: str
) -> None:
    path = tmp_path / "result"
    path.write_bytes(b"old")

    def fail(*arguments: object, **options: object) -> None:
        raise DISK_FULL

    with monkeypatch.context() as patch:
        patch.setattr(os, call, fail)
        with pytest.raises(DataError, match=r"result: cannot be written: No space left"):
            write(path, b"new")
    assert path.read_bytes() == b"old"
    assert list(tmp_path.iterdir()) == [path]


def test_a_full_disk_while_writing_is_a_data_error(tmp_path: Path) -> None:
    with pytest.raises(DataError, match="cannot be written: No space left"):
        write_then_raise(tmp_path / "result", DISK_FULL)
    assert list(tmp_path.iterdir()) == []


def test_an_error_about_another_file_is_not_relabelled(tmp_path: Path) -> None:
    with pytest.raises(FileNotFoundError), write_atomically(tmp_path / "result"):
        (tmp_path / "missing").read_bytes()
    assert list(tmp_path.iterdir()) == []


def test_targets_that_cannot_be_files_are_named(tmp_path: Path) -> None:
    with pytest.raises(DataError, match="is a directory"), write_atomically(tmp_path):
        pass
    with (
        pytest.raises(DataError, match="missing does not exist"),
        write_atomically(tmp_path / "missing/result"),
    ):
        pass
    with pytest.raises(DataError, match="device or a pipe"), replace_atomically(os.devnull):
        pass


def test_a_write_protected_file_is_kept(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = tmp_path / "result"
    path.write_bytes(b"old")
    # os.access answers for the superuser too, who may write anything
    monkeypatch.setattr(os, "access", lambda path, mode: False)
    with pytest.raises(DataError, match="write-protected"), write_atomically(path):
        pass
    assert path.read_bytes() == b"old"


def test_a_symbolic_link_stays_a_link(tmp_path: Path) -> None:
    (tmp_path / "elsewhere").mkdir()
    target, link = tmp_path / "elsewhere" / "target", tmp_path / "link"
    target.write_bytes(b"old")
    link.symlink_to(target)
    with write_atomically(link) as stream:
        stream.write(b"new")
    assert link.is_symlink()
    assert target.read_bytes() == b"new"


def test_a_device_is_written_and_not_replaced() -> None:
    with write_atomically(os.devnull) as stream:
        stream.write(b"x")
    assert stat.S_ISCHR(os.stat(os.devnull).st_mode)


def test_a_long_file_name_leaves_room_for_the_temporary_one(tmp_path: Path) -> None:
    path = tmp_path / ("é" * 120)
    with write_atomically(path) as stream:
        stream.write(b"x")
    assert path.read_bytes() == b"x"
