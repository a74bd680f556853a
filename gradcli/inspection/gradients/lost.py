"""Why parameters have no gradient of use (not finite, not reached, zero, dead ReLUs, frozen), and where it got lost."""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Literal, get_args

import numpy as np

from gradcli import nn
from gradcli.autograd import Tensor
from gradcli.autograd.graph import Node
from gradcli.inspection.gradients.collection import Gradients, gradients_of_pass, matched_parameters
from gradcli.inspection.gradients.dead_relus import DeadRelu, find_dead_relus
from gradcli.inspection.gradients.grouping import owner_of
from gradcli.inspection.gradients.loss_graph import LossGraph
from gradcli.inspection.gradients.nonfinite_gradients import (
    Beginning,
    beginning_behind_modules,
    beginning_in_forward,
)
from gradcli.inspection.gradients.zero_gradients import is_relu, why_zero
from gradcli.inspection.module_calls import ModuleCall, ModuleCalls, recorded_module_calls
from gradcli.kernels.policy import using_kernels
from gradcli.training.passes import Pass, overflow_allowed, record_loss

Reason = Literal["nonfinite", "not-reached", "dead-relu", "zero", "frozen"]
"""From what is most likely a fault to what is meant to be."""


@dataclass(frozen=True, kw_only=True)
class LostGradient:
    """A parameter without a gradient of use.

    `reason`: `frozen`; `nonfinite`, NaN or infinity among its numbers; `not-reached` from the loss by the recorded
    graph; `dead-relu`, zero because every way from the loss ends at a ReLU that lets nothing through; `zero` for any
    other gradient that is exactly zero. `stopped_at` is the last module on the `path` that a gradient other than zero
    (for `nonfinite`: a finite one) reached, None where none set out. The path leads from the loss through modules to
    the parameter; of a module that is called more than once it has `name#1`, `name#2`. Where the gradient is lost
    because of features that are all zero, `zeros_begin_at` is the first module to give them, and `dead_relu` tells what
    that is given if it is a ReLU. `nonfinite_begins_at` is the parameter, buffer or module (or `loss`) that NaN and
    infinity begin at.
    """

    name: str
    shape: tuple[int, ...]
    numel: int
    reason: Reason
    stopped_at: str | None
    zeros_begin_at: str | None
    nonfinite_begins_at: str | None
    dead_relu: DeadRelu | None
    explanation: str
    path: list[str]


def find_lost_gradients(
    model: nn.Module, compute_loss: Callable[[], Tensor], names: Sequence[str] | None = None
) -> tuple[list[LostGradient], Tensor]:
    """The parameters (of these names) without a gradient of use, likely faults first; and the loss.

    Runs the forward pass `compute_loss` and backward, which leaves gradients on the trainable parameters. The graph is
    recorded as if every parameter were trainable, so that the ways to frozen ones are known; values are the same.
    """
    trainable = {name: parameter for name, parameter in model.named_parameters() if parameter.requires_grad}
    try:
        model.requires_grad_()
        with recorded_module_calls(model, keep_results=True, keep_arguments=True) as calls:
            loss = compute_loss()
    finally:
        for name, parameter in model.named_parameters():
            parameter.requires_grad = name in trainable
    only_zeros = {node: not np.any(result.array) for node, result in calls.results.items()}
    dead_relus = find_dead_relus(model, calls)
    beginning = beginning_in_forward(model, calls)
    calls.results.clear()
    calls.arguments.clear()
    graph = LossGraph(loss)
    if graph.root is not None:
        graph.backward(loss)
    search = _Search(model, graph, calls, only_zeros, dead_relus)
    search.beginning = beginning or beginning_behind_modules(loss, graph, search.label)
    found = [search.examine(name) for name in names or [name for name, _ in model.named_parameters()]]
    order = get_args(Reason)
    return sorted(filter(None, found), key=lambda lost: order.index(lost.reason)), loss


def explain_gradients(run: Pass, patterns: Sequence[str] = ()) -> tuple[Gradients, list[LostGradient]]:
    """The gradients of a pass, and why parameters that any pattern matches (all without patterns) have none of use.

    The gradients are those of the trainable parameters among them. UsageError for a pattern without match.
    """
    names = matched_parameters(run, patterns)
    start = time.perf_counter()
    with overflow_allowed(), using_kernels(run.settings.kernels):
        lost, loss = find_lost_gradients(run.model, lambda: record_loss(run)[1], names)
    return gradients_of_pass(run, loss.item(), time.perf_counter() - start, names), lost


class _Search:
    """Looks for the reasons in one recorded graph."""

    def __init__(
        self,
        model: nn.Module,
        graph: LossGraph,
        calls: ModuleCalls,
        only_zeros: Mapping[Node, bool],
        dead_relus: Mapping[Node, DeadRelu],
    ) -> None:
        self.parameters = dict(model.named_parameters())
        self.graph = graph
        self.calls = calls
        self.only_zeros = only_zeros
        self.dead_relus = dead_relus
        self.beginning: Beginning | None = None
        """Where NaN or infinity begin, if there are any."""
        self.leading = graph.nodes_leading_to(
            parameter for parameter in self.parameters.values() if parameter.requires_grad
        )
        self.names: dict[Node, str] = {
            graph.leaves[parameter]: name for name, parameter in self.parameters.items() if parameter in graph.leaves
        }

    def examine(self, name: str) -> LostGradient | None:
        """Why this parameter has no gradient of use; None if it has one."""
        parameter = self.parameters[name]
        node = self.graph.leaves.get(parameter)
        if not parameter.requires_grad:
            return self._frozen(name, node)
        if node is None:
            return self._not_reached(name)
        if node in self.graph.nonfinite:
            return self._nonfinite(name, node)
        if self.graph.is_brought_gradient(node):
            return None
        return self._zero(name, node)

    def _nonfinite(self, name: str, node: Node) -> LostGradient:
        assert self.beginning is not None
        cuts, below = self.graph.last_reached(node, lambda user: user not in self.graph.nonfinite)
        return self._lost(
            name,
            "nonfinite",
            self.label(cuts[0][0]),
            f"NaN or infinity begin in {self.beginning.words}",
            [*self.graph.way_from_loss(cuts[0][0]), *below],
            nonfinite_begins_at=self.beginning.place,
        )

    def _zero(self, name: str, node: Node) -> LostGradient:
        cuts, below = self.graph.last_reached(node, self.graph.is_brought_gradient)
        if not cuts:  # an operation on the way has no gradient to hand on, not even zeros
            return self._lost(name, "zero", None, "nothing hands a gradient on to it", self.graph.way_from_loss(node))
        way = [*self.graph.way_from_loss(cuts[0][0]), *below]
        dead = all(is_relu(user) for user, _ in cuts)
        causes = [(user, *why_zero(user, receiver, self.label)) for user, receiver in cuts]
        explanations: list[str] = []
        origins: list[Node] = []
        for user, words, zeros in causes:
            begin = [] if zeros is None else self.graph.where_zeros_begin(zeros, self.only_zeros)
            if begin and self.label(begin[0]) != self.label(user):
                words += f"; the zeros begin at {self.label(begin[0])}"
            if begin and begin[0] in self.dead_relus:
                words += f": {self.dead_relus[begin[0]].describe()}"
            explanations.append(words)
            origins += begin
        return self._lost(
            name,
            "dead-relu" if dead else "zero",
            self.label(cuts[0][0]),
            "; ".join(dict.fromkeys(explanations)),
            way,
            zeros_begin_at=self.label(origins[0]) if origins else None,
            dead_relu=self.dead_relus.get(origins[0]) if origins else None,
        )

    def label(self, node: Node) -> str:
        """Where in the network a node is: the module's name, the parameter's, or `loss`."""
        if node in self.names:
            return self.names[node]
        return self.calls.place(node)

    def _frozen(self, name: str, node: Node | None) -> LostGradient:
        if node is None:
            return self._lost(name, "frozen", None, "requires_grad is off", [])
        way = self.graph.way_from_loss(node)
        reached = [each for each in way if each in self.leading]
        if not reached:
            return self._lost(name, "frozen", None, "requires_grad is off, as it is everywhere", way)
        stopped_at = self.label(reached[-1])
        explanation = "requires_grad is off"
        if stopped_at != owner_of(name):
            explanation += f", and backward ends at {stopped_at}: nothing beyond trains"
        return self._lost(name, "frozen", stopped_at, explanation, way)

    def _not_reached(self, name: str) -> LostGradient:
        owner = owner_of(name)
        calls = [position for position, call in enumerate(self.calls.calls) if call.module == owner]
        if not calls:
            return self._lost(name, "not-reached", None, f"the forward pass does not call {owner}", [])
        if not any(self.calls.calls[position].records for position in calls):
            return self._lost(name, "not-reached", None, f"{owner} runs without recording, as under no_grad", [])
        for call in self.calls.calls[calls[0] + 1 :]:
            if call.takes_gradients or f"{owner}.".startswith(f"{call.module}." if call.module else ""):
                continue  # the latter is a module around the owner
            node = self._node_of(call)
            if node is not None:
                label = self.calls.label(call)
                explanation = f"what {label} is given has no graph: detached, or computed without recording"
                return self._lost(name, "not-reached", label, explanation, self.graph.way_from_loss(node))
        return self._lost(name, "not-reached", None, f"the loss does not depend on what {owner} gives", [])

    def _node_of(self, call: ModuleCall) -> Node | None:
        """The node nearest to the loss that this call recorded, if the loss leads to one."""
        return next((node for node in self.graph.nodes if self.calls.innermost(node) is call), None)

    def _lost(
        self,
        name: str,
        reason: Reason,
        stopped_at: str | None,
        explanation: str,
        way: Sequence[Node],
        *,
        zeros_begin_at: str | None = None,
        nonfinite_begins_at: str | None = None,
        dead_relu: DeadRelu | None = None,
    ) -> LostGradient:
        # What the model itself does between its modules, such as flattening, is no station of its own.
        stations = [label for node in way if (label := self.label(node)) not in ("model", name) or label == stopped_at]
        parameter = self.parameters[name]
        return LostGradient(
            name=name,
            shape=tuple(parameter.shape),
            numel=parameter.numel(),
            reason=reason,
            stopped_at=stopped_at,
            zeros_begin_at=zeros_begin_at,
            nonfinite_begins_at=nonfinite_begins_at,
            dead_relu=dead_relu,
            explanation=explanation,
            path=[*dict.fromkeys(stations), name],
        )
