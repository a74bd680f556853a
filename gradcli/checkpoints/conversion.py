"""Turning a weights file of any readable container into safetensors."""

from __future__ import annotations

import os
from dataclasses import dataclass
from pathlib import Path

from gradcli.checkpoints.checksum import file_sha256
from gradcli.checkpoints.loading import load_checkpoint
from gradcli.checkpoints.safetensors_writer import save_safetensors
from gradcli.errors import UsageError


@dataclass(frozen=True)
class Conversion:
    """What was converted. `widened` names the tensors that were bfloat16 and are float32 now."""

    source: Path
    destination: Path
    container: str
    tensors: int
    elements: int
    source_sha256: str
    destination_sha256: str
    widened: tuple[str, ...]
    ignored: tuple[str, ...]


def convert_checkpoint(source: str | os.PathLike[str], destination: str | os.PathLike[str]) -> Conversion:
    """Write the tensors of `source` as the safetensors file `destination`, which is read back and compared.

    Every dtype is kept but bfloat16, which becomes float32 without loss. Metadata is carried over and
    gains `source_sha256`, the checksum of the source file. An existing destination is replaced.

    WeightsError if the source can't be read, DataError if the destination can't be written, UsageError
    if the destination is the source or is not named `.safetensors`.
    """
    source, destination = Path(source), Path(destination)
    if destination.suffix.lower() != ".safetensors":
        raise UsageError(f"{destination}: the result is a safetensors file; name it {destination.stem}.safetensors")
    if destination.exists() and source.exists() and destination.samefile(source):
        raise UsageError(f"{destination}: is the source itself; name another file for the result")
    checkpoint = load_checkpoint(source)
    source_sha256 = file_sha256(source)
    save_safetensors(destination, checkpoint.tensors, {**checkpoint.metadata, "source_sha256": source_sha256})
    return Conversion(
        source=source,
        destination=destination,
        container=checkpoint.container,
        tensors=len(checkpoint.tensors),
        elements=sum(array.size for array in checkpoint.tensors.values()),
        source_sha256=source_sha256,
        destination_sha256=file_sha256(destination),
        widened=tuple(name for name, dtype in checkpoint.dtypes.items() if dtype == "bfloat16"),
        ignored=checkpoint.ignored,
    )
