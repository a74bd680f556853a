"""States of optimizers through a safetensors file and JSON: training goes on to the same bits."""

from __future__ import annotations

import json
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
from safetensors.numpy import load, save

import gradcli
from gradcli import nn, optim
from gradcli.optim.state_arrays import join_state, split_state


def sgd(groups: Any) -> optim.Optimizer:
    return optim.SGD(groups, lr=0.1, momentum=0.9, weight_decay=0.01)


def adamw(groups: Any) -> optim.Optimizer:
    return optim.AdamW(groups, lr=0.1, amsgrad=True)


def plain_sgd(groups: Any) -> optim.Optimizer:
    return optim.SGD(groups, lr=0.1)


def model() -> nn.Sequential:
    gradcli.manual_seed(0)
    return nn.Sequential(nn.Conv2d(3, 4, 3), nn.Conv2d(4, 2, 1), nn.Flatten(), nn.Linear(8, 3))


def optimizer_of(layers: nn.Module, make: Callable[[Any], optim.Optimizer]) -> optim.Optimizer:
    *body, head, bias = layers.parameters()
    return make([{"params": body}, {"params": [head, bias], "lr": 0.3}])


def train(layers: nn.Module, optimizer: optim.Optimizer, seeds: range) -> None:
    for seed in seeds:
        images = np.random.default_rng(seed).normal(size=(5, 3, 4, 4)).astype(np.float32)
        optimizer.zero_grad()
        layers(gradcli.from_numpy(images)).square().sum().backward()
        optimizer.step()


@pytest.mark.parametrize("make", [sgd, adamw, plain_sgd])
def test_training_goes_on_to_the_same_bits(make):
    straight, stopped, resumed = model(), model(), model()
    train(straight, optimizer_of(straight, make), range(6))

    first = optimizer_of(stopped, make)
    train(stopped, first, range(3))
    first.param_groups[1]["lr"] = 0.1 * 3  # no short decimal: JSON keeps it to the bit all the same
    arrays, rest = split_state(first.state_dict())
    data = save({name: np.ascontiguousarray(array) for name, array in arrays.items()})
    text = json.dumps(rest, allow_nan=False)
    resumed.load_state_dict(stopped.state_dict())

    second = optimizer_of(resumed, lambda groups: make([{**group, "lr": 7.0} for group in groups]))
    second.load_state_dict(join_state(load(data), json.loads(text)))
    assert repr(second) == repr(first)
    assert second.param_groups[1]["lr"] == 0.1 * 3
    second.param_groups[1]["lr"] = 0.3
    train(resumed, second, range(3, 6))
    for one, other in zip(straight.parameters(), resumed.parameters(), strict=True):
        np.testing.assert_array_equal(one.array, other.array)


def test_arrays_are_named_after_number_and_entry():
    layers = model()
    optimizer = optimizer_of(layers, adamw)
    train(layers, optimizer, range(1))
    arrays, rest = split_state(optimizer.state_dict())
    names = ("step", "exp_avg", "exp_avg_sq", "max_exp_avg_sq")
    assert set(arrays) == {f"{number}.{name}" for number in range(6) for name in names}
    assert arrays["0.step"].shape == ()
    assert rest["state"] == {str(number): {} for number in range(6)}
    assert [group["params"] for group in rest["param_groups"]] == [[0, 1, 2, 3], [4, 5]]


def test_what_is_no_array_stays_with_the_rest():
    arrays, rest = split_state({"state": {3: {"note": "x", "mean": np.ones(2)}}, "param_groups": []})
    assert list(arrays) == ["3.mean"]
    assert rest == {"state": {"3": {"note": "x"}}, "param_groups": []}
    assert join_state(arrays, rest)["state"]["3"]["note"] == "x"
