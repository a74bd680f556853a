"""Which tensor of one side is compared with which of the other, by names."""

from __future__ import annotations

import fnmatch
import itertools
from collections.abc import Iterable, Sequence
from dataclasses import dataclass

from gradcli.checkpoints.naming import Naming, recognise_naming
from gradcli.checkpoints.quoting import some_names
from gradcli.errors import UsageError
from gradcli.inspection.differences.named_arrays import NamedArrays
from gradcli.inspection.differences.parameter_order import backward_order
from gradcli.training.freezing import match_names


@dataclass(frozen=True, kw_only=True)
class TensorPair:
    """A name, and the names that its tensor has in either file; None where the file has no such tensor."""

    name: str
    in_a: str | None
    in_b: str | None


@dataclass(frozen=True, kw_only=True)
class TensorPairs:
    """The pairs in backward order. `renamed` says that names of two styles were brought to torchvision's."""

    pairs: list[TensorPair]
    renamed: bool


def tensor_pairs(a: NamedArrays, b: NamedArrays, patterns: Sequence[str], ignored: Sequence[str]) -> TensorPairs:
    """Pair the tensors by name: all of them, or those that a pattern matches and no pattern of `ignored` does.

    Where two files of ResNets name them in different ways (Hugging Face's names, the prefix of a wrapper), both get
    torchvision's names. An array without a name (`.npy`) is paired with the other side's only chosen tensor; where that
    has several, it goes by its file's name.
    UsageError for a pattern without match, and where nothing is chosen.
    """
    names_a, names_b, renamed = _common_names(list(a.arrays), list(b.arrays))
    if a.is_unnamed != b.is_unnamed:
        # The side that has names says which tensor is meant.
        chosen = chosen_names(list(names_b if a.is_unnamed else names_a), patterns, ignored)
        if len(chosen) == 1:
            [name] = chosen
            if a.is_unnamed:
                names_a = dict(zip([name], names_a.values(), strict=True))
            else:
                names_b = dict(zip([name], names_b.values(), strict=True))
    elif a.is_unnamed:
        names_b = dict(zip(names_a, names_b.values(), strict=True))
    names = set(chosen_names(list(dict.fromkeys([*names_a, *names_b])), patterns, ignored))
    pairs = [
        TensorPair(name=name, in_a=names_a.get(name), in_b=names_b.get(name))
        for name in backward_order(list(names_a), list(names_b))
        if name in names
    ]
    return TensorPairs(pairs=pairs, renamed=renamed)


def chosen_names(names: Sequence[str], patterns: Sequence[str], ignored: Sequence[str] = ()) -> list[str]:
    """The names that a pattern matches, all without patterns, but those that one of `ignored` does; in their order.

    UsageError for a pattern without match, and where nothing is left.
    """
    if patterns:
        advice = f"the tensors are {some_names(names)}"
        matches = (match_names(each, names, option="--param", called="tensor", advice=advice) for each in patterns)
        wanted = set(itertools.chain.from_iterable(matches))
    else:
        wanted = set(names)
    wanted.difference_update(*(fnmatch.filter(names, pattern) for pattern in ignored), set(ignored))
    if not wanted:
        raise UsageError("--ignore leaves no tensor to compare; leave out a pattern")
    return [name for name in names if name in wanted]


def _common_names(names_a: list[str], names_b: list[str]) -> tuple[dict[str, str], dict[str, str], bool]:
    """The names in the files by the names to compare under, and whether these are others."""
    if set(names_a) != set(names_b):
        by_new = [_torchvision_names(recognise_naming(names), names) for names in (names_a, names_b)]
        new_a, new_b = by_new
        if new_a and new_b and len(new_a.keys() & new_b.keys()) > len(set(names_a) & set(names_b)):
            return new_a, new_b, True
    return _unchanged(names_a), _unchanged(names_b), False


def _unchanged(names: Iterable[str]) -> dict[str, str]:
    return {name: name for name in names}


def _torchvision_names(naming: Naming, names: Sequence[str]) -> dict[str, str]:
    """The file's names by torchvision's; none where the naming is unknown or two of them would become one."""
    if naming.style == "unknown":
        return {}
    by_new = {naming.torchvision_name(name): name for name in names}
    return by_new if len(by_new) == len(names) else {}
