"""The node that a call of an operation records: what it keeps, and how it hands gradients on."""

from __future__ import annotations

import weakref
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any, ClassVar, NamedTuple

import numpy as np

from gradcli.autograd.accumulate_grad import AccumulateGrad
from gradcli.autograd.dtypes import Array
from gradcli.autograd.graph import Gradient, Node, sum_to_shape
from gradcli.autograd.tensor import Tensor
from gradcli.deferred import ARRAYS, DeferredArray, computed, settled


@dataclass(frozen=True)
class Rule:
    """How to get the gradients of `inputs`; `parameters` are the names of what it takes after `grad`.

    A `joint` rule gives a tuple, one for each input. `fresh` promises results that nobody else holds or reads.
    """

    inputs: tuple[str, ...]
    parameters: tuple[str, ...]
    function: Callable[..., Any]
    joint: bool
    fresh: bool


class Saved(NamedTuple):
    """One thing to keep for the rules: where it comes from (`argument`, `shape`, `out` or `extra`), and its name.

    `position` is that among the operation's parameters, or among its extra results.
    """

    key: str
    kind: str
    source: str
    position: int


class Step(NamedTuple):
    """One rule to run with what was saved under `names`, and with `options`: which inputs need gradients, if it asks.

    `targets` are the positions of its inputs among all that have rules.
    """

    rule: Rule
    names: tuple[str, ...]
    options: dict[str, Any]
    targets: tuple[int, ...]


class Plan(NamedTuple):
    """What to keep and run, for one combination of inputs that require gradients."""

    steps: tuple[Step, ...]
    saved: tuple[Saved, ...]
    holds_tensors: bool


class InputSlot(NamedTuple):
    """An input that requires gradients: where they go, and the shape and dtype they must have."""

    node: Node
    shape: tuple[int, ...]
    dtype: np.dtype[Any]


class OperationNode(Node):
    """A recorded call of an operation. Each operation has its own subclass, named as PyTorch names the node."""

    __slots__ = ("inputs", "plan", "saved")

    operation: ClassVar[Any]
    """The declared operation; its `rules` name the inputs in the order of `inputs`."""

    def __init__(
        self,
        plan: Plan,
        inputs: tuple[InputSlot | None, ...],
        saved: dict[str, Any],
    ) -> None:
        super().__init__()
        self.plan = plan
        self.inputs = inputs
        self.saved: dict[str, Any] | None = saved

    @property
    def next_functions(self) -> tuple[tuple[Node | None, int], ...]:
        return tuple((slot.node if slot is not None else None, 0) for slot in self.inputs)

    def apply(self, grad: Gradient, *, create_graph: bool, keep_saved: bool) -> Sequence[tuple[Node, Gradient]]:
        values = self.saved
        if values is None:
            raise RuntimeError(
                "Trying to backward through the graph a second time (or directly access saved tensors after they have "
                "already been freed). Saved intermediate values of the graph are freed when you call .backward() or "
                "autograd.grad(). Specify retain_graph=True if you need to backward through the graph a second time "
                "or if you need to access saved tensors after calling backward."
            )
        if create_graph or not self.operation.deferred:
            grad = settled(grad)
        if create_graph:
            values = self._saved_as_tensors(values)
        shares: list[tuple[Node, Gradient]] = []
        for rule, names, options, targets in self.plan.steps:
            result = rule.function(grad, *map(values.__getitem__, names), **options)
            for target, share in zip(targets, result if rule.joint else (result,), strict=True):
                slot = self.inputs[target]
                if slot is not None and share is not None:
                    shares.append((slot.node, self._fit(share, slot, grad, values, rule.fresh)))
        if not keep_saved and (self.plan.holds_tensors or any(map(_holds_array, (self.saved or {}).values()))):
            self.saved = None
        return shares

    def _fit(self, share: Gradient, slot: InputSlot, grad: Gradient, values: dict[str, Any], fresh: bool) -> Gradient:
        """A rule's result with the input's own shape and dtype, in memory that the receiver may keep."""
        keeps = isinstance(slot.node, AccumulateGrad)
        if isinstance(share, ARRAYS) and share.shape == slot.shape and share.dtype == slot.dtype:
            if not keeps or (fresh and isinstance(share, np.ndarray)):
                return share
            if isinstance(share, DeferredArray) and share.exclusive and share is not grad:
                return share  # `grad` itself, which a rule passed on, may go to other inputs as well
        share = settled(share)
        if isinstance(share, Tensor):
            if share.array.shape != slot.shape:
                share = share.sum_to_size(slot.shape)
            return share if share.array.dtype == slot.dtype else share.to(slot.dtype)
        if type(share) is not np.ndarray:
            share = np.asarray(share)  # NumPy turns 0-d results into scalars
        if share.shape != slot.shape:
            try:
                share = sum_to_shape(share, slot.shape)
            except ValueError as error:
                raise RuntimeError(f"{self.name()} returned an invalid gradient: {error}") from None
        if share.dtype != slot.dtype:
            share = share.astype(slot.dtype)
        if keeps and (not share.flags.writeable or _may_be_shared(share, grad, values)):
            # A leaf keeps the array as its `grad`, so it can't be one that somebody else reads or writes, nor one
            # that was only broadcast.
            share = np.array(share, order="K")
        return share

    def _saved_as_tensors(self, values: dict[str, Any]) -> dict[str, Any]:
        """The saved values, tensors again: joined to this graph, so that operations on them are recorded through."""
        slots = dict(zip(self.operation.rules, self.inputs, strict=True))
        joined = dict(values)
        for key, kind, source, _ in self.plan.saved:
            # An extra result is what the operation made of it, and its rules know what to do with it.
            value = values[key] if kind == "extra" else settled(values[key])
            if not isinstance(value, np.ndarray):
                continue
            if kind == "out":
                joined[key] = Tensor.from_operation(value, self)
            elif kind == "argument":
                slot = slots.get(source)
                joined[key] = Tensor(value) if slot is None else _joined_tensor(value, slot.node)
        return joined


def _holds_array(value: Any) -> bool:
    return isinstance(value, ARRAYS) or (isinstance(value, tuple) and any(map(_holds_array, value)))


def _joined_tensor(array: Array, node: Node) -> Tensor:
    """A tensor whose gradient goes to `node`."""
    if isinstance(node, AccumulateGrad):
        leaf = Tensor(array, requires_grad=True)
        leaf._accumulator = weakref.ref(node)
        return leaf
    return Tensor.from_operation(array, node)


def _may_be_shared(share: Array, grad: Array | DeferredArray, values: dict[str, Any]) -> bool:
    return any(
        isinstance(array, np.ndarray) and np.may_share_memory(share, array)
        for array in map(computed, (grad, *values.values()))
    )
