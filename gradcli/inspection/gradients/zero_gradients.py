"""Why a node of the recorded graph that is brought a gradient hands nothing but zeros on."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any

import numpy as np

from gradcli.autograd import Tensor
from gradcli.autograd.accumulate_grad import AccumulateGrad
from gradcli.autograd.graph import Node
from gradcli.autograd.operation_node import OperationNode

Label = Callable[[Node], str]
"""Where in the network a node is, in a word."""


def is_relu(node: Node) -> bool:
    """Whether this is a ReLU's node."""
    return node.name() == "ReluBackward0"


def why_zero(node: Node, receiver: Node, label: Label) -> tuple[str, Node | None]:
    """In words, why `node` hands nothing but zeros on to `receiver`; and the node whose result, all zeros, is to blame.

    That is None where it is something else. `node` still must have what it saved.
    """
    place = label(node)
    if is_relu(node):
        if not _is_zero(_saved(node)["out"]):
            return f"{place} gives zero wherever a gradient arrives", None
        return f"{place} gives only zeros", node
    return next(
        _zero_factors(node, receiver, label), (f"the gradient that {node.name()} in {place} hands on is zero", None)
    )


def _zero_factors(node: Node, receiver: Node, label: Label) -> Iterator[tuple[str, Node | None]]:
    """The other inputs of the node that its gradients are multiplied with and that are zero everywhere; their nodes."""
    if not isinstance(node, OperationNode):
        return
    edges = dict(zip(node.operation.rules, node.inputs, strict=True))
    own = {name for name, edge in edges.items() if edge is not None and edge.node is receiver}
    for key, kind, source, _ in node.plan.saved:
        value = _saved(node).get(key)
        if kind != "argument" or source in own or not hasattr(value, "shape") or not _is_zero(value):
            continue
        edge = edges.get(source)
        origin = None if edge is None else _origin(edge.node)
        if origin is None:
            yield f"{source} of {label(node)} is all zeros", None
        elif isinstance(origin, AccumulateGrad):
            yield f"{label(origin)} is all zeros", None
        else:
            yield f"the input of {label(node)} is all zeros", origin


def _is_zero(value: Any) -> bool:
    """Whether all elements of a saved array are zero; it may be one that is not computed yet."""
    return not np.any(Tensor(value).array)


def _saved(node: Any) -> dict[str, Any]:
    return getattr(node, "saved", None) or {}


def _origin(node: Node) -> Node:
    """The node behind those that merely view something else, such as the transpose of a weight."""
    while isinstance(node, OperationNode) and node.operation.view and node.inputs[0] is not None:
        node = node.inputs[0].node
    return node
