"""What the nodes of a graph keep for backward: the arrays, by the names that their rules know them by."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any, NamedTuple

import numpy as np

from gradcli.autograd.function import FunctionNode
from gradcli.autograd.graph import Node
from gradcli.autograd.operation_node import FREED, OperationNode
from gradcli.autograd.tensor import Tensor
from gradcli.deferred import ARRAYS, computed


class SavedValue(NamedTuple):
    """An array that a node keeps, and where its memory begins and ends: None for one that is not computed yet.

    `identity` tells such arrays apart: nodes with the same one keep the same.
    """

    name: str
    shape: tuple[int, ...]
    dtype: np.dtype[Any]
    memory: tuple[int, int] | None
    identity: int


def saved_values(node: Node) -> list[SavedValue]:
    """The arrays that `node` keeps; RuntimeError, as PyTorch's, where backward has freed them already.

    Nodes of operations name them after the operation's arguments and results, those of a `Function` count them.
    """
    if isinstance(node, OperationNode):
        kept: Any = node.saved
    elif isinstance(node, FunctionNode):
        kept = (
            None
            if node._saved is None
            else {str(number): each and each.array for number, each in enumerate(node._saved)}
        )
    else:
        return []
    if kept is None:
        raise RuntimeError(FREED)
    return [saved for name, value in kept.items() for saved in _arrays(name, value)]


def memory_range(tensor: Tensor) -> tuple[int, int] | None:
    """Where the memory of a tensor's values begins and ends; None while they are not computed."""
    array = computed(tensor.deferred_array())
    return None if array is None else np.lib.array_utils.byte_bounds(array)


def _arrays(name: str, value: Any) -> Iterator[SavedValue]:
    """The arrays in a saved value, which may be a tuple of some: fields are named after the tuple's name and theirs."""
    if isinstance(value, Tensor):
        value = value.deferred_array()
    if isinstance(value, ARRAYS):
        array = computed(value)
        bounds = None if array is None else np.lib.array_utils.byte_bounds(array)
        yield SavedValue(name, tuple(value.shape), value.dtype, bounds, id(value))
    elif isinstance(value, tuple | list):
        fields = getattr(value, "_fields", range(len(value)))
        for field, item in zip(fields, value, strict=True):
            yield from _arrays(f"{name}.{field}", item)
