"""The layer of layer normalization: its parameters, and what it computes with them."""

from __future__ import annotations

import numpy as np
import pytest

import gradcli
from gradcli import nn


@pytest.mark.parametrize("shape", [4, [4], (3, 4)])
def test_parameters_have_the_normalized_shape_and_are_applied(shape):
    layer = nn.LayerNorm(shape)
    assert layer.weight.shape == layer.bias.shape == layer.normalized_shape
    x = gradcli.rand(2, 3, 4)
    with gradcli.no_grad():
        layer.weight.fill_(2.0)
        layer.bias.fill_(1.0)
    axes = tuple(range(-len(layer.normalized_shape), 0))
    out = layer(x).detach().numpy()
    np.testing.assert_allclose(out.mean(axes), 1.0, atol=1e-5)
    np.testing.assert_allclose(out.std(axes), 2.0, rtol=1e-3)


def test_bias_and_both_can_be_left_out():
    assert list(nn.LayerNorm(4, bias=False).state_dict()) == ["weight"]
    assert list(nn.LayerNorm(4, elementwise_affine=False).state_dict()) == []


def test_text():
    assert repr(nn.LayerNorm([3, 4])) == "LayerNorm((3, 4), eps=1e-05, elementwise_affine=True)"
