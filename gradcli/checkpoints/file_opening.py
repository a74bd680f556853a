"""The first bytes of a file that is to be read, once nothing but a file with content stands behind its name."""

from __future__ import annotations

import difflib
import os
import stat
from pathlib import Path
from typing import Final

from gradcli.errors import WeightsError

_OPENING_LENGTH: Final = 512  # the header of a tar archive is the longest of what tells a container
_MOST_FILES_COMPARED: Final = 10_000


def read_opening(path: Path) -> bytes:
    """The first 512 bytes of the file, fewer where it has fewer.

    WeightsError if there is no such file (near names in its folder are listed), it is a directory, a device or a
    pipe (which is not opened: opening a pipe waits for its writer), it is empty, or it can't be read.
    """
    try:
        mode = path.stat().st_mode
    except (FileNotFoundError, NotADirectoryError) as error:
        raise WeightsError(f"{path}: no such file{_near_names(path)}") from error
    except (OSError, ValueError) as error:
        raise _unreadable(path, error) from error
    if stat.S_ISDIR(mode):
        raise WeightsError(f"{path}: is a directory; name the weights file inside it")
    if not stat.S_ISREG(mode):
        raise WeightsError(f"{path}: is a device or a pipe; weights are read from files only")
    try:
        with path.open("rb") as stream:
            opening = stream.read(_OPENING_LENGTH)
    except OSError as error:
        raise _unreadable(path, error) from error
    if not opening:
        raise WeightsError(f"{path}: is empty; download or write it again")
    return opening


def _near_names(path: Path) -> str:
    """What the caller may have meant, as the end of the message."""
    if not path.parent.is_dir():
        return f"; the folder {path.parent} does not exist"
    try:
        with os.scandir(path.parent) as entries:
            names = [entry.name for entry, _ in zip(entries, range(_MOST_FILES_COMPARED), strict=False)]
    except OSError:
        return ""
    same_stem = sorted(name for name in names if Path(name).stem == path.stem)
    near = list(dict.fromkeys([*same_stem, *difflib.get_close_matches(path.name, sorted(names))]))[:3]
    return f"; did you mean {' or '.join(near)}?" if near else ""


def _unreadable(path: Path, error: OSError | ValueError) -> WeightsError:
    reason = getattr(error, "strerror", None) or error
    return WeightsError(f"{path}: cannot be read: {reason}")
