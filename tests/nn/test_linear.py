"""Linear and Identity."""

from __future__ import annotations

import numpy as np
import pytest

import gradcli
from gradcli import nn


def test_linear_is_the_affine_map():
    layer = nn.Linear(2, 3)
    layer.load_state_dict({"weight": np.array([[1, 2], [3, 4], [5, 6]]), "bias": np.array([0.5, 0, -1])})
    assert layer(gradcli.tensor([[1.0, 10.0], [0.0, 1.0]])).tolist() == [[21.5, 43, 64], [2.5, 4, 5]]
    assert layer(gradcli.tensor([1.0, 10.0])).tolist() == [21.5, 43, 64]


def test_linear_without_bias():
    layer = nn.Linear(2, 1, bias=False)
    assert layer.bias is None
    assert list(layer.state_dict()) == ["weight"]
    nn.init.ones_(layer.weight)
    assert layer(gradcli.tensor([2.0, 3.0])).tolist() == [5]
    assert repr(layer) == "Linear(in_features=2, out_features=1, bias=False)"


@pytest.mark.parametrize("in_features", [1, 4, 512])
def test_initial_values_are_uniform_within_one_over_the_root_of_in_features(in_features):
    gradcli.manual_seed(0)
    layer = nn.Linear(in_features, 2000)
    bound = 1 / in_features**0.5
    for values in (layer.weight.array, layer.bias.array):
        assert values.dtype == np.float32
        assert np.abs(values).max() <= np.float32(bound)
        assert np.abs(values).max() > 0.99 * bound
        # The mean of n uniform values has standard deviation bound / sqrt(3 n).
        assert abs(values.mean(dtype=np.float64)) < 4 * bound / (3 * values.size) ** 0.5


def test_reset_parameters_draws_anew_from_the_default_generator():
    gradcli.manual_seed(1)
    layer = nn.Linear(3, 4)
    first = layer.weight.array.copy()
    layer.reset_parameters()
    assert (layer.weight.array != first).all()
    gradcli.manual_seed(1)
    layer.reset_parameters()
    np.testing.assert_array_equal(layer.weight.array, first)


def test_identity_takes_any_settings_and_gives_back_its_input():
    layer = nn.Identity(54, unused=True)
    input = gradcli.ones(2)
    assert layer(input) is input
    assert repr(layer) == "Identity()"


def test_a_layer_without_inputs_gives_its_bias():
    layer = nn.Linear(0, 3)
    assert layer(gradcli.zeros(2, 0)).tolist() == [layer.bias.tolist()] * 2
