"""What a checkpoint holds, as values to print: container, checksum, and every tensor in a line."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from gradcli.checkpoints.checkpoint import Checkpoint
from gradcli.checkpoints.checksum import file_sha256


@dataclass(frozen=True)
class TensorDescription:
    """One tensor: the dtype that the file has, the L2 norm, and how many elements are NaN or infinite."""

    name: str
    shape: tuple[int, ...]
    dtype: str
    norm: float
    nonfinite: int


@dataclass(frozen=True)
class CheckpointDescription:
    """One weights file. `elements` counts those of all tensors, buffers included; sizes are in bytes."""

    path: Path
    container: str
    file_size: int
    sha256: str
    elements: int
    tensors: tuple[TensorDescription, ...]
    metadata: dict[str, str]
    ignored: tuple[str, ...]


def describe_checkpoint(checkpoint: Checkpoint) -> CheckpointDescription:
    """Sizes, checksum and per-tensor statistics of a checkpoint whose file is still in its place.

    Norms are computed in float64 whatever the tensor's dtype, and are NaN or infinite where an element
    is. WeightsError if the file can no longer be read.
    """
    return CheckpointDescription(
        path=checkpoint.path,
        container=checkpoint.container,
        sha256=file_sha256(checkpoint.path),
        file_size=checkpoint.path.stat().st_size,
        elements=sum(array.size for array in checkpoint.tensors.values()),
        tensors=tuple(
            _describe_tensor(name, array, checkpoint.dtypes.get(name, array.dtype.name))
            for name, array in checkpoint.tensors.items()
        ),
        metadata=checkpoint.metadata,
        ignored=checkpoint.ignored,
    )


def _describe_tensor(name: str, array: np.ndarray[Any, Any], dtype: str) -> TensorDescription:
    nonfinite = array.size - int(np.count_nonzero(np.isfinite(array)))
    with np.errstate(over="ignore", invalid="ignore"):
        norm = float(np.linalg.norm(array.astype(np.float64).reshape(-1)))
    return TensorDescription(name, array.shape, dtype, norm, nonfinite)
