"""The folders that hold downloaded weights: gradcli's own, and those of `torch.hub`."""

from __future__ import annotations

import os
from pathlib import Path

from gradcli.errors import DataError


def home() -> Path:
    """Where gradcli keeps what can be fetched again: `$GRADCLI_HOME`, else `gradcli` in the platform's cache folder.

    The folder need not exist.
    """
    if own := os.environ.get("GRADCLI_HOME"):
        return Path(own).expanduser().absolute()
    from platformdirs import user_cache_path

    return user_cache_path("gradcli", appauthor=False)


def weights_folder() -> Path:
    """Where fetched weights lie, as safetensors files named after the known weights."""
    return home() / "weights"


def downloads_folder() -> Path:
    """Where downloads lie until they are whole, verified and converted."""
    return home() / "downloads"


def torch_hub_folders() -> list[Path]:
    """Where `torch.hub` keeps its downloads, today's folder first, then those of older versions of PyTorch.

    Today's is `hub/checkpoints` in `$TORCH_HOME`, or in `torch` in `$XDG_CACHE_HOME` or `~/.cache`. The folders need
    not exist.
    """
    if own := os.environ.get("TORCH_HOME"):
        torch_home = Path(own).expanduser().absolute()
        oldest = torch_home / "models"
    else:
        torch_home = Path(os.environ.get("XDG_CACHE_HOME") or "~/.cache").expanduser().absolute() / "torch"
        oldest = Path("~/.torch/models").expanduser()
    return [torch_home / "hub" / "checkpoints", torch_home / "checkpoints", oldest]


def make_folder(folder: Path) -> Path:
    """Make the folder and those it lies in; DataError names it where that can't be done."""
    try:
        folder.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise DataError(
            f"{folder}: the cache folder cannot be made: {error.strerror or error}; name another one in GRADCLI_HOME"
        ) from error
    return folder
