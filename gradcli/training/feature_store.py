"""Rows of float32 numbers in a file that is filled block by block, and room for such files within a size.

Beside the rows stands a journal with a line for each block that is there, and the SHA-256 of its bytes. What it does
not vouch for counts as missing, however the process before ended and whatever happened to the file since.
"""

from __future__ import annotations

import errno
import hashlib
import io
import json
import logging
import math
import os
import shutil
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any, BinaryIO, NamedTuple

import numpy as np
from numpy.typing import NDArray

from gradcli.checkpoints import write_atomically
from gradcli.errors import DataError
from gradcli.hub.file_lock import locked

logger = logging.getLogger(__name__)

ROWS_FILE = "features.npy"
JOURNAL_FILE = "blocks.jsonl"
DESCRIPTION_FILE = "features.json"
LOCK_FILE = "lock"


class Block(NamedTuple):
    """Rows `start` to `stop` (without it), the SHA-256 of their bytes, and those of them that stand for nothing."""

    start: int
    stop: int
    sha256: str
    empty: tuple[int, ...] = ()


class FeatureStore:
    """The file of one array of rows, open for reading, and for writing where `open_store` made it."""

    def __init__(self, folder: Path, shape: tuple[int, ...], file: BinaryIO, blocks: list[Block]) -> None:
        self.folder = folder
        self.shape = shape
        self.blocks = blocks
        self._file = file
        self._offset = len(_header(shape))

    def rows(self) -> NDArray[np.float32]:
        """All rows, mapped read-only; the mapping outlives the store, and the file's name."""
        return np.asarray(np.memmap(self._file, np.float32, "r", self._offset, self.shape))

    def write(self, start: int, rows: NDArray[np.float32], empty: tuple[int, ...] = ()) -> None:
        """Write a block of rows from `start` on, then its line in the journal; DataError if there is no space left."""
        rows = np.ascontiguousarray(rows)
        try:
            self._file.seek(self._offset + start * rows[0].nbytes)
            self._file.write(rows.data)
            self._file.flush()
        except OSError as error:
            raise DataError(
                f"{self.folder / ROWS_FILE}: cannot be written: {error.strerror or error}; "
                "make room there, or name another folder in GRADCLI_HOME"
            ) from error
        block = Block(start, start + len(rows), hashlib.sha256(rows.data).hexdigest(), empty)
        self.blocks.append(block)
        # Without its line, the next process that opens the store computes the block again.
        with suppress(OSError), open(self.folder / JOURNAL_FILE, "a", encoding="utf-8") as journal:
            journal.write(json.dumps(block._asdict()) + "\n")

    def forget(self, blocks: list[Block]) -> None:
        """These blocks no longer count as there."""
        self.blocks = [block for block in self.blocks if block not in blocks]
        self._write_journal()

    def _write_journal(self) -> None:
        with write_atomically(self.folder / JOURNAL_FILE, "w") as journal:
            journal.writelines(json.dumps(block._asdict()) + "\n" for block in self.blocks)

    def keep_sound_blocks(self) -> None:
        """Leave out the blocks whose bytes are not what the journal says, or that overlap others."""
        rows, sound, filled = self.rows(), [], np.zeros(self.shape[0], bool)
        for block in self.blocks:
            part = slice(block.start, block.stop)
            if not filled[part].any() and hashlib.sha256(rows[part].data).hexdigest() == block.sha256:
                filled[part] = True
                sound.append(block)
        if damaged := len(self.blocks) - len(sound):
            logger.warning("%s: %d of %d blocks are damaged and computed again", self.folder, damaged, len(self.blocks))
        self.blocks = sound
        self._write_journal()  # even if nothing changed: it ends with a whole line now, and is the one used last


class MemoryStore:
    """Rows that are kept in memory only, with what a FeatureStore has."""

    def __init__(self, shape: tuple[int, ...]) -> None:
        self.folder = None
        self.shape = shape
        self.blocks: list[Block] = []
        self._rows = np.zeros(shape, np.float32)

    def rows(self) -> NDArray[np.float32]:
        """All rows; those not written are zeros."""
        return self._rows

    def write(self, start: int, rows: NDArray[np.float32], empty: tuple[int, ...] = ()) -> None:
        """Take a block of rows from `start` on."""
        self._rows[start : start + len(rows)] = rows
        self.blocks.append(Block(start, start + len(rows), "", empty))

    def forget(self, blocks: list[Block]) -> None:
        """These blocks no longer count as there."""
        self.blocks = [block for block in self.blocks if block not in blocks]


@contextmanager
def open_store(
    folder: Path,
    shape: tuple[int, ...],
    description: Mapping[str, Any],
    while_waiting: Callable[[], None] = lambda: None,
) -> Iterator[FeatureStore]:
    """The store in `folder` for rows of `shape`, its first size their number: what is there of it already, else new.

    The disk space of all rows is taken at once where the system can do that. One process at a time has the store;
    others wait, call `while_waiting` now and then, and give up if it raises. `description` is written beside it for
    people to read. The use counts for `make_room`. OSError or DataError if the folder can't be written to or has too
    little space: then nothing new is left there.
    """
    folder.mkdir(parents=True, exist_ok=True)
    with locked(folder / LOCK_FILE, f"computing the features in {folder}", while_waiting=while_waiting):
        file = _existing_file(folder, shape)
        if file is None:
            with write_atomically(folder / DESCRIPTION_FILE, "w") as stream:
                json.dump(description, stream, indent=2, ensure_ascii=False)
            file = _new_file(folder, shape)
        with file:
            store = FeatureStore(folder, shape, file, _read_journal(folder, shape[0]))
            store.keep_sound_blocks()
            yield store


def make_room(parent: Path, needed: int, limit: int, keep: Path) -> None:
    """Remove stores from `parent`, those used longest ago first, until there is room for `needed` bytes within `limit`.

    `keep` is not removed, nor counted. Whoever has one of the others open keeps what it has.
    """
    stores = []
    for folder in parent.iterdir() if parent.is_dir() else ():
        with suppress(OSError):  # another process removes it meanwhile, or it is none
            size, used = (folder / ROWS_FILE).stat().st_size, (folder / JOURNAL_FILE).stat().st_mtime
            stores.append((used, size, folder))
    stores = sorted(store for store in stores if store[2] != keep)
    total = sum(size for _, size, _ in stores)
    for _, size, folder in stores:
        if total + needed <= limit:
            return
        logger.debug("%s: removed to make room", folder)
        shutil.rmtree(folder, ignore_errors=True)
        total -= size


def _header(shape: tuple[int, ...]) -> bytes:
    stream = io.BytesIO()
    fields = {"descr": np.dtype(np.float32).str, "fortran_order": False, "shape": shape}
    np.lib.format.write_array_header_1_0(stream, fields)
    return stream.getvalue()


def _existing_file(folder: Path, shape: tuple[int, ...]) -> BinaryIO | None:
    """The file of rows if it is one for this shape, by its beginning and its size."""
    header = _header(shape)
    try:
        file = open(folder / ROWS_FILE, "r+b")  # noqa: SIM115 - the caller closes it
    except FileNotFoundError:
        return None
    if os.fstat(file.fileno()).st_size == len(header) + _bytes(shape) and file.read(len(header)) == header:
        return file
    file.close()
    logger.warning("%s: damaged; the features are computed again", folder / ROWS_FILE)
    return None


def _new_file(folder: Path, shape: tuple[int, ...]) -> BinaryIO:
    path, journal = folder / ROWS_FILE, folder / JOURNAL_FILE
    # Under a new name for a moment, so that a process that has mapped an old file keeps what it reads.
    for old in (path, journal):
        old.unlink(missing_ok=True)
    file = open(path, "x+b")  # noqa: SIM115 - the caller closes it
    try:
        file.write(_header(shape))
        file.flush()
        _take_space(file, len(_header(shape)) + _bytes(shape))
        journal.touch()
    except BaseException:
        file.close()
        shutil.rmtree(folder, ignore_errors=True)
        raise
    return file


def _take_space(file: BinaryIO, size: int) -> None:
    file.truncate(size)
    if hasattr(os, "posix_fallocate"):
        try:
            os.posix_fallocate(file.fileno(), 0, size)
        except OSError as error:
            if error.errno not in (errno.EOPNOTSUPP, errno.ENOSYS, errno.EINVAL):  # the file system can't
                raise


def _bytes(shape: tuple[int, ...]) -> int:
    return math.prod(shape) * np.dtype(np.float32).itemsize


def _read_journal(folder: Path, count: int) -> list[Block]:
    """The blocks that the journal names and that lie within `count` rows; lines that say nothing are passed over."""
    blocks = []
    with suppress(FileNotFoundError):
        for line in (folder / JOURNAL_FILE).read_bytes().splitlines():
            with suppress(ValueError, TypeError, RecursionError):
                block = Block(**json.loads(line))
                block = block._replace(empty=tuple(block.empty))
                if all(type(row) is int for row in (block.start, block.stop, *block.empty)):
                    blocks += [block] if 0 <= block.start < block.stop <= count else []
    return blocks
