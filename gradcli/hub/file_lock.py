"""One process at a time: a lock that the operating system takes back when its holder ends, however it ends."""

from __future__ import annotations

import logging
import os
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

from gradcli.errors import DataError

logger = logging.getLogger(__name__)

SECONDS_BETWEEN_TRIES = 0.2


@contextmanager
def locked(
    path: Path,
    description: str,
    *,
    seconds_between_tries: float = SECONDS_BETWEEN_TRIES,
    while_waiting: Callable[[], None] = lambda: None,
) -> Iterator[bool]:
    """Hold the lock file `path` while the `with` block runs; yields whether another process held it before.

    Another holder is waited for, and `description` says in the log what it is doing; `while_waiting` is called before
    each further try, and may raise to give up. The lock file is removed in the end. Where the file system has no locks,
    everyone holds them. DataError if the file can't be made.
    """
    waited = False
    while (descriptor := acquire(path)) is None:
        if not waited:
            logger.info("another process is %s; waiting for it", description)
            waited = True
        while_waiting()
        time.sleep(seconds_between_tries)
    try:
        yield waited
    finally:
        release(path, descriptor)


def acquire(path: Path) -> int | None:
    """The descriptor of the lock file, locked, for `release`; None if another process has it. DataError as `locked`."""
    try:
        descriptor = os.open(path, os.O_RDWR | os.O_CREAT | getattr(os, "O_NOFOLLOW", 0), 0o666)
    except PermissionError as error:
        if sys.platform == "win32" and path.exists():  # its holder is removing it
            return None
        raise _not_lockable(path, error) from error
    except OSError as error:
        raise _not_lockable(path, error) from error
    try:
        if _lock(descriptor) and _is_still(descriptor, path):
            return descriptor
    except BaseException:
        os.close(descriptor)
        raise
    os.close(descriptor)
    return None


def is_held(path: Path) -> bool:
    """Whether a process holds the lock file; never where the file system has no locks."""
    try:
        descriptor = os.open(path, os.O_RDONLY | getattr(os, "O_NOFOLLOW", 0))
    except OSError as error:
        return sys.platform == "win32" and not isinstance(error, FileNotFoundError)  # its holder is removing it
    try:
        return not _lock(descriptor, shared=True)
    finally:
        os.close(descriptor)


def _is_still(descriptor: int, path: Path) -> bool:
    """Whether the name is still that of the opened file: the holder before may have removed it meanwhile."""
    try:
        return os.path.samestat(os.fstat(descriptor), os.stat(path))
    except FileNotFoundError:
        return False


def _not_lockable(path: Path, error: OSError) -> DataError:
    return DataError(f"{path}: cannot be written: {error.strerror or error}")


if sys.platform == "win32":
    import msvcrt

    def _lock(descriptor: int, *, shared: bool = False) -> bool:
        try:
            msvcrt.locking(descriptor, msvcrt.LK_NBLCK, 1)
        except OSError:
            return False
        return True

    def release(path: Path, descriptor: int) -> None:
        """Remove the lock file and let go of the lock."""
        os.close(descriptor)
        with suppress(OSError):  # another has it open already
            path.unlink()

else:
    import fcntl

    def _lock(descriptor: int, *, shared: bool = False) -> bool:
        try:
            fcntl.flock(descriptor, (fcntl.LOCK_SH if shared else fcntl.LOCK_EX) | fcntl.LOCK_NB)
        except BlockingIOError:
            return False
        except OSError:
            return True  # no locks on this file system
        return True

    def release(path: Path, descriptor: int) -> None:
        """Remove the lock file and let go of the lock."""
        with suppress(OSError):  # before it is given up: what another locks now would lose its name
            path.unlink()
        os.close(descriptor)
