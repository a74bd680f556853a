"""The recorded graph: nodes that know how to turn the gradient of an output into gradients of the inputs.

References point backwards only, from a result to what it was computed from, and saved values are arrays: no cycle
keeps a graph alive, so it is freed the moment the last tensor that needs it goes away. The exception, as in PyTorch, is
`backward(create_graph=True)`: it leaves leaves with a `grad` whose own graph leads back to them.
"""

from __future__ import annotations

import itertools
import weakref
from collections.abc import Sequence
from typing import Any, Protocol

import numpy as np

from gradcli.autograd.dtypes import Array
from gradcli.deferred import settled

Gradient = Any
"""What travels through backward: an array, one that is computed when needed, or a Tensor while gradients are themselves
recorded."""

_sequence_numbers = itertools.count()


class HoldsGradient(Protocol):
    """What a node needs to know of a tensor: that it has a place for its gradient, and is made from an array."""

    grad: Any

    def __init__(self, data: Any) -> None: ...


class Node:
    """One step of the recorded graph.

    `sequence_number` grows with every node made. A node is always made after those it leads to, so visiting nodes
    from the highest number down meets every node after all its users.
    """

    __slots__ = ("__weakref__", "retaining_tensor", "sequence_number")

    def __init__(self) -> None:
        self.sequence_number = next(_sequence_numbers)
        self.retaining_tensor: weakref.ref[HoldsGradient] | None = None

    @property
    def next_functions(self) -> tuple[tuple[Node | None, int], ...]:
        """The nodes of the inputs, in order, as PyTorch gives them: None where no gradient is needed."""
        raise NotImplementedError

    def apply(self, grad: Gradient, *, create_graph: bool, keep_saved: bool) -> Sequence[tuple[Node, Gradient]]:
        """Pairs of input node and its share of the gradient, given the gradient of this node's output."""
        raise NotImplementedError

    def name(self) -> str:
        """The node's name, such as `MulBackward0`."""
        return type(self).__name__

    def retain_grad(self, tensor: HoldsGradient) -> None:
        """Leave the gradient that reaches this node in `tensor.grad`, as long as that tensor lives."""
        self.retaining_tensor = weakref.ref(tensor)

    def deposit_retained(self, grad: Gradient) -> None:
        """Give the gradient to the tensor that asked for it with `retain_grad()`."""
        tensor = self.retaining_tensor() if self.retaining_tensor is not None else None
        if tensor is None:
            return
        grad = settled(grad)
        share = type(tensor)(grad.copy(order="K")) if isinstance(grad, np.ndarray) else grad
        tensor.grad = share if tensor.grad is None else tensor.grad + share

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
