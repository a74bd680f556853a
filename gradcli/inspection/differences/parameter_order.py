"""The order in which a backward pass reaches parameters, as far as their names tell."""

from __future__ import annotations

import re
from collections.abc import Sequence
from typing import Final

from gradcli.checkpoints.naming import recognise_naming

# Torchvision's names of a ResNet. There a block computes its shortcut last, so backward comes to it first.
_BLOCK: Final = re.compile(r"layer(\d)\.(\d{1,3})\.(?:(conv|bn)(\d)|downsample\.(\d))\.(.+)")
_OTHER_LAYER: Final = re.compile(r"(input)|(conv1|bn1|fc)\.(.+)")
_FIRST_LAYERS: Final = {"input": 0, "conv1": 1, "bn1": 2}
_BLOCKS: Final = 3
_HEAD: Final = 4
_SHORTCUT: Final = 9
_BEHIND: Final = (9,)
_ENTRIES: Final = ("weight", "bias", "running_mean", "running_var", "num_batches_tracked")
_NUMBER: Final = re.compile(r"(\d{1,18})")


def backward_order(*lists: Sequence[str]) -> list[str]:
    """The names of all lists, each once, in the order in which backward reaches them: from the loss to the input.

    Where names are those of a ResNet, in whatever style, that is torchvision's order of its parameters reversed: `fc`,
    the blocks of `layer4`, in each the shortcut before the second convolution before the first, down to `conv1`, and
    last the `input`. Other names are taken in the reversed order of the first list that has one of its own. A list in
    alphabetical order has none (the safetensors library sorts); where all are so, names are reversed as people count:
    `net.10` stands after `net.2`.
    """
    names = list(dict.fromkeys(name for each in lists for name in each))
    naming = recognise_naming(names)
    ranks = {name: rank for name in names if (rank := _network_rank(naming.torchvision_name(name))) is not None}
    if len(ranks) == len(names) or any(rank[0] == _BLOCKS for rank in ranks.values()):
        # A name that is not the network's comes first, where it is seen.
        return sorted(names, key=lambda name: ranks.get(name, _BEHIND), reverse=True)
    own = next((each for each in lists if list(each) != sorted(each)), None)
    if own is None:
        return sorted(names, key=_natural_key, reverse=True)
    return list(dict.fromkeys([*own, *names]))[::-1]


def network_order(names: Sequence[str]) -> list[str]:
    """The names in the order in which a forward pass comes to them, the opposite of backward's."""
    return backward_order(names)[::-1]


def _network_rank(name: str) -> tuple[int, ...] | None:
    """A key in the order of ResNet's parameters; None for a name that none of them has."""
    if match := _BLOCK.fullmatch(name):
        stage, block, kind, number, shortcut, entry = match.groups()
        layer = (_SHORTCUT, int(shortcut)) if shortcut else (int(number), 0 if kind == "conv" else 1)
        return (_BLOCKS, int(stage), int(block), *layer, _entry_rank(entry))
    if match := _OTHER_LAYER.fullmatch(name):
        layer_name, entry = match[1] or match[2], match[3]
        return (_FIRST_LAYERS.get(layer_name, _HEAD), _entry_rank(entry))
    return None


def _entry_rank(entry: str | None) -> int:
    return _ENTRIES.index(entry) if entry in _ENTRIES else len(_ENTRIES)


def _natural_key(name: str) -> list[tuple[int, int, str]]:
    """Numbers within a name count as numbers."""
    parts = _NUMBER.split(name)
    return [(0, int(part), "") if _NUMBER.fullmatch(part) else (1, 0, part) for part in parts if part]
