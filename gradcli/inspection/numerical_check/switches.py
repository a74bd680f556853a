"""Which way each kinked operation of a recorded pass went: where ReLUs let through, what max pooling took."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from gradcli.autograd import Tensor
from gradcli.autograd.graph import Node
from gradcli.autograd.operation_node import OperationNode
from gradcli.inspection.gradients.loss_graph import LossGraph
from gradcli.inspection.gradients.zero_gradients import is_relu
from gradcli.inspection.module_calls import ModuleCalls


@dataclass(frozen=True, eq=False)
class Switch:
    """A kinked operation: the module that called it, and a choice for each element of its result.

    True where a ReLU's result is positive; for max pooling the position of the largest element in its window.
    """

    module: str
    choices: np.ndarray[Any, Any]


def recorded_switches(result: Tensor, calls: ModuleCalls) -> list[Switch]:
    """The switches of the graph that leads to `result`, in the order of the pass.

    They are read from what the nodes saved for backward. An operation that no gradient leads through has no node, and
    nothing that gradients are taken with respect to can turn it.
    """
    nodes = sorted(LossGraph(result).nodes, key=lambda node: node.sequence_number)
    found = []
    for node in nodes:
        choices = _choices(node)
        if choices is not None:
            found.append(Switch(calls.place(node), choices))
    return found


def turned(before: Sequence[Switch], after: Sequence[Switch]) -> dict[str, int]:
    """How many choices of each module differ between two passes of the same network; modules with none are left out."""
    counts: dict[str, int] = {}
    for one, other in zip(before, after, strict=True):
        count = int(np.count_nonzero(one.choices != other.choices))
        if count:
            counts[one.module] = counts.get(one.module, 0) + count
    return counts


def _choices(node: Node) -> np.ndarray[Any, Any] | None:
    if not isinstance(node, OperationNode) or node.saved is None:
        return None
    if is_relu(node):
        positive: np.ndarray[Any, Any] = Tensor(node.saved["out"]).array > 0
        return positive
    if node.operation.name == "max_pool2d_with_winners":
        positions: np.ndarray[Any, Any] = node.saved["winners"].positions
        return positions
    return None
