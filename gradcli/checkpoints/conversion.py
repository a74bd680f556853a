"""Turning a weights file of any readable container into safetensors: as it is, in another dtype, under other names."""

from __future__ import annotations

import os
from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final, Literal

import numpy as np

from gradcli.checkpoints.checkpoint import Checkpoint
from gradcli.checkpoints.checksum import file_sha256
from gradcli.checkpoints.dtypes import FLOATING_POINT_DTYPES, bfloat16_bits, float32_from_bfloat16_bits
from gradcli.checkpoints.loading import load_checkpoint
from gradcli.checkpoints.naming import Naming, WrittenStyle, names_in, recognise_naming
from gradcli.checkpoints.quoting import quoted
from gradcli.checkpoints.safetensors_writer import save_safetensors
from gradcli.errors import UsageError, WeightsError

ConversionDtype = Literal["float16", "bfloat16", "float32", "float64"]

# Of one sign each; NumPy has no finfo of bfloat16.
_LARGEST: Final = {"float16": "65504", "bfloat16": "3.39e+38", "float32": "3.40e+38"}


@dataclass(frozen=True)
class Conversion:
    """What was converted. `source_dtypes` and `dtypes` count the tensors of each dtype before and after.

    `source_naming` and `source_prefix` are what `recognise_naming` makes of the source; `naming` is the style written,
    the source's where it was kept. `not_renamed` are the tensors that no rule of the naming knows and that kept their
    names, but for the prefix, when others were renamed. `ignored` names what the source holds and the result does not.
    """

    source: Path
    destination: Path
    container: str
    tensors: int
    elements: int
    source_dtypes: dict[str, int]
    dtypes: dict[str, int]
    source_naming: str
    source_prefix: str
    naming: str
    not_renamed: tuple[str, ...]
    source_sha256: str
    destination_sha256: str
    ignored: tuple[str, ...]


def convert_checkpoint(
    source: str | os.PathLike[str],
    destination: str | os.PathLike[str],
    *,
    dtype: ConversionDtype | None = None,
    naming: WrittenStyle | None = None,
    metadata: Mapping[str, str] | None = None,
) -> Conversion:
    """Write the tensors of `source` as the safetensors file `destination`, which is read back and compared.

    Without `dtype` every tensor keeps its dtype and bits. With it, floating-point tensors are rounded to it and others
    stay. With `naming` the tensors of a ResNet get that style's names, without the prefix of a wrapper; "timm" is
    torchvision's. What a training kept beside the network is left out then, since other loaders refuse it. Metadata is
    carried over and gains `source_sha256`, the checksum of the source file (of the index, where it has several),
    `format` for the loaders that ask for it (of timm and Hugging Face), and the entries of `metadata`. An existing
    destination is replaced.

    WeightsError if the source can't be read, a value would become infinite in `dtype`, or its names are not those of a
    ResNet; DataError if the destination can't be written; UsageError if it is the source or is not named
    `.safetensors`.
    """
    source, destination = Path(source), Path(destination)
    if destination.suffix.lower() != ".safetensors":
        raise UsageError(f"{destination}: the result is a safetensors file; name it {destination.stem}.safetensors")
    checkpoint = load_checkpoint(source)
    if destination.exists() and any(destination.samefile(file) for file in (source, *checkpoint.shards)):
        raise UsageError(f"{destination}: is the source itself; name another file for the result")
    source_sha256 = file_sha256(source)
    source_naming = recognise_naming(checkpoint.tensors)
    written = _converted(checkpoint, dtype) if dtype else checkpoint
    names = {name: name for name in written.tensors}
    ignored, not_renamed = checkpoint.ignored, tuple[str, ...]()
    if naming is not None:
        names = _renamed(checkpoint, source_naming, naming)
        ignored = (*checkpoint.ignored, *source_naming.training_only)
        not_renamed = (*source_naming.unrecognised, *source_naming.other_head)
    tensors = {names[name]: array for name, array in written.tensors.items() if name in names}
    format_metadata = {"format": "pt"} if naming in ("timm", "hf") else {}
    save_safetensors(
        destination,
        tensors,
        {**checkpoint.metadata, "source_sha256": source_sha256, **format_metadata, **(metadata or {})},
        {new: written.dtypes[name] for name, new in names.items()},
    )
    return Conversion(
        source=source,
        destination=destination,
        container=checkpoint.container,
        tensors=len(tensors),
        elements=sum(array.size for array in tensors.values()),
        source_dtypes=dict(Counter(checkpoint.dtypes.values())),
        dtypes=dict(Counter(written.dtypes[name] for name in names)),
        source_naming=source_naming.style,
        source_prefix=source_naming.prefix,
        naming=naming or source_naming.style,
        not_renamed=not_renamed,
        source_sha256=source_sha256,
        destination_sha256=file_sha256(destination),
        ignored=ignored,
    )


def _renamed(checkpoint: Checkpoint, source_naming: Naming, naming: WrittenStyle) -> dict[str, str]:
    """The name in the destination for each name of the source that is not of its training only."""
    if source_naming.style == "unknown":
        raise WeightsError(
            f"{checkpoint.path}: its names are not those of a ResNet of torchvision, timm or Hugging Face "
            f"({', '.join(name[:40] for name in list(checkpoint.tensors)[:3])}, ...); convert it without another naming"
        )
    left_out = set(source_naming.training_only)
    torchvision = {name: source_naming.torchvision_name(name) for name in checkpoint.tensors if name not in left_out}
    try:
        in_style = names_in(naming, torchvision.values())
    except WeightsError as error:
        raise WeightsError(f"{checkpoint.path}: {error}") from error
    names = {name: in_style[torchvision_name] for name, torchvision_name in torchvision.items()}
    if len(set(names.values())) < len(names):
        raise WeightsError(f"{checkpoint.path}: two of its tensors would get one name in the style {naming}")
    return names


def _converted(checkpoint: Checkpoint, dtype: ConversionDtype) -> Checkpoint:
    """The checkpoint with its floating-point tensors rounded to `dtype`. WeightsError where a value is too large."""
    tensors, dtypes, overflows = dict(checkpoint.tensors), dict(checkpoint.dtypes), {}
    for name, array in checkpoint.tensors.items():
        if dtypes[name] not in FLOATING_POINT_DTYPES or dtypes[name] == dtype:
            continue
        tensors[name], dtypes[name] = _rounded(array, dtype), dtype
        infinite = np.count_nonzero(np.isinf(tensors[name])) - np.count_nonzero(np.isinf(array))
        if infinite:
            overflows[name] = infinite
    if overflows:
        first, total = next(iter(overflows)), sum(overflows.values())
        raise WeightsError(
            f"{checkpoint.path}: {total} {'value' if total == 1 else 'values'} would become infinite in {dtype}, which "
            f"ends at {_LARGEST[dtype]}: in {len(overflows)} of {len(tensors)} tensors, first {quoted(first)} "
            f"({overflows[first]}); choose a wider dtype"
        )
    return Checkpoint(tensors, checkpoint.metadata, checkpoint.path, checkpoint.container, dtypes, checkpoint.ignored)


def _rounded(array: np.ndarray[Any, Any], dtype: ConversionDtype) -> np.ndarray[Any, Any]:
    """The elements in `dtype`; those of bfloat16 as float32."""
    if dtype == "bfloat16":
        return float32_from_bfloat16_bits(bfloat16_bits(array))
    with np.errstate(over="ignore", under="ignore", invalid="ignore"):
        return array.astype(dtype)
