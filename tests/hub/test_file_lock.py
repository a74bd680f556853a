"""A lock that one holds at a time, and that the end of its holder frees."""

from __future__ import annotations

import os
import subprocess
import sys
import threading
from pathlib import Path

import pytest

from gradcli.errors import DataError
from gradcli.hub.file_lock import locked


def test_the_lock_file_goes_with_the_lock(tmp_path: Path) -> None:
    with locked(tmp_path / "lock", "at work") as waited:
        assert (tmp_path / "lock").exists()
        assert not waited
    assert list(tmp_path.iterdir()) == []


def test_one_at_a_time(tmp_path: Path) -> None:
    inside = 0
    seen = []

    def work() -> None:
        nonlocal inside
        for _ in range(20):
            with locked(tmp_path / "lock", "at work", seconds_between_tries=0.0):
                inside += 1
                seen.append(inside)
                inside -= 1

    threads = [threading.Thread(target=work) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert seen == [1] * 80
    assert list(tmp_path.iterdir()) == []


def test_whoever_waits_may_give_up(tmp_path: Path) -> None:
    calls = []

    def give_up_at_the_third() -> None:
        calls.append(len(calls))
        if len(calls) == 3:
            raise TimeoutError

    with locked(tmp_path / "lock", "at work"):
        waiting = locked(tmp_path / "lock", "at work", seconds_between_tries=0.0, while_waiting=give_up_at_the_third)
        with pytest.raises(TimeoutError), waiting:
            pass
        assert (tmp_path / "lock").exists()
    assert calls == [0, 1, 2]


def test_the_lock_of_a_process_that_was_killed_is_free(tmp_path: Path) -> None:
    program = (
        "import os, pathlib, signal, sys\n"
        "from gradcli.hub.file_lock import locked\n"
        "with locked(pathlib.Path(sys.argv[1]), 'at work'):\n"
        "    os._exit(9)\n"
    )
    run = subprocess.run([sys.executable, "-c", program, str(tmp_path / "lock")], check=False)
    assert run.returncode == 9
    assert (tmp_path / "lock").exists()
    with locked(tmp_path / "lock", "at work") as waited:
        assert not waited


@pytest.mark.skipif(not hasattr(os, "O_NOFOLLOW"), reason="links are followed here")
def test_a_link_in_place_of_the_lock_makes_no_file_elsewhere(tmp_path: Path) -> None:
    (tmp_path / "lock").symlink_to(tmp_path / "elsewhere")
    with pytest.raises(DataError, match="lock: cannot be written"), locked(tmp_path / "lock", "testing"):
        pass
    assert not (tmp_path / "elsewhere").exists()


def test_a_folder_that_is_not_there(tmp_path: Path) -> None:
    with pytest.raises(DataError, match="cannot be written"), locked(tmp_path / "folder" / "lock", "at work"):
        pytest.fail("the lock was taken")
