"""The node that a call of an operation records: what it keeps, and how it hands gradients on."""

from __future__ import annotations

import weakref
from collections.abc import Sequence
from collections.abc import Set as AbstractSet
from typing import Any, ClassVar

import numpy as np

from gradcli.autograd.accumulate_grad import AccumulateGrad
from gradcli.autograd.dtypes import Array
from gradcli.autograd.graph import Edge, Gradient, Node, sum_to_shape
from gradcli.autograd.rules import Plan, Step
from gradcli.autograd.stale_values import check_unchanged
from gradcli.autograd.tensor import Tensor
from gradcli.autograd.versions import Clock, tick
from gradcli.deferred import ARRAYS, DeferredArray, computed, settled

FREED = (
    "Trying to backward through the graph a second time (or directly access saved tensors after they have already been "
    "freed). Saved intermediate values of the graph are freed when you call .backward() or autograd.grad(). Specify "
    "retain_graph=True if you need to backward through the graph a second time or if you need to access saved tensors "
    "after calling backward."
)


class OperationNode(Node):
    """A recorded call of an operation. Each operation has its own subclass, named as PyTorch names the node."""

    __slots__ = ("inputs", "plan", "saved")

    operation: ClassVar[Any]
    """The declared operation; its `rules` name the inputs in the order of `inputs`."""

    def __init__(self, plan: Plan, inputs: tuple[Edge | None, ...], saved: dict[str, Any]) -> None:
        self.sequence_number = tick()
        self.hooks = None
        self.plan = plan
        self.inputs = inputs
        self.saved: dict[str, Any] | None = saved

    @property
    def edges(self) -> Sequence[Edge | None]:
        return self.inputs

    def apply(
        self, grad: Gradient, *, create_graph: bool, keep_saved: bool, wanted: AbstractSet[Node] | None = None
    ) -> Sequence[tuple[Edge, Gradient]]:
        values = self.saved
        if values is None:
            raise RuntimeError(FREED)
        if self.sequence_number < Clock.last_change:
            self._check_saved_unchanged(values)
        if self.operation.multiple:
            grad = tuple(map(settled, grad if self.output_count > 1 else (grad,)))
        elif create_graph or not self.operation.deferred:
            grad = settled(grad)
        steps = self.plan.steps if wanted is None else self._wanted_steps(wanted, values)
        if create_graph:
            values = self._saved_as_tensors(values)
        shares: list[tuple[Edge, Gradient]] = []
        for rule, names, options, targets in steps:
            result = rule.function(grad, *[values[name] for name in names], **options)
            for target, share in zip(targets, result if rule.joint else (result,), strict=True):
                edge = self.inputs[target]
                if share is None or edge is None or (wanted is not None and edge.node not in wanted):
                    continue
                node, _, shape, dtype = edge
                if (
                    type(share) is not np.ndarray
                    or type(node) is AccumulateGrad
                    or share.shape != shape
                    or share.dtype != dtype
                ):
                    share = self._fit(share, edge, grad, values, rule.fresh)
                shares.append((edge, share))
        if not keep_saved and (self.plan.holds_tensors or any(map(_holds_array, (self.saved or {}).values()))):
            self.saved = None
        return shares

    def take_over_result(self, result: Array, memory: Array) -> None:
        """The result now is in this memory, where it was written in place after it was computed."""
        if self.saved is not None and self.saved.get("out") is result:
            self.saved["out"] = memory
            self.sequence_number = tick()  # the change is older than what is saved

    def _wanted_steps(self, wanted: AbstractSet[Node], values: dict[str, Any]) -> Sequence[Step]:
        """The rules for the inputs that lead to `wanted` nodes only, as far as what they need was kept."""
        needs = tuple(edge is not None and edge.node in wanted for edge in self.inputs)
        steps: Sequence[Step] = self.operation.gradient_rules.plan(needs).steps
        if all(name in values for step in steps for name in step.names):
            return steps
        return [step for step in self.plan.steps if any(needs[target] for target in step.targets)]

    def _check_saved_unchanged(self, values: dict[str, Any]) -> None:
        """RuntimeError, as PyTorch's, where a tensor that a rule needs was changed in place since it was saved."""
        edges = dict(zip(self.operation.rules, self.inputs, strict=True))
        for key, kind, source, _ in self.plan.saved:
            if kind == "argument":
                check_unchanged(values[key], self, *maker_of(edges.get(source)))
            elif kind == "out":
                check_unchanged(values[key], self, self.name(), 0)

    def _fit(self, share: Gradient, edge: Edge, grad: Gradient, values: dict[str, Any], fresh: bool) -> Gradient:
        """A rule's result with the input's own shape and dtype, in memory that the receiver may keep."""
        keeps = isinstance(edge.node, AccumulateGrad)
        if isinstance(share, ARRAYS) and share.shape == edge.shape and share.dtype == edge.dtype:
            if not keeps or (fresh and isinstance(share, np.ndarray)):
                return share
            if isinstance(share, DeferredArray) and share.exclusive and share is not grad:
                return share  # `grad` itself, which a rule passed on, may go to other inputs as well
        share = settled(share)
        if isinstance(share, Tensor):
            if share.array.shape != edge.shape:
                share = share.sum_to_size(edge.shape)
            return share if share.array.dtype == edge.dtype else share.to(edge.dtype)
        if type(share) is not np.ndarray:
            share = np.asarray(share)  # NumPy turns 0-d results into scalars
        if share.shape != edge.shape:
            try:
                share = sum_to_shape(share, edge.shape)
            except ValueError as error:
                raise RuntimeError(f"{self.name()} returned an invalid gradient: {error}") from None
        if share.dtype != edge.dtype:
            share = share.astype(edge.dtype)
        gradients = grad if self.operation.multiple else (grad,)
        if keeps and _may_be_shared(share, gradients, values):
            # A leaf keeps the array as its `grad`, so it can't be one that somebody else reads or writes.
            share = np.array(share, order="K")
        return share

    def _saved_as_tensors(self, values: dict[str, Any]) -> dict[str, Any]:
        """The saved values, tensors again: joined to this graph, so that operations on them are recorded through."""
        edges = dict(zip(self.operation.rules, self.inputs, strict=True))
        joined = dict(values)
        for key, kind, source, _ in self.plan.saved:
            # An extra result is what the operation made of it, and its rules know what to do with it.
            value = values[key] if kind == "extra" else settled(values[key])
            if kind == "out":
                joined[key] = self._results_as_tensors(value)
            elif kind == "argument" and isinstance(value, np.ndarray):
                edge = edges.get(source)
                joined[key] = Tensor(value) if edge is None else joined_tensor(value, edge)
        return joined

    def _results_as_tensors(self, out: Any) -> Any:
        """The result, or the tuple of results, as tensors that this node made."""
        if not isinstance(out, tuple):
            return Tensor.from_operation(out, self)
        return tuple(
            joined_tensor(result, Edge(self, output_nr, result.shape, result.dtype))
            for output_nr, result in enumerate(out)
        )


def _holds_array(value: Any) -> bool:
    return isinstance(value, (*ARRAYS, Tensor)) or (isinstance(value, tuple | list) and any(map(_holds_array, value)))


def maker_of(edge: Edge | None) -> tuple[str | None, int]:
    """The name of the operation that made a value, whose gradient goes there, and which of its results that is."""
    if edge is None or isinstance(edge.node, AccumulateGrad):
        return None, 0
    return edge.node.name(), edge.output_nr


def joined_tensor(array: Array, edge: Edge) -> Tensor:
    """A tensor whose gradient goes where the edge leads."""
    if isinstance(edge.node, AccumulateGrad):
        leaf = Tensor(array, requires_grad=True)
        leaf._accumulator = weakref.ref(edge.node)
        return leaf
    tensor = Tensor.from_operation(array, edge.node)
    tensor._output_nr = edge.output_nr
    return tensor


def _may_be_shared(share: Array, gradients: Sequence[Gradient], values: dict[str, Any]) -> bool:
    """Whether the array may be, or be part of, one of the others, or was only broadcast and can't be written into."""
    if share.base is None and share.flags.writeable:
        # It owns its memory, so it is one of the others or new: nobody has a view of what a rule has just made.
        return any(computed(other) is share for other in (*gradients, *values.values()))
    others = [computed(other) for other in (*gradients, *values.values())]
    return not share.flags.writeable or any(
        np.may_share_memory(share, other) for other in others if isinstance(other, np.ndarray)
    )
