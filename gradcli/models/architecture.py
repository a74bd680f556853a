"""Which network of the ResNet family a file holds, told from the names and shapes of its tensors."""

from __future__ import annotations

import re
from collections import defaultdict
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Final

Shapes = Mapping[str, tuple[int, ...]]

# Blocks in each of the four stages, with the usual width of 64 channels.
_DEPTHS: Final[Mapping[tuple[str, tuple[int, ...]], int]] = {
    ("basic", (1, 1, 1, 1)): 10,
    ("basic", (2, 2, 2, 2)): 18,
    ("basic", (3, 4, 6, 3)): 34,
    ("bottleneck", (2, 2, 2, 2)): 26,
    ("bottleneck", (3, 4, 6, 3)): 50,
    ("bottleneck", (3, 4, 23, 3)): 101,
    ("bottleneck", (3, 8, 36, 3)): 152,
}
_BLOCK: Final = re.compile(r"layer([1-9])\.(0|[1-9][0-9]{0,2})\.([^.]+)")
# `shortcut` is what implementations for CIFAR call `downsample`.
_PARTS: Final = frozenset({"conv1", "bn1", "conv2", "bn2", "conv3", "bn3", "downsample", "shortcut"})
_RESNET18_BLOCKS: Final = (2, 2, 2, 2)
_USUAL_WIDTH: Final = 64


@dataclass(frozen=True)
class Architecture:
    """A network of the family. `name` is torchvision's or timm's, `difference` is what sets it apart from ResNet-18."""

    name: str
    title: str
    difference: str = ""


def recognise_architecture(shapes: Shapes) -> str | None:
    """The name of the network that has tensors of these names (torchvision's) and shapes; None if none is recognised.

    The names are torchvision's and timm's: `resnet18`, `resnet34`, `resnet50`, `resnext50_32x4d`, `wide_resnet50_2`;
    `resnet18d` and `resnet18c` have a stem of three convolutions, with and without average pools in the shortcuts;
    `resnet18_cifar` has a stem of one 3x3 convolution. The head and the number of input channels don't matter.
    """
    architecture = architecture_of(shapes)
    return None if architecture is None else architecture.name


def architecture_of(shapes: Shapes) -> Architecture | None:
    """As `recognise_architecture`, with a title for messages and what sets the network apart from ResNet-18."""
    blocks, parts = _blocks(shapes)
    if parts - _PARTS or not {"conv1", "conv2"} <= parts:
        return None
    kind = "bottleneck" if "conv3" in parts else "basic"
    depth = _DEPTHS.get((kind, blocks))
    first = shapes.get("layer1.0.conv2.weight", ())
    if depth is None or len(first) != 4 or 0 in first or first[0] % _USUAL_WIDTH:
        return None
    name, title = f"resnet{depth}", f"ResNet-{depth}"
    if kind == "bottleneck":
        difference = "its blocks have three convolutions"
        width, columns = first[:2]
        groups = width // columns
        if groups > 1 and width % groups == 0:
            name, title = f"resnext{depth}_{groups}x{columns}d", f"ResNeXt-{depth} {groups}x{columns}d"
        elif groups == 1 and width != _USUAL_WIDTH:
            name, title = f"wide_resnet{depth}_{width // _USUAL_WIDTH}", f"Wide ResNet-{depth}-{width // _USUAL_WIDTH}"
    else:
        difference = _difference_of_blocks(blocks)
    return _with_stem(Architecture(name, title, difference), shapes)


def _with_stem(architecture: Architecture, shapes: Shapes) -> Architecture:
    """The variant that the first convolutions make of it."""
    name, title, difference = architecture.name, architecture.title, architecture.difference
    if "conv1.0.weight" in shapes:
        pooled = len(shapes.get("layer2.0.downsample.1.weight", ())) == 4
        letter = "d" if pooled else "c"
        return Architecture(f"{name}{letter}", f"{title}-{letter.upper()}", difference or "its stem has 3 convolutions")
    stem = shapes.get("conv1.weight", ())
    if len(stem) == 4 and stem[2:] == (3, 3):
        return Architecture(
            f"{name}_cifar", f"{title} for CIFAR's small images", difference or "conv1 has 3x3 filters, not 7x7"
        )
    return architecture


def _blocks(shapes: Shapes) -> tuple[tuple[int, ...], set[str]]:
    """The number of blocks of each stage, and what is in them; no stages where a stage or a block is missing."""
    stages: dict[int, set[int]] = defaultdict(set)
    parts: set[str] = set()
    for name in shapes:
        if match := _BLOCK.match(name):
            stages[int(match[1])].add(int(match[2]))
            parts.add(match[3])
    complete = sorted(stages) == list(range(1, len(stages) + 1)) and all(
        sorted(blocks) == list(range(len(blocks))) for blocks in stages.values()
    )
    return tuple(len(stages[stage]) for stage in sorted(stages)) if complete else (), parts


def _difference_of_blocks(blocks: tuple[int, ...]) -> str:
    for stage, (found, wanted) in enumerate(zip(blocks, _RESNET18_BLOCKS, strict=True), start=1):
        if found != wanted:
            return f"layer{stage} has {found} block{'s' if found > 1 else ''}, not {wanted}"
    return ""
