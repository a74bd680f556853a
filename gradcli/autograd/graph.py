"""The recorded graph: nodes that know how to turn the gradient of an output into gradients of the inputs.

References point backwards only, from a result to what it was computed from, and saved values are arrays: no cycle
keeps a graph alive, so it is freed the moment the last tensor that needs it goes away. The exception, as in PyTorch, is
`backward(create_graph=True)`: it leaves leaves with a `grad` whose own graph leads back to them.
"""

from __future__ import annotations

from collections.abc import Sequence
from collections.abc import Set as AbstractSet
from typing import Any, NamedTuple

import numpy as np

from gradcli.autograd.dtypes import Array
from gradcli.autograd.hooks import NodeHook, NodeHooks, RemovableHandle, register
from gradcli.autograd.versions import tick

Gradient = Any
"""What travels through backward: an array, one that is computed when needed, or a Tensor while gradients are themselves
recorded. For a node of several results a list of these, with None where nothing arrived."""


class Edge(NamedTuple):
    """Where the gradient of a tensor goes: to result `output_nr` of `node`. It must have this shape and dtype."""

    node: Node
    output_nr: int
    shape: tuple[int, ...]
    dtype: np.dtype[Any]


class Node:
    """One step of the recorded graph.

    `sequence_number` grows with every node made. A node is always made after those it leads to, so visiting nodes
    from the highest number down meets every node after all its users.
    """

    __slots__ = ("__weakref__", "hooks", "origin", "sequence_number")

    origin: Any
    """Where it was recorded; set while `detect_anomaly` is on only."""

    output_count = 1
    """How many results the step has."""

    def __init__(self) -> None:
        self.sequence_number = tick()
        self.hooks: NodeHooks | None = None

    @property
    def edges(self) -> Sequence[Edge | None]:
        """Where the gradients of the inputs go, in order: None where no gradient is needed."""
        raise NotImplementedError

    @property
    def next_functions(self) -> tuple[tuple[Node | None, int], ...]:
        """The nodes of the inputs, in order, as PyTorch gives them: None where no gradient is needed."""
        return tuple((None, 0) if edge is None else (edge.node, edge.output_nr) for edge in self.edges)

    def apply(
        self,
        grad: Gradient,
        *,
        create_graph: bool,
        keep_saved: bool,
        wanted: AbstractSet[Node] | None = None,
    ) -> Sequence[tuple[Edge, Gradient]]:
        """Pairs of an edge and its share of the gradient, given the gradient of this node's output.

        Where the nodes that are `wanted` are given, no others need a share.
        """
        raise NotImplementedError

    def name(self) -> str:
        """The node's name, such as `MulBackward0`."""
        return type(self).__name__

    def own_hooks(self) -> NodeHooks:
        """Its hooks; made when first asked for."""
        if self.hooks is None:
            self.hooks = NodeHooks()
        return self.hooks

    def register_hook(self, hook: NodeHook) -> RemovableHandle:
        """Call `hook(grad_inputs, grad_outputs)` after this node; what it returns, unless None, replaces the first."""
        return register(self.own_hooks().post, hook)

    def register_prehook(self, hook: NodeHook) -> RemovableHandle:
        """Call `hook(grad_outputs)` before this node; what it returns, unless None, takes their place."""
        return register(self.own_hooks().pre, hook)

    def __repr__(self) -> str:
        return f"<{self.name()} object at {id(self):#x}>"

    def _repr_pretty_(self, printer: Any, cycle: bool) -> None:
        # IPython shows nodes without the word "object"; so do transcripts of PyTorch notebooks.
        printer.text(f"<{self.name()} at {id(self):#x}>")


def sum_to_shape(array: Array, shape: tuple[int, ...]) -> Array:
    """`array` summed over the axes along which `shape` was broadcast to it.

    Raises ValueError where `shape` can't be broadcast to the shape of `array`.
    """
    leading = array.ndim - len(shape)
    stretched = tuple(range(leading)) + tuple(
        leading + axis
        for axis, size in enumerate(shape)
        if leading >= 0 and size == 1 and array.shape[leading + axis] != 1
    )
    summed = array
    if stretched:
        # NumPy adds along leading axes one after the other: float64 keeps that from costing digits.
        wide = np.float64 if array.dtype.kind == "f" else None
        summed = np.asarray(array.sum(axis=stretched, keepdims=True, dtype=wide)).astype(array.dtype)
    if summed.shape[max(leading, 0) :] != shape:
        raise ValueError(f"shape {list(shape)} was not broadcast to {list(array.shape)}")
    return summed.reshape(shape)
