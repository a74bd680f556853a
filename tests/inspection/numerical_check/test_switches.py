"""Which way ReLUs and max pooling went, read from a recorded pass."""

from __future__ import annotations

import numpy as np

from gradcli import nn
from gradcli.autograd import Tensor
from gradcli.inspection.module_calls import recorded_module_calls
from gradcli.inspection.numerical_check.switches import Switch, recorded_switches, turned


def switches(model: nn.Module, values: list[float]) -> list[Switch]:
    data = Tensor(np.reshape(values, (1, 1, 2, 2)), requires_grad=True)
    with recorded_module_calls(model) as calls:
        return recorded_switches(model(data).sum(), calls)


def test_choices_of_relu_and_max_pooling() -> None:
    model = nn.Sequential(nn.ReLU(), nn.MaxPool2d(2))
    relu, pooling = switches(model, [-1.0, 3.0, 0.0, 2.0])
    assert (relu.module, pooling.module) == ("0", "1")
    assert relu.choices.tolist() == [[[[False, True], [False, True]]]]
    assert pooling.choices.tolist() == [[[[1]]]]


def test_what_turned_is_counted_by_module() -> None:
    model = nn.Sequential(nn.ReLU(), nn.MaxPool2d(2), nn.ReLU())
    before = switches(model, [-1.0, 3.0, 0.0, 2.0])
    assert turned(before, switches(model, [-2.0, 3.5, -0.1, 2.9])) == {}
    assert turned(before, switches(model, [1.0, 3.0, 0.1, 4.0])) == {"0": 2, "1": 1}
    assert turned(before, switches(model, [-1.0, -3.0, 0.0, 2.0])) == {"0": 1, "1": 1}


def test_what_no_gradient_leads_through_is_left_out() -> None:
    layer = nn.Linear(3, 3)
    model = nn.Sequential(nn.ReLU(), layer, nn.ReLU())
    with recorded_module_calls(model) as calls:
        found = recorded_switches(model(Tensor(np.ones((1, 3), np.float32))).sum(), calls)
    assert [switch.module for switch in found] == ["2"]
