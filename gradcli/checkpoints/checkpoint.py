"""What a loaded weights file is: arrays by name, text metadata, and where they came from."""

from __future__ import annotations

from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np


@dataclass(frozen=True, eq=False)
class Checkpoint:
    """The content of one weights file.

    `tensors` maps names, as they stand in the file, to C-contiguous, writable arrays of native byte order that share
    no memory. They may be a private map of the file: what is written to them stays with them.
    NumPy has no bfloat16: such tensors are float32 here (exactly, every bfloat16 is a float32), and
    `dtypes` keeps the dtype that the file has of each, under PyTorch's name. `container` is "safetensors",
    "safetensors-sharded", "torch-zip", "torch-legacy", "torch-tar" or "npz". `metadata` holds the text of a safetensors
    header, or the plain values (numbers, text) that stood beside the tensors in a PyTorch file. `ignored` names the
    entries of the file that were neither: an optimiser's state, for example. `shards` are the files that hold the
    tensors where `path` is no more than their index.
    """

    tensors: dict[str, np.ndarray[Any, Any]] = field(repr=False)
    metadata: dict[str, str]
    path: Path
    container: str
    dtypes: dict[str, str]
    ignored: tuple[str, ...] = ()
    shards: tuple[Path, ...] = ()
