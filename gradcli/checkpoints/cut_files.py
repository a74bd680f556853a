"""What is said of a file that ends too early, in every container's reader alike."""

from __future__ import annotations

from pathlib import Path

from gradcli.errors import WeightsError


def cut_short(path: Path, size: int, whole: int | None = None, where: str = "") -> WeightsError:
    """The error for a file of `size` bytes that should have `whole`, if that is known; `where` tells more."""
    of_whole = "" if whole is None else f" of {whole:,}"
    return WeightsError(f"{path}: cut short after {size:,}{of_whole} bytes{where}; download or write it again")
