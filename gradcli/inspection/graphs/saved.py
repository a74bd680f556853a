"""The tensors that nodes keep for backward, and how many bytes they are when those that share memory count once."""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping
from dataclasses import dataclass

from gradcli.autograd import Tensor
from gradcli.autograd.graph import Node
from gradcli.autograd.saved_values import SavedValue, memory_range, saved_values


@dataclass(frozen=True, kw_only=True)
class SavedTensor:
    """A tensor that a node keeps, under the name that its gradient rule knows it by.

    Saved tensors of the same `storage`, a number that means nothing else, share memory. `memory_of` is the name of the
    tensor whose own memory it is: that of a parameter, say, which is there anyway.
    """

    name: str
    shape: tuple[int, ...]
    dtype: str
    bytes: int
    storage: int
    memory_of: str | None


def distinct_bytes(saved: Iterable[SavedTensor]) -> int:
    """The bytes of saved tensors; of those that share memory the largest counts."""
    largest: dict[int, int] = {}
    for tensor in saved:
        largest[tensor.storage] = max(tensor.bytes, largest.get(tensor.storage, 0))
    return sum(largest.values())


def bytes_of_leaves(saved: Iterable[SavedTensor]) -> int:
    """The part of these bytes that is the memory of named tensors, which is there anyway."""
    return distinct_bytes(tensor for tensor in saved if tensor.memory_of is not None)


def saved_tensors(visited: Mapping[Node, Node], names: Mapping[str, Tensor]) -> dict[Node, tuple[SavedTensor, ...]]:
    """What each node keeps: `visited` says which node of the graph that backward goes through stands for it.

    A value that was put off and is not computed yet counts with the bytes that it will have.
    """
    values = {node: saved_values(real) for node, real in visited.items()}
    storages = _Storages([value for kept in values.values() for value in kept], names)
    return {node: tuple(storages.describe(value) for value in kept) for node, kept in values.items() if kept}


class _Storages:
    """Pieces of memory that don't overlap, and whose they are."""

    def __init__(self, values: Iterable[SavedValue], names: Mapping[str, Tensor]) -> None:
        ranges = {name: memory_range(tensor) for name, tensor in names.items() if tensor.is_leaf}
        named = [(bounds, name) for name, bounds in ranges.items() if bounds is not None]
        spans = sorted([bounds for bounds, _ in named] + [value.memory for value in values if value.memory is not None])
        self._number_at: dict[int, int] = {}
        self._number_of: dict[int, int] = {}  # by the identity of what is not computed yet
        self._count, end = 0, -1
        for start, stop in spans:
            if start >= end:
                self._count += 1
            self._number_at[start] = self._count
            end = max(end, stop)
        self._name_of: dict[int, str] = {}
        for (start, _), name in named:
            self._name_of.setdefault(self._number_at[start], name)

    def describe(self, value: SavedValue) -> SavedTensor:
        if value.memory is not None:
            storage = self._number_at[value.memory[0]]
        else:
            storage = self._number_of.setdefault(value.identity, self._count + 1 + len(self._number_of))
        return SavedTensor(
            name=value.name,
            shape=value.shape,
            dtype=str(value.dtype),
            bytes=math.prod(value.shape) * value.dtype.itemsize,
            storage=storage,
            memory_of=self._name_of.get(storage),
        )
