"""Activation layers beside ReLU: each calls its function with its settings."""

from __future__ import annotations

import pytest

import gradcli
from gradcli import nn
from gradcli.nn import functional

LAYERS = [
    (nn.LeakyReLU(0.2), lambda x: functional.leaky_relu(x, 0.2), "LeakyReLU(negative_slope=0.2)"),
    (nn.SiLU(), functional.silu, "SiLU()"),
    (nn.Softplus(2.0, 0.5), lambda x: functional.softplus(x, 2.0, 0.5), "Softplus(beta=2.0, threshold=0.5)"),
    (nn.GELU("tanh"), lambda x: functional.gelu(x, approximate="tanh"), "GELU(approximate='tanh')"),
]


@pytest.mark.parametrize(("layer", "function", "text"), LAYERS)
def test_result_and_text(layer, function, text):
    x = gradcli.tensor([-2.0, -0.1, 0.0, 3.0])
    assert layer(x).tolist() == function(x).tolist()
    assert repr(layer) == text


@pytest.mark.parametrize("layer", [nn.LeakyReLU(inplace=True), nn.SiLU(inplace=True)])
def test_in_place(layer):
    x = gradcli.tensor([-2.0, 3.0])
    assert layer(x) is x
    assert x.tolist() == type(layer)()(gradcli.tensor([-2.0, 3.0])).tolist()
    assert "inplace=True" in repr(layer)


def test_smooth_l1_loss_has_its_beta():
    layer = nn.SmoothL1Loss(reduction="sum", beta=0.5)
    assert layer(gradcli.tensor([0.0, 2.0]), gradcli.tensor([0.25, 0.0])).item() == 0.0625 + 1.75
