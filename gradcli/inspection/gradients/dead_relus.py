"""What goes into a ReLU that gives only zeros, and where that comes from."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass

import numpy as np

from gradcli import nn
from gradcli.autograd import Tensor
from gradcli.autograd.graph import Node
from gradcli.inspection.gradients.zero_gradients import is_relu
from gradcli.inspection.module_calls import ModuleCalls


@dataclass(frozen=True, kw_only=True)
class ReluSource:
    """A module whose result is a ReLU's input, or goes into it by way of what no module does, such as an addition.

    `max` is the largest element of that result; `bias_mean` and `weight_mean` are of a batch norm's parameters, None of
    another module.
    """

    module: str
    max: float
    bias_mean: float | None
    weight_mean: float | None


@dataclass(frozen=True, kw_only=True)
class DeadRelu:
    """A call of a ReLU that gives only zeros for the whole batch: the largest element of its input, its sources."""

    relu: str
    input_max: float
    sources: list[ReluSource]

    def describe(self) -> str:
        """The input and its sources in words."""
        parts = []
        for source in self.sources:
            told = [] if len(self.sources) == 1 else [f"at most {source.max:.3g}"]
            if source.bias_mean is not None:
                told.append(f"bias {source.bias_mean:.3g} on average")
            if source.weight_mean is not None:
                told.append(f"weight {source.weight_mean:.3g}")
            parts.append(f"{source.module} ({', '.join(told)})" if told else source.module)
        origin = f", from {' and '.join(parts)}" if parts else ""
        return f"its input is at most {self.input_max:.3g}{origin}"


def find_dead_relus(model: nn.Module, calls: ModuleCalls) -> dict[Node, DeadRelu]:
    """The calls of ReLU modules that give only zeros, by their nodes.

    `calls` still must have what modules gave and were given.
    """
    found: dict[Node, DeadRelu] = {}
    for node, result in calls.results.items():
        edge = node.edges[0] if is_relu(node) else None
        given = None if edge is None else calls.arguments.get(edge.node)
        if edge is not None and given is not None and not np.any(result.array):
            sources = [_source(model, calls, source) for source in _results_before(edge.node, calls.results)]
            found[node] = DeadRelu(relu=calls.place(node), input_max=_largest(given), sources=sources)
    return found


def _results_before(node: Node, results: Iterable[Node]) -> list[Node]:
    """The node if it is one of the results, else the nearest of them that it is computed from."""
    known = set(results)
    waiting, nearest = [node], []
    for each in waiting:
        if each in known:
            nearest.append(each)
        else:
            waiting += [edge.node for edge in each.edges if edge is not None and edge.node not in waiting]
    return nearest


def _source(model: nn.Module, calls: ModuleCalls, node: Node) -> ReluSource:
    call = calls.innermost(node)
    module = None if call is None else model.get_submodule(call.module)
    bias, weight = (module.bias, module.weight) if isinstance(module, nn.BatchNorm2d) else (None, None)
    return ReluSource(
        module=calls.place(node), max=_largest(calls.results[node]), bias_mean=_mean(bias), weight_mean=_mean(weight)
    )


def _largest(tensor: Tensor) -> float:
    return float(tensor.array.max())


def _mean(parameter: Tensor | None) -> float | None:
    return None if parameter is None else float(parameter.array.mean(dtype=np.float64))
