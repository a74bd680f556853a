"""Which known weights a file claims to be, and whether it is."""

from __future__ import annotations

import dataclasses
import os
import re
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from gradcli.checkpoints.file_opening import read_opening
from gradcli.checkpoints.foreign_files import looks_like_web_page
from gradcli.errors import WeightsError
from gradcli.hub import cache
from gradcli.hub.cache_record import converted_path, read_record
from gradcli.hub.checksums import cached_sha256
from gradcli.hub.manifest import KnownWeights, known_weights

# How torch.hub names a file: the first digits of its SHA-256 stand before the suffix.
_TORCH_HUB_NAME: Final = re.compile(r".+-([0-9a-f]{8,64})\.\w+")


@dataclass(frozen=True)
class Verification:
    """What came of comparing a file with the published one."""

    path: Path
    name: str | None
    """The known weights it claims to be, or is; None if it's none of them."""
    expected: str | None
    """The SHA-256 it should have, or the digits of it that are known; None if nobody knows."""
    found: str
    """The SHA-256 it has."""
    size: int
    """In bytes."""
    ok: bool
    reason: str
    """Why it is not right, and the likely cause; empty if it is."""


def identify(path: str | os.PathLike[str]) -> KnownWeights | None:
    """The known weights that a file claims to be by its name and place; its content is not looked at.

    That is a file that comes with gradcli, or that it has fetched and converted, whatever folder it is reached by; one
    with the published name, which must also have the published size unless the name holds digits of the checksum; or,
    in a cache folder of `torch.hub`, one whose name ends in digits of its checksum, as `torch.hub` names its downloads.
    Elsewhere such digits may be a date or a commit and say nothing.
    """
    path = Path(path)
    known = known_weights()
    entry = known.get(Path(os.path.realpath(path)).stem)
    if entry is not None and _is_converted(path, entry):
        return entry
    for entry in known.values():
        if claims_to_be(path, entry) or (entry.path is not None and _same_place(path, entry.path)):
            return entry
    digits = _digits_in_name(path)
    if digits is not None and os.path.realpath(path.parent) in map(os.path.realpath, cache.torch_hub_folders()):
        return KnownWeights(path.stem, url="", file=path.name, sha256=digits)
    return None


def claims_to_be(path: Path, entry: KnownWeights) -> bool:
    """Whether a file has the published name, and the published size unless that name holds digits of the checksum."""
    return path.name == entry.file and (entry.sha256[:8] in entry.file or entry.size == _size(path))


def compare_weights(path: str | os.PathLike[str], known: KnownWeights | None = None) -> Verification:
    """Compare the SHA-256 of a file with that of the weights given, or of those it claims to be.

    A file that `identify` doesn't know is compared with the digits in its name, if it is named as `torch.hub` names
    files, and is right if it has the SHA-256 of any known weights. WeightsError if it can't be read.
    """
    path = Path(path)
    found = cached_sha256(path)
    known = known or identify(path)
    if known is None:
        known = next((entry for entry in known_weights().values() if entry.accepts(found)), None)
    if known is None and (digits := _digits_in_name(path)) is not None:
        known = KnownWeights(path.stem, url="", file=path.name, sha256=digits)
    if known is None:
        reason = f"its SHA-256 {found} is not that of any known weights, and its name is not that of one"
        return Verification(path, None, None, found, _size(path), False, reason)
    expected, size = known.sha256, known.size
    record = read_record(known.name)
    if record is not None and _is_converted(path, known):
        expected, size = record.sha256, record.size
    verification = Verification(path, known.name, expected, found, _size(path), found.startswith(expected), "")
    if verification.ok:
        return verification
    shown = expected if len(expected) == len(found) else f"{expected}…"
    reason = f"its SHA-256 is {found}, that of {known.name} is {shown}: {_likely_cause(path, size)}"
    return dataclasses.replace(verification, reason=reason)


def verify_weights(path: str | os.PathLike[str], known: KnownWeights | None = None) -> Verification:
    """As `compare_weights`, but WeightsError, one line with both checksums and the likely cause, if it isn't right."""
    verification = compare_weights(path, known)
    if not verification.ok:
        raise WeightsError(f"{verification.path}: {verification.reason}")
    return verification


def _is_converted(path: Path, known: KnownWeights) -> bool:
    """Whether this is the file that gradcli made of the published one."""
    return _same_place(path, converted_path(known.name))


def _same_place(path: Path, other: Path) -> bool:
    return os.path.realpath(path) == os.path.realpath(other)


def _digits_in_name(path: Path) -> str | None:
    match = _TORCH_HUB_NAME.fullmatch(path.name)
    return match and match[1]


def _size(path: Path) -> int:
    """In bytes; -1 if there is no file, which reading it says better."""
    try:
        return path.stat().st_size
    except OSError:
        return -1


def _likely_cause(path: Path, expected_size: int | None) -> str:
    size = _size(path)
    try:
        opening = read_opening(path)
    except WeightsError:
        opening = b""
    if looks_like_web_page(opening):
        return "it is a web page (HTML) that was saved in place of the file"
    if expected_size is None:
        return "it was cut short or changed, or another file has this name"
    if size < expected_size:
        return f"it was cut short after {size:,} of {expected_size:,} bytes, or another file has this name"
    if size > expected_size:
        return f"another file has this name: {size:,} bytes instead of {expected_size:,}"
    return "it has the right size, so bytes of it were changed: by a failing disk, by a bad transfer or by someone"
