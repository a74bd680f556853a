"""The SHA-256 of a file, which names a checkpoint beyond doubt."""

from __future__ import annotations

import os

from gradcli.errors import WeightsError


def file_sha256(path: str | os.PathLike[str]) -> str:
    """The SHA-256 of the file's bytes as 64 lower-case hexadecimal digits, read in small pieces.

    WeightsError if the file can't be read.
    """
    import hashlib

    try:
        with open(path, "rb") as stream:
            return hashlib.file_digest(stream, "sha256").hexdigest()
    except OSError as error:
        raise WeightsError(f"{os.fspath(path)}: cannot be read: {error.strerror or error}") from error
