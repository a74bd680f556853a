"""Where NaN and infinity begin: in a module's own numbers, in what it gives, in the loss, on the way back."""

from __future__ import annotations

import numpy as np

from gradcli import nn
from gradcli.autograd import Tensor
from gradcli.inspection.gradients.loss_graph import LossGraph
from gradcli.inspection.gradients.nonfinite_gradients import (
    Beginning,
    beginning_behind_modules,
    beginning_in_forward,
)
from gradcli.inspection.module_calls import recorded_module_calls


def beginnings(model: nn.Module, factor: float = 1.0) -> tuple[Beginning | None, Beginning | None]:
    """In the pass forward, and behind the modules."""
    with np.errstate(over="ignore", invalid="ignore"):
        with recorded_module_calls(model, keep_results=True) as calls:
            loss = (model(Tensor(np.ones((2, 2), np.float32))) * factor).sum()
        graph = LossGraph(loss)
        graph.backward(loss)
    return beginning_in_forward(model, calls), beginning_behind_modules(loss, graph, calls.place)


def network() -> nn.Sequential:
    model = nn.Sequential(nn.Linear(2, 2), nn.ReLU(), nn.Linear(2, 2))
    for parameter in model.parameters():
        parameter.array[...] = 1
    return model


def test_all_is_finite() -> None:
    assert beginnings(network()) == (None, None)


def test_a_modules_own_parameter_comes_before_what_it_gives() -> None:
    model = network()
    model[0].bias.array[1] = np.inf
    model[2].weight.array[0] = np.nan
    assert beginnings(model)[0] == Beginning("0.bias", "0.bias")
    model = network()
    model[0].weight.array[...] = 3e38
    assert beginnings(model)[0] == Beginning("0", "what 0 gives")


def test_behind_the_modules() -> None:
    assert beginnings(network(), float("inf")) == (None, Beginning("loss", "the loss"))
    model = network()
    model[0].weight.array[...] = 1e-38
    model[0].bias.array[...] = 1e-38
    model[2].weight.array[...] = 1e20
    assert beginnings(model, 1e19) == (None, Beginning("2", "the gradient that 2 hands on"))
