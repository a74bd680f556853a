"""Where the recorded graph ends: the node that adds what arrives to a leaf's `grad`."""

from __future__ import annotations

import functools
import threading
import weakref
from collections.abc import Sequence
from collections.abc import Set as AbstractSet

import numpy as np

from gradcli.autograd.graph import Edge, Gradient, Node
from gradcli.autograd.tensor import Tensor
from gradcli.autograd.versions import record_change
from gradcli.deferred import call_users_code, settled

_edge = functools.partial(tuple.__new__, Edge)
"""An Edge of a tuple of its fields, in less time than by its own constructor: there is one for each input recorded."""

_accumulating = threading.Lock()
"""Backward passes of several threads may reach the same leaf."""


class AccumulateGrad(Node):
    """Adds gradients to `variable.grad`. One leaf has one such node, however often it is used."""

    __slots__ = ("variable",)

    def __init__(self, variable: Tensor) -> None:
        super().__init__()
        self.variable = variable
        self.hooks = variable.leaf_hooks

    @property
    def edges(self) -> Sequence[Edge | None]:
        return ()

    def apply(
        self, grad: Gradient, *, create_graph: bool, keep_saved: bool, wanted: AbstractSet[Node] | None = None
    ) -> Sequence[tuple[Edge, Gradient]]:
        variable = self.variable
        if not variable.requires_grad:  # frozen after it was recorded
            return ()
        if variable._grad is not None:
            grad = grad if create_graph else settled(grad)
        with _accumulating:
            before = variable._grad
            if create_graph:
                # Copied, because the same gradient may reach several leaves.
                variable.grad = grad.clone() if before is None else before + grad
            elif before is None:
                if self.hooks is not None and (self.hooks.tensor or self.hooks.pre):
                    grad = np.array(settled(grad), order="K")  # a hook may have kept it, or given an array of its own
                variable._grad = Tensor.from_operation(grad, None)  # of the right shape and dtype: no need to check
            elif before.grad_fn is not None:
                # Recorded by an earlier pass: its values may be saved in that graph.
                variable.grad = Tensor(np.asarray(before.array + settled(grad)))
            else:
                # In place, as PyTorch does: whoever holds `variable.grad` sees the sum grow.
                accumulated = before.array
                np.add(accumulated, settled(grad), out=accumulated)
                record_change(accumulated)
        if self.hooks is not None:
            for hook in list(self.hooks.after_accumulation.values()):
                call_users_code(hook, variable)
        return ()


def zero_gradient(variable: Tensor, set_to_none: bool) -> None:
    """Forget the gradient of a leaf, or set it to zero in place."""
    if set_to_none or variable.grad is None:
        variable._grad = None
    elif variable.grad.grad_fn is not None:
        variable.grad = Tensor(np.zeros_like(variable.grad.array))  # recorded: its values may be saved in a graph
    else:
        variable.grad.array[...] = 0
        record_change(variable.grad.array)


def gradient_edge(tensor: Tensor) -> Edge | None:
    """Where the gradient of `tensor` goes; None where it requires none."""
    if not tensor._requires_grad:
        return None
    node = tensor._grad_fn if tensor._sharing is None else tensor.grad_fn
    value = tensor._value
    if node is not None:
        return _edge((node, tensor._output_nr, value.shape, value.dtype))
    accumulator = tensor._accumulator() if tensor._accumulator is not None else None
    if accumulator is None:
        accumulator = AccumulateGrad(tensor)
        # Weak, because the node holds the leaf: the graph keeps the node alive as long as it is needed.
        tensor._accumulator = weakref.ref(accumulator)
    return _edge((accumulator, 0, value.shape, value.dtype))
