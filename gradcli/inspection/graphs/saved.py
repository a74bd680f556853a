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

    Saved tensors of the same `storage`, a number from 1 in the order in which nodes first keep it, share memory.
    `memory_of` is the name of the tensor whose own memory it is: that of a parameter, say, which is there anyway.
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
    recorded = sorted(visited, key=lambda node: node.sequence_number)
    values = {node: saved_values(visited[node]) for node in recorded}
    storages = _Storages([value for kept in values.values() for value in kept], names)
    return {node: tuple(storages.describe(value) for value in kept) for node, kept in values.items() if kept}


class _Storages:
    """Pieces of memory that don't overlap, and whose they are."""

    def __init__(self, values: Iterable[SavedValue], names: Mapping[str, Tensor]) -> None:
        ranges = {name: memory_range(tensor) for name, tensor in names.items() if tensor.is_leaf}
        named = [(bounds, name) for name, bounds in ranges.items() if bounds is not None]
        spans = sorted([bounds for bounds, _ in named] + [value.memory for value in values if value.memory is not None])
        self._piece_at: dict[int, int] = {}  # the address where a piece begins, by those of all that is in it
        piece, end = 0, -1
        for start, stop in spans:
            if start >= end:
                piece = start
            self._piece_at[start] = piece
            end = max(end, stop)
        self._name_of: dict[int, str] = {}
        for (start, _), name in named:
            self._name_of.setdefault(self._piece_at[start], name)
        # Not by addresses, which are others in every process.
        self._numbers: dict[tuple[str, int], int] = {}

    def describe(self, value: SavedValue) -> SavedTensor:
        piece = None if value.memory is None else self._piece_at[value.memory[0]]
        key = ("put off", value.identity) if piece is None else ("address", piece)
        return SavedTensor(
            name=value.name,
            shape=value.shape,
            dtype=str(value.dtype),
            bytes=math.prod(value.shape) * value.dtype.itemsize,
            storage=self._numbers.setdefault(key, len(self._numbers) + 1),
            memory_of=None if piece is None else self._name_of.get(piece),
        )
