"""Output formats: which suffix stands for which, and the format a run ends up with."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from gradcli.errors import UsageError

BINARY_FORMATS = frozenset({"npy", "npz", "safetensors", "png"})

# The formats that a file's suffix admits. The first one a command has is the guess.
_FORMATS_OF_SUFFIX: dict[str, tuple[str, ...]] = {
    ".json": ("json", "jsonl"),
    ".jsonl": ("jsonl", "json"),
    ".ndjson": ("jsonl", "json"),
    ".csv": ("csv",),
    ".tsv": ("table",),
    ".npy": ("npy",),
    ".npz": ("npz",),
    ".safetensors": ("safetensors",),
    ".dot": ("dot",),
    ".gv": ("dot",),
    ".mmd": ("mermaid",),
    ".svg": ("svg",),
    ".html": ("html",),
    ".png": ("png",),
}
_TEXT_SUFFIXES = frozenset({"", ".txt", ".log", ".out"})  # these stand for no format in particular


def choose_format(format: str | None, formats: Sequence[str], path: Path | None, *, json: bool = False) -> str:
    """The format for `--format` (None if left out), `--json` and the output file's suffix.

    `formats` are the command's own, its default first. UsageError where two of them contradict
    each other or the command has no such format.
    """
    if json:
        if format not in (None, "json"):
            raise UsageError(f"--json and --format {format} contradict each other; give one of them")
        format = "json"
    if format is not None and format not in formats:
        raise UsageError(f"--format {format}: this command writes {', '.join(formats)}")
    suffix = path.suffix.lower() if path is not None else ""
    if suffix in _TEXT_SUFFIXES:
        return format or formats[0]
    admitted = [name for name in _FORMATS_OF_SUFFIX.get(suffix, ()) if name in formats]
    if format is None:
        if not admitted:
            raise UsageError(f"--output {path}: {suffix} is no format of this command; it writes {', '.join(formats)}")
        return admitted[0]
    if suffix in _FORMATS_OF_SUFFIX and format not in _FORMATS_OF_SUFFIX[suffix]:
        raise UsageError(f"--output {path} and --format {format} contradict each other; give one of them")
    return format
