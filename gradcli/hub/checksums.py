"""The SHA-256 of files, remembered from one run to the next by size and time of change."""

from __future__ import annotations

import json
import os
import time
from contextlib import suppress
from typing import Any, Final

from gradcli.checkpoints import file_sha256, write_atomically
from gradcli.errors import DataError, WeightsError
from gradcli.hub import cache

MOST_ENTRIES: Final = 256
# A file that changed this recently may change again within one tick of the file system's clock.
_SETTLED_NANOSECONDS: Final = 2_000_000_000


def cached_sha256(path: str | os.PathLike[str]) -> str:
    """The SHA-256 of the file as 64 lower-case hexadecimal digits, read anew only if the file has changed.

    It counts as changed when its path with links followed, size, times of change or inode are others; what changed
    within the last two seconds is read every time. The checksums lie in `checksums.json` in gradcli's cache folder;
    a damaged or unwritable one only costs the time to read the file. WeightsError if the file can't be read.
    """
    where = os.path.realpath(path)
    state = _state(where)
    entries = _read()
    entry = entries.get(where)
    if state is not None and isinstance(entry, list) and entry[:-1] == state and _is_sha256(entry[-1]):
        return str(entry[-1])
    sha256 = file_sha256(path)
    settled = state is not None and time.time_ns() - state[1] >= _SETTLED_NANOSECONDS
    if settled and _state(where) == state:
        entries.pop(where, None)
        _write(dict([*entries.items(), (where, [*(state or ()), sha256])][-MOST_ENTRIES:]))
    return sha256


def _state(path: str) -> list[int] | None:
    """What changes with a file's content: size in bytes, time of change in nanoseconds, inode, time of change again.

    The first time is set back by what copies or unpacks files; the second, which the system keeps on POSIX, can't be.
    """
    try:
        status = os.stat(path)
    except OSError:
        return None  # reading it says what is wrong
    return [status.st_size, status.st_mtime_ns, status.st_ino, status.st_ctime_ns]


def _is_sha256(value: object) -> bool:
    return isinstance(value, str) and len(value) == 64


def _read() -> dict[str, Any]:
    try:
        entries = json.loads((cache.home() / "checksums.json").read_bytes())
    except (OSError, ValueError, RecursionError):
        return {}
    return entries if isinstance(entries, dict) else {}


def _write(entries: dict[str, Any]) -> None:
    with (
        suppress(OSError, DataError, WeightsError),
        write_atomically(cache.make_folder(cache.home()) / "checksums.json", "w") as stream,
    ):
        json.dump(entries, stream, indent=0)
