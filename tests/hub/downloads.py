"""A file to download in tests, and what is left beside it."""

from __future__ import annotations

import hashlib
from functools import partial
from pathlib import Path

import numpy as np

from gradcli.hub.download import download

CONTENT = np.random.default_rng(0).bytes(204_001)
SHA256 = hashlib.sha256(CONTENT).hexdigest()
OTHER = np.random.default_rng(1).bytes(204_001)

fetch = partial(download, size=len(CONTENT), sha256=SHA256, first_pause=0.0, timeouts=(5.0, 5.0))


def files_beside(destination: Path) -> list[str]:
    return sorted(path.name for path in destination.parent.iterdir())
