"""Writing a file so that its name always stands for the whole old content or the whole new one."""

from __future__ import annotations

import os
import stat
from collections.abc import Iterator
from contextlib import AbstractContextManager, contextmanager, suppress
from pathlib import Path
from typing import IO, Any, BinaryIO, Literal, TextIO, overload

from gradcli.errors import DataError


@overload
def write_atomically(path: str | os.PathLike[str], mode: Literal["wb"] = "wb") -> AbstractContextManager[BinaryIO]: ...


@overload
def write_atomically(path: str | os.PathLike[str], mode: Literal["w"]) -> AbstractContextManager[TextIO]: ...


def write_atomically(path: str | os.PathLike[str], mode: Literal["wb", "w"] = "wb") -> AbstractContextManager[IO[Any]]:
    """A stream whose content becomes the file `path` when the `with` block ends without an error.

    `mode` is "wb" for bytes or "w" for UTF-8 text without newline translation. The stream is as
    `replace_atomically` says, with its errors. A device or a pipe (`/dev/null`, a shell's `>(…)`) has no
    old content to protect and is written directly.
    """
    return _open_for_replacement(path, mode)


@contextmanager
def _open_for_replacement(path: str | os.PathLike[str], mode: str) -> Iterator[IO[Any]]:
    text = {} if mode == "wb" else {"encoding": "utf-8", "newline": ""}
    if _is_device_or_pipe(path):
        with open(path, mode, **text) as stream:  # type: ignore[call-overload]
            yield stream
    else:
        with replace_atomically(path) as temporary, open(temporary, mode, **text) as stream:  # type: ignore[call-overload]
            yield stream


@contextmanager
def replace_atomically(path: str | os.PathLike[str]) -> Iterator[Path]:
    """The path of a new empty file beside `path`, which takes its place when the `with` block ends.

    The new file is flushed to the disk before it is renamed and gets the mode that the umask says,
    whatever the code in the block made of it. If the block raises, the new file is removed and the old
    one is untouched. A symbolic link stays a link: the file it points to is replaced.

    DataError names `path` if it cannot be written: a folder that is missing, no permission, a directory
    in its place, a full disk.
    """
    target = _replaceable(path)
    temporary = target.with_name(f".{target.name[:40]}.{os.urandom(4).hex()}.tmp")
    try:
        # A mode of 0o666 at creation lets the kernel apply the umask; reading the umask from Python
        # means changing it for a moment, in every thread.
        descriptor = os.open(temporary, os.O_CREAT | os.O_EXCL | os.O_WRONLY, 0o666)
        try:
            file_mode = stat.S_IMODE(os.fstat(descriptor).st_mode)
        finally:
            os.close(descriptor)
        yield temporary
        os.chmod(temporary, file_mode)
        _flush_to_disk(temporary)
        os.replace(temporary, target)
    except BaseException as error:
        with suppress(OSError):
            temporary.unlink(missing_ok=True)
        if isinstance(error, OSError) and _concerns(error, temporary):
            raise _not_writable(path, error.strerror or str(error)) from error
        raise
    with suppress(OSError):  # the rename is done; some file systems can't flush a directory
        _flush_to_disk(target.parent)


def _is_device_or_pipe(path: str | os.PathLike[str]) -> bool:
    try:
        mode = os.stat(path).st_mode
    except OSError:
        return False
    return not (stat.S_ISREG(mode) or stat.S_ISDIR(mode))


def _replaceable(path: str | os.PathLike[str]) -> Path:
    """The file behind `path`, links followed, once nothing stands against replacing it."""
    target = Path(os.path.realpath(path))
    if target.is_dir():
        raise _not_writable(path, "it is a directory; name a file")
    if not target.parent.is_dir():
        raise _not_writable(path, f"the folder {os.path.dirname(path) or target.parent} does not exist")
    if _is_device_or_pipe(path):
        raise _not_writable(path, "it is a device or a pipe; name a file")
    # A rename needs no permission on the file it replaces, so write protection is honoured here.
    if target.exists() and not os.access(target, os.W_OK):
        raise _not_writable(path, "it is write-protected")
    return target


def _concerns(error: OSError, temporary: Path) -> bool:
    """Whether the error came from the file being written: a failed write carries no file name."""
    return not isinstance(error, BrokenPipeError) and error.filename in (None, str(temporary), temporary)


def _not_writable(path: str | os.PathLike[str], reason: str) -> DataError:
    return DataError(f"{os.fspath(path)}: cannot be written: {reason}")


def _flush_to_disk(path: Path) -> None:
    descriptor = os.open(path, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
