"""What gradcli notes beside a file of weights that it has fetched and converted."""

from __future__ import annotations

import json
from dataclasses import asdict, dataclass
from pathlib import Path

from gradcli.checkpoints import write_atomically
from gradcli.hub import cache


@dataclass(frozen=True)
class CacheRecord:
    """`sha256` and `size` (bytes) of the converted file, and the SHA-256 of the published file it was made from."""

    sha256: str
    size: int
    source_sha256: str


def converted_path(name: str) -> Path:
    """Where the known weights of this name lie once they are fetched and converted."""
    return cache.weights_folder() / f"{name}.safetensors"


def read_record(name: str) -> CacheRecord | None:
    """The record of a converted file; None if there is none, or a damaged one."""
    try:
        values = json.loads(_record_path(name).read_bytes())
        record = CacheRecord(**values)
    except (OSError, ValueError, TypeError, RecursionError):
        return None
    kinds = (isinstance(record.sha256, str), isinstance(record.size, int), isinstance(record.source_sha256, str))
    return record if all(kinds) else None


def write_record(name: str, record: CacheRecord) -> None:
    """Note the record of a converted file; DataError if that can't be done."""
    with write_atomically(_record_path(name), "w") as stream:
        json.dump(asdict(record), stream, indent=2)


def _record_path(name: str) -> Path:
    return cache.weights_folder() / f"{name}.json"
