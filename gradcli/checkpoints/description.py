"""What a checkpoint holds, as values to print: container, naming, checksum, and every tensor in a line."""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

import numpy as np

from gradcli.checkpoints.checkpoint import Checkpoint
from gradcli.checkpoints.checksum import file_sha256
from gradcli.checkpoints.dtypes import FLOATING_POINT_DTYPES
from gradcli.checkpoints.naming import recognise_naming
from gradcli.errors import WeightsError
from gradcli.kernels.statistics import finite_statistics, first_non_finite

# A batch norm's running statistics, which are no parameters.
_BUFFERS: Final = ("running_mean", "running_var", "num_batches_tracked")


@dataclass(frozen=True)
class TensorDescription:
    """One tensor: the dtype that the file has, statistics, and how many elements are zero, and NaN or infinite.

    Norm (Euclidean), mean, standard deviation (of a sample, as `torch.std`) and extremes are of the finite elements;
    NaN where there are too few. `first_nonfinite` is the index of the first of the others, None without any.
    """

    name: str
    shape: tuple[int, ...]
    dtype: str
    norm: float
    min: float
    max: float
    zeros: int
    nonfinite: int
    mean: float
    std: float
    first_nonfinite: tuple[int, ...] | None


@dataclass(frozen=True)
class CheckpointDescription:
    """One weights file.

    `naming` and `prefix` are as `recognise_naming` says. `elements` counts those of all tensors, `parameters` those of
    floating-point tensors that are no running statistics of a batch norm, `nonfinite` those that are NaN or infinite.
    `dtypes` counts tensors. Sizes are in bytes; `file_size` and `sha256` are of `path` alone, so of the index where
    `shards` hold the tensors.
    """

    path: Path
    container: str
    naming: str
    prefix: str
    file_size: int
    sha256: str
    elements: int
    parameters: int
    nonfinite: int
    dtypes: dict[str, int]
    tensors: tuple[TensorDescription, ...]
    metadata: dict[str, str]
    ignored: tuple[str, ...]
    shards: tuple[Path, ...]


def describe_checkpoint(checkpoint: Checkpoint) -> CheckpointDescription:
    """Sizes, checksum, naming and per-tensor statistics of a checkpoint whose file is still in its place.

    Statistics are computed in float64 whatever the tensor's dtype. WeightsError if the file can no longer be read.
    """
    naming = recognise_naming(checkpoint.tensors)
    tensors = tuple(
        _describe_tensor(name, array, checkpoint.dtypes[name]) for name, array in checkpoint.tensors.items()
    )
    return CheckpointDescription(
        path=checkpoint.path,
        container=checkpoint.container,
        naming=naming.style,
        prefix=naming.prefix,
        file_size=_file_size(checkpoint.path),
        sha256=file_sha256(checkpoint.path),
        elements=sum(array.size for array in checkpoint.tensors.values()),
        parameters=sum(
            array.size
            for name, array in checkpoint.tensors.items()
            if checkpoint.dtypes[name] in FLOATING_POINT_DTYPES and name.rpartition(".")[2] not in _BUFFERS
        ),
        nonfinite=sum(tensor.nonfinite for tensor in tensors),
        dtypes=dict(Counter(checkpoint.dtypes.values())),
        tensors=tensors,
        metadata=checkpoint.metadata,
        ignored=checkpoint.ignored,
        shards=checkpoint.shards,
    )


def _file_size(path: Path) -> int:
    try:
        return path.stat().st_size
    except OSError as error:
        raise WeightsError(f"{path}: cannot be read: {error.strerror or error}") from error


def _describe_tensor(name: str, array: np.ndarray[Any, Any], dtype: str) -> TensorDescription:
    found = finite_statistics(array)
    return TensorDescription(
        name=name,
        shape=array.shape,
        dtype=dtype,
        norm=found.norm,
        min=found.min,
        max=found.max,
        zeros=found.zeros,
        nonfinite=found.nonfinite,
        mean=found.mean,
        std=found.std,
        first_nonfinite=first_non_finite(array) if found.nonfinite else None,
    )
