"""Weights files as they are: what one holds, which known weights are here, whether a file is the published one."""

from __future__ import annotations

import os
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

from gradcli.checkpoints import (
    CheckpointDescription,
    TensorDescription,
    convert_checkpoint,
    describe_checkpoint,
    file_sha256,
    load_checkpoint,
)
from gradcli.checkpoints.conversion import Conversion, ConversionDtype
from gradcli.checkpoints.file_opening import read_opening
from gradcli.checkpoints.naming import WrittenStyle, recognise_naming
from gradcli.errors import WeightsError
from gradcli.hub.cache import downloads_folder, weights_folder
from gradcli.hub.manifest import KnownWeights, known_entry, known_weights
from gradcli.hub.verification import Verification, compare_weights
from gradcli.hub.weights import fetch_weights, find_weights
from gradcli.inspection.differences.parameter_order import network_order
from gradcli.inspection.differences.tensor_pairs import chosen_names
from gradcli.models.architecture import recognise_architecture
from gradcli.models.weights_source import find_source, known_origin, weights_file, weights_name

Place = Literal["bundled", "cached", "downloaded", "torch.hub", "not here"]


@dataclass(frozen=True, kw_only=True)
class InspectedWeights:
    """What a weights file holds, of whatever network."""

    description: CheckpointDescription
    architecture: str | None
    """The network of the ResNet family that it is, as torchvision or timm names it; None if it is none of them."""
    classes: int | None
    """The number of outputs of the head; None without one."""
    known_as: str | None
    """The known weights whose published file this is, or gradcli's converted copy; None if it is neither."""
    converted_from: str | None
    """The known weights that the file was converted from, as its metadata says."""
    suspicion: str | None
    """Why it is not what its name says it is; None if its name says nothing or is right."""


@dataclass(frozen=True, kw_only=True)
class ListedWeights:
    """Known weights, and where a copy is (None: nowhere).

    It comes with gradcli, is in gradcli's cache, as published in the cache's folder of downloads, or where `torch.hub`
    put it.
    """

    weights: KnownWeights
    place: Place
    path: Path | None


@dataclass(frozen=True, kw_only=True)
class FetchedWeights:
    """Known weights that are here now, as a safetensors file of `size` bytes."""

    name: str
    path: Path
    size: int
    sha256: str


def inspect_weights(name: str) -> InspectedWeights:
    """What is in the file that `--weights NAME` means, whether it fits ResNet-18 or not.

    Raises WeightsError for a file that can't be read or is refused.
    """
    path = find_source(name, verify=False).path
    checkpoint = load_checkpoint(path)
    naming = recognise_naming(checkpoint.tensors)
    shapes = {naming.torchvision_name(each): array.shape for each, array in checkpoint.tensors.items()}
    head = shapes.get("fc.weight", ())
    verification = compare_weights(path)
    origin = known_origin(checkpoint.metadata)
    return InspectedWeights(
        description=describe_checkpoint(checkpoint),
        architecture=recognise_architecture(shapes),
        classes=head[0] if len(head) == 2 else None,
        known_as=verification.name if verification.ok and verification.name in known_weights() else None,
        converted_from=None if origin is None else origin.name,
        suspicion=verification.reason if verification.expected is not None and not verification.ok else None,
    )


def choose_tensors(description: CheckpointDescription, patterns: Sequence[str]) -> list[TensorDescription]:
    """The tensors that a pattern matches, in the file's order; all without patterns.

    UsageError for a pattern without match.
    """
    if not patterns:
        return list(description.tensors)
    names = chosen_names([tensor.name for tensor in description.tensors], patterns)
    return [tensor for tensor in description.tensors if tensor.name in names]


def order_for_reading(tensors: Sequence[TensorDescription]) -> list[TensorDescription]:
    """Those with NaN or infinity first, each part in the network's order."""
    by_name = {tensor.name: tensor for tensor in tensors}
    return sorted((by_name[name] for name in network_order(list(by_name))), key=lambda tensor: not tensor.nonfinite)


def list_known_weights() -> list[ListedWeights]:
    """All known weights in the manifest's order. Nothing is fetched; files that are damaged count as not here."""
    return [_listed(weights) for weights in known_weights().values()]


def _listed(weights: KnownWeights) -> ListedWeights:
    path = find_weights(weights.name)
    if path is None:
        return ListedWeights(weights=weights, place="not here", path=None)
    if path == weights.path:
        return ListedWeights(weights=weights, place="bundled", path=path)
    places: dict[Path, Place] = {weights_folder(): "cached", downloads_folder(): "downloaded"}
    return ListedWeights(weights=weights, place=places.get(path.parent, "torch.hub"), path=path)


def fetch_known_weights(
    names: Sequence[str], *, url: str | None = None, force: bool = False
) -> Iterator[FetchedWeights]:
    """Fetch these known weights one after the other, as `gradcli.hub.weights.fetch_weights` does.

    A name that isn't known raises WeightsError before anything is downloaded.
    """
    for name in names:
        known_entry(name)
    for name in dict.fromkeys(names):
        path = fetch_weights(name, url=url, force=force)
        yield FetchedWeights(name=name, path=path, size=path.stat().st_size, sha256=file_sha256(path))


def convert_weights(
    name: str,
    destination: str | os.PathLike[str],
    *,
    dtype: ConversionDtype | None = None,
    naming: WrittenStyle | None = None,
) -> Conversion:
    """Convert a file, or weights that are known by name, which are verified and fetched if need be.

    The rest is as `gradcli.checkpoints.convert_checkpoint` says.
    """
    name = weights_name(name)
    source = find_source(name).path if name in known_weights() else Path(name)
    return convert_checkpoint(source, destination, dtype=dtype, naming=naming)


def verify_known_weights(name: str) -> Verification:
    """Compare a file, or the copy of known weights that is here, with what was published.

    Raises WeightsError if there is no such file or copy, or it can't be read. That it differs, or isn't known, is in
    the result.
    """
    known = known_weights().get(name)
    if known is not None:
        path = find_weights(name, verify=False)
        if path is None:
            advice = f"gradcli weights fetch {name} downloads it" if known.path is None else "install gradcli again"
            raise WeightsError(f"{name}: is not here; {advice}")
        return compare_weights(path, known)
    path = weights_file(name)
    read_opening(path)  # says what is wrong with a path that is no file, and never waits for a pipe
    return compare_weights(path)
