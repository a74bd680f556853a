"""AdamW: weight decay beside the means, and defaults."""

from __future__ import annotations

import pytest

import gradcli
from gradcli import nn, optim


@pytest.mark.parametrize("maximize", [False, True])
def test_weight_decay_shrinks_and_leaves_the_means_alone(maximize):
    weight = nn.Parameter(gradcli.tensor([2.0]))
    optimizer = optim.AdamW([weight], lr=0.1, weight_decay=0.5, maximize=maximize)
    weight.grad = gradcli.tensor([3.0])
    optimizer.step()
    assert weight.item() == pytest.approx(2.0 * 0.95 + (0.1 if maximize else -0.1))
    assert optimizer.state[weight]["exp_avg"].item() == pytest.approx(-0.3 if maximize else 0.3)


def test_defaults():
    optimizer = optim.AdamW([nn.Parameter(gradcli.ones(1))])
    (group,) = optimizer.param_groups
    assert (group["lr"], group["betas"], group["eps"], group["weight_decay"]) == (1e-3, (0.9, 0.999), 1e-8, 1e-2)
    assert isinstance(optimizer, optim.Adam)


def test_without_weight_decay_it_is_adam():
    weights = [nn.Parameter(gradcli.tensor([2.0])) for _ in range(2)]
    optimizers = [optim.Adam(weights[:1]), optim.AdamW(weights[1:], weight_decay=0)]
    for gradient in (1.0, -3.0, 0.5):
        for weight, optimizer in zip(weights, optimizers, strict=True):
            weight.grad = gradcli.tensor([gradient])
            optimizer.step()
    assert weights[0].item() == weights[1].item()
