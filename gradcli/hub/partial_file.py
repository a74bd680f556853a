"""What is on disk of a download that is not whole yet, and what is needed to go on with it later."""

from __future__ import annotations

import errno
import hashlib
import json
import os
import stat
from contextlib import suppress
from pathlib import Path
from typing import BinaryIO

from gradcli.checkpoints import write_atomically
from gradcli.errors import DataError

_PIECE_LENGTH = 1 << 20


class PartialFile:
    """The file `DESTINATION.part` beside the destination, with its SHA-256 so far.

    `DESTINATION.part.json` says which version of which file it is a part of: its `source`, the `validator` with which
    the server names that version (an ETag or a time of change; None if it named none), and its `total` size. A part
    without them, or of another source, is not gone on with. Closing keeps both files. DataError names the destination
    where they can't be written.
    """

    def __init__(self, destination: Path, source: str) -> None:
        self.destination = destination
        self.source = source
        self.path = destination.with_name(f"{destination.name}.part")
        self.validator: str | None = None
        self.total: int | None = None
        self.position = 0
        """How many bytes of the file are there."""
        self._sha256 = hashlib.sha256()
        self._state_path = destination.with_name(f"{destination.name}.part.json")
        self._stream = self._opened()

    def __enter__(self) -> PartialFile:
        return self

    def __exit__(self, *_: object) -> None:
        with suppress(OSError):
            self._stream.close()
        if self.position == 0:
            self._remove()

    def start_over(self, validator: str | None, total: int | None) -> None:
        """Forget the bytes that are there: those of the version named here follow."""
        self.validator, self.total, self.position = validator, total, 0
        self._sha256 = hashlib.sha256()
        state = {"source": self.source, "validator": validator, "total": total}
        try:
            self._stream.seek(0)
            self._stream.truncate()
            if self._state_path.is_symlink():  # writing would replace the file that it leads to
                self._state_path.unlink()
            with write_atomically(self._state_path, "w") as stream:
                json.dump(state, stream)
        except OSError as error:
            raise self._not_writable(error) from error

    def append(self, piece: bytes) -> None:
        """Add bytes at the end."""
        rest = memoryview(piece)
        while rest:
            try:
                written = self._stream.write(rest)  # a disk that fills up takes a part of it first
            except OSError as error:
                raise self._not_writable(error) from error
            self._sha256.update(rest[:written])
            self.position += written
            rest = rest[written:]

    def sha256(self) -> str:
        """The SHA-256 of the bytes that are there, as 64 lower-case hexadecimal digits."""
        return self._sha256.hexdigest()

    def finish(self) -> None:
        """Give the file its name, once its bytes are on the disk."""
        try:
            self._stream.flush()
            os.fsync(self._stream.fileno())
            self._stream.close()
            os.replace(self.path, self.destination)
        except OSError as error:
            raise self._not_writable(error) from error
        with suppress(OSError):
            self._state_path.unlink()

    def discard(self) -> None:
        """Remove both files."""
        self._stream.close()
        self._remove()

    def _remove(self) -> None:
        for path in (self.path, self._state_path):
            with suppress(OSError):
                path.unlink()

    def _opened(self) -> BinaryIO:
        try:
            # Without a buffer: an error belongs to the bytes it comes with, and closing has nothing left to write.
            stream = open(self.path, "r+b", buffering=0, opener=_open_own_file)  # noqa: SIM115 - closed on exit
            if self._read_state():
                while piece := stream.read(_PIECE_LENGTH):
                    self._sha256.update(piece)
                    self.position += len(piece)
        except OSError as error:
            raise self._not_writable(error) from error
        return stream

    def _read_state(self) -> bool:
        """Take over what is known of the part on disk; False if that is nothing, or of another source."""
        try:
            state = json.loads(self._state_path.read_bytes())
        except (OSError, ValueError, RecursionError):
            return False
        if not isinstance(state, dict) or state.get("source") != self.source:
            return False
        validator, total = state.get("validator"), state.get("total")
        if not isinstance(validator, str | None) or not isinstance(total, int | None):
            return False
        self.validator, self.total = validator, total
        return True

    def _not_writable(self, error: OSError) -> DataError:
        return DataError(f"{self.destination}: cannot be written: {error.strerror or error}")


def _open_own_file(path: str, flags: int) -> int:
    """Open or make a file that stands for no other: what is written to a link or a pipe would end up elsewhere."""
    flags |= os.O_CREAT | getattr(os, "O_NOFOLLOW", 0) | getattr(os, "O_NONBLOCK", 0)
    descriptor = os.open(path, flags, 0o666)
    status = os.fstat(descriptor)
    if stat.S_ISREG(status.st_mode) and status.st_nlink == 1:
        return descriptor
    os.close(descriptor)
    raise OSError(errno.EMLINK, f"{os.path.basename(path)} is a link or no regular file; remove it")
