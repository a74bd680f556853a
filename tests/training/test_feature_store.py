"""Stores of feature rows: what is written is found again, what is damaged is not, and old ones make room."""

from __future__ import annotations

import errno
import json
import os
import subprocess
import sys
import threading
from pathlib import Path

import numpy as np
import pytest

from gradcli.errors import DataError
from gradcli.training import feature_store
from gradcli.training.feature_store import FeatureStore, MemoryStore, make_room, open_store

SHAPE = (10, 2, 3)
ROWS = np.random.default_rng(0).normal(size=SHAPE).astype(np.float32)


def write_blocks(store: FeatureStore | MemoryStore, *starts: int) -> None:
    for start in starts:
        store.write(start, ROWS[start : start + 4], (start + 1,) if start == 4 else ())


def fill(folder: Path, *starts: int) -> None:
    with open_store(folder, SHAPE, {"what": "a test"}) as store:
        write_blocks(store, *starts)


def blocks_of(folder: Path) -> list[tuple[int, int]]:
    with open_store(folder, SHAPE, {}) as store:
        return [(block.start, block.stop) for block in store.blocks]


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    return tmp_path / "features" / "key"


def test_rows_are_found_again(folder: Path) -> None:
    fill(folder, 0)
    with open_store(folder, SHAPE, {}) as store:
        assert [tuple(block[:2]) for block in store.blocks] == [(0, 4)]
        write_blocks(store, 4, 8)
    with open_store(folder, SHAPE, {}) as store:
        assert [tuple(block[:2]) for block in store.blocks] == [(0, 4), (4, 8), (8, 10)]
        assert [block.empty for block in store.blocks] == [(), (5,), ()]
        rows = store.rows()
    np.testing.assert_array_equal(rows, ROWS)
    assert not rows.flags.writeable
    assert sorted(path.name for path in folder.iterdir()) == ["blocks.jsonl", "features.json", "features.npy"]


def test_the_files_can_be_read_by_others(folder: Path) -> None:
    fill(folder, 8, 0, 4)
    np.testing.assert_array_equal(np.load(folder / "features.npy"), ROWS)
    assert json.loads((folder / "features.json").read_text()) == {"what": "a test"}


def test_memory_holds_the_same() -> None:
    store = MemoryStore(SHAPE)
    write_blocks(store, 0, 4)
    np.testing.assert_array_equal(store.rows()[:8], ROWS[:8])
    assert not store.rows()[8:].any()
    store.forget(store.blocks[1:])
    assert [tuple(block[:2]) for block in store.blocks] == [(0, 4)]


def test_forgotten_blocks_are_gone(folder: Path) -> None:
    fill(folder, 0, 4, 8)
    with open_store(folder, SHAPE, {}) as store:
        store.forget([store.blocks[1]])
    assert blocks_of(folder) == [(0, 4), (8, 10)]


@pytest.mark.parametrize("position", [0, 4, 9])
def test_a_changed_byte_takes_its_block_along(folder: Path, position: int, caplog: pytest.LogCaptureFixture) -> None:
    fill(folder, 0, 4, 8)
    path = folder / "features.npy"
    content = bytearray(path.read_bytes())
    content[len(content) - ROWS.nbytes + ROWS[0].nbytes * position] ^= 1
    path.write_bytes(content)
    assert blocks_of(folder) == [block for block in ((0, 4), (4, 8), (8, 10)) if not block[0] <= position < block[1]]
    assert "1 of 3 blocks are damaged" in caplog.text


def cut(path: Path) -> None:
    path.write_bytes(path.read_bytes()[:-1])


def lengthen(path: Path) -> None:
    path.write_bytes(path.read_bytes() + b"\0")


def another_shape(path: Path) -> None:
    np.save(path, ROWS.reshape(10, 3, 2))


@pytest.mark.parametrize("damage", [cut, lengthen, another_shape, Path.unlink])
def test_another_file_than_the_stores_is_replaced(folder: Path, damage: object) -> None:
    fill(folder, 0, 4, 8)
    damage(folder / "features.npy")  # type: ignore[operator]
    assert blocks_of(folder) == []
    fill(folder, 0, 4, 8)
    assert blocks_of(folder) == [(0, 4), (4, 8), (8, 10)]


@pytest.mark.parametrize(
    "line",
    [
        "",
        "nonsense",
        "[" * 100_000,
        "[]",
        "3",
        "{}",
        '{"start": 0, "stop": 4}',
        '{"start": 0, "stop": 4, "sha256": "00", "empty": []}',
        '{"start": 0, "stop": 4, "sha256": 5, "empty": []}',
        '{"start": -4, "stop": 4, "sha256": "00"}',
        '{"start": 4, "stop": 4, "sha256": "00"}',
        '{"start": 0, "stop": 400, "sha256": "00"}',
        '{"start": 0.5, "stop": 4, "sha256": "00"}',
        '{"start": "a", "stop": 4, "sha256": "00"}',
        '{"start": 0, "stop": 4, "sha256": "00", "empty": 7}',
        '{"start": 0, "stop": 4, "sha256": "00", "empty": ["a"]}',
        '{"start": 0, "stop": 4, "sha256": "00", "more": 1}',
    ],
)
def test_lines_of_the_journal_that_vouch_for_nothing(folder: Path, line: str) -> None:
    fill(folder, 4)
    journal = folder / "blocks.jsonl"
    journal.write_text(line + "\n" + journal.read_text() + line)  # the last one without its end
    fill(folder, 8)
    assert blocks_of(folder) == [(4, 8), (8, 10)]


def test_blocks_that_overlap_count_once(folder: Path) -> None:
    fill(folder, 4, 4)
    assert blocks_of(folder) == [(4, 8)]


def test_a_process_that_was_killed_leaves_what_it_wrote(folder: Path) -> None:
    program = (
        "import os, pathlib, sys, numpy as np\n"
        "from gradcli.training.feature_store import open_store\n"
        "with open_store(pathlib.Path(sys.argv[1]), (10, 2, 3), {}) as store:\n"
        "    store.write(4, np.ones((4, 2, 3), np.float32))\n"
        "    os._exit(9)\n"
    )
    assert subprocess.run([sys.executable, "-c", program, str(folder)], check=False).returncode == 9
    with open_store(folder, SHAPE, {}) as store:
        assert [tuple(block[:2]) for block in store.blocks] == [(4, 8)]
        np.testing.assert_array_equal(store.rows()[4:8], 1)


def test_one_process_at_a_time(folder: Path) -> None:
    fill(folder, 0)
    order = []

    def second() -> None:
        with open_store(folder, SHAPE, {}) as store:
            order.append(len(store.blocks))

    thread = threading.Thread(target=second)
    with open_store(folder, SHAPE, {}) as store:
        thread.start()
        write_blocks(store, 4, 8)
        order.append("written")
    thread.join()
    assert order == ["written", 3]


def test_a_disk_that_is_full_from_the_start_keeps_nothing(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def full(*_: object) -> None:
        raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr(feature_store, "_take_space", full)
    with pytest.raises(OSError, match="No space left"), open_store(folder, SHAPE, {}):
        pytest.fail("the store was opened")
    assert list(folder.parent.iterdir()) == []


@pytest.mark.parametrize("code", [errno.EOPNOTSUPP, errno.EINVAL])
def test_a_file_system_that_takes_no_space_ahead(folder: Path, code: int, monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(*_: object) -> None:
        raise OSError(code, "not here")

    monkeypatch.setattr(os, "posix_fallocate", refuse, raising=False)
    fill(folder, 0, 4, 8)
    np.testing.assert_array_equal(np.load(folder / "features.npy"), ROWS)


def test_a_disk_that_is_full_later_is_said(folder: Path) -> None:
    class Full:
        def seek(self, position: int) -> None:
            raise OSError(errno.ENOSPC, "No space left on device")

    store = FeatureStore(folder, SHAPE, Full(), [])  # type: ignore[arg-type]
    with pytest.raises(DataError, match=r"features\.npy: cannot be written: No space left on device; make room"):
        write_blocks(store, 0)
    assert store.blocks == []


def test_what_is_mapped_outlives_replacing_and_removing(folder: Path) -> None:
    fill(folder, 0, 4, 8)
    with open_store(folder, SHAPE, {}) as store:
        mapped = store.rows()
    with open_store(folder, (3, 1), {}) as store:  # another file takes the name
        assert store.blocks == []
    np.testing.assert_array_equal(mapped, ROWS)
    make_room(folder.parent, 1, 0, keep=folder / "another")
    assert not folder.exists()
    np.testing.assert_array_equal(mapped, ROWS)


@pytest.mark.parametrize(
    ("needed", "limit", "left"),
    [
        (0, 10_000, ["a", "b", "c"]),
        (0, 1000, ["a", "b"]),  # c was used longest ago
        (600, 1000, ["a"]),
        (700, 1000, []),
        (5000, 1000, []),
    ],
)
def test_the_stores_used_longest_ago_make_room(tmp_path: Path, needed: int, limit: int, left: list[str]) -> None:
    for used, name in enumerate(("c", "b", "a")):
        fill(tmp_path / name, 0)
        os.utime(tmp_path / name / "blocks.jsonl", (1000 + used, 1000 + used))
    sizes = [(tmp_path / name / "features.npy").stat().st_size for name in "abc"]
    assert sizes == [368] * 3
    (tmp_path / "no store").mkdir()
    (tmp_path / "file").touch()
    make_room(tmp_path, needed, limit, keep=tmp_path / "another")
    assert sorted(path.name for path in tmp_path.iterdir() if len(path.name) == 1) == left
    assert (tmp_path / "no store").exists()


def test_opening_counts_as_use_and_one_is_kept(tmp_path: Path) -> None:
    for name in ("a", "b", "c"):
        fill(tmp_path / name, 0)
        os.utime(tmp_path / name / "blocks.jsonl", (1000, 1000))
    assert blocks_of(tmp_path / "b") == [(0, 4)]
    make_room(tmp_path, 0, 400, keep=tmp_path / "c")
    assert sorted(path.name for path in tmp_path.iterdir()) == ["b", "c"]


def test_room_in_a_folder_that_is_not_there(tmp_path: Path) -> None:
    make_room(tmp_path / "features", 10, 5, keep=tmp_path / "features" / "key")
    assert list(tmp_path.iterdir()) == []
