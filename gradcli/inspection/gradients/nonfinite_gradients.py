"""Where NaN and infinity begin that reach gradients, as far as one pass with its modules' results tells."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass

import numpy as np

from gradcli import nn
from gradcli.autograd import Tensor
from gradcli.autograd.graph import Node
from gradcli.inspection.gradients.loss_graph import LossGraph
from gradcli.inspection.module_calls import ModuleCalls


@dataclass(frozen=True)
class Beginning:
    """The first tensor of a pass that is not finite: the parameter, buffer or module it is of, or `loss`; in words."""

    place: str
    words: str


def beginning_in_forward(model: nn.Module, calls: ModuleCalls) -> Beginning | None:
    """In the first module whose result is not finite: in its own parameters or buffers, else in that result.

    None where all results are finite; `calls` still must have them.
    """
    for node, result in calls.results.items():
        call = calls.innermost(node)
        if call is None or _is_finite(result):
            continue
        for name, tensor in _own_tensors(model.get_submodule(call.module)):
            if not _is_finite(tensor):
                place = f"{call.module}.{name}" if call.module else name
                return Beginning(place, place)
        return Beginning(calls.label(call), f"what {calls.label(call)} gives")
    return None


def beginning_behind_modules(loss: Tensor, graph: LossGraph, label: Callable[[Node], str]) -> Beginning | None:
    """In the loss, or where backward first hands on a gradient that is not finite; for modules with finite results."""
    if not _is_finite(loss):
        return Beginning("loss", "the loss")
    node = next(iter(graph.nonfinite), None)
    if node is None:
        return None
    givers = list(dict.fromkeys(label(user) for user in graph.users[node]))
    return Beginning(givers[0], f"the gradient that {' and '.join(givers)} hand{'s' * (len(givers) == 1)} on")


def _own_tensors(module: nn.Module) -> Iterator[tuple[str, Tensor]]:
    yield from module.named_parameters(recurse=False)
    if not module.training:  # a batch norm in training writes its buffers and reads none
        yield from module.named_buffers(recurse=False)


def _is_finite(tensor: Tensor) -> bool:
    return bool(np.isfinite(tensor.array).all())
