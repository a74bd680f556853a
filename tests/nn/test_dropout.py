"""Dropout."""

from __future__ import annotations

import math

import numpy as np
import pytest

import gradcli
from gradcli import nn


@pytest.mark.parametrize("p", [0.1, 0.5, 0.9])
def test_elements_are_zeroed_with_probability_p_and_others_scaled(p):
    gradcli.manual_seed(0)
    count = 100_000
    output = nn.Dropout(p)(gradcli.full((count,), 2.0)).numpy()
    zeroed = np.count_nonzero(output == 0)
    # Within four standard deviations of a binomial count.
    assert abs(zeroed - p * count) < 4 * math.sqrt(count * p * (1 - p))
    np.testing.assert_allclose(output[output != 0], 2 / (1 - p), rtol=1e-6)


def test_the_gradient_passes_where_elements_did():
    gradcli.manual_seed(0)
    input = gradcli.ones(1000, requires_grad=True)
    output = nn.Dropout(0.5)(input)
    output.sum().backward()
    np.testing.assert_array_equal(input.grad.numpy(), output.detach().numpy())


def test_draws_repeat_with_the_seed_and_differ_from_call_to_call():
    layer, input = nn.Dropout(), gradcli.ones(64)
    gradcli.manual_seed(3)
    first, second = layer(input).tolist(), layer(input).tolist()
    gradcli.manual_seed(3)
    assert layer(input).tolist() == first
    assert second != first


def test_evaluation_and_p_zero_pass_everything_through():
    input = gradcli.tensor([1.0, 2.0])
    assert nn.Dropout().eval()(input) is input
    assert nn.Dropout(0)(input).tolist() == [1, 2]


def test_p_one_leaves_nothing():
    assert nn.Dropout(1)(gradcli.tensor([1.0, 2.0])).tolist() == [0, 0]


@pytest.mark.parametrize("p", [-0.1, 1.5, math.nan])
def test_p_has_to_be_a_probability(p):
    with pytest.raises(ValueError, match=f"dropout probability has to be between 0 and 1, but got {p}"):
        nn.Dropout(p)


def test_text():
    assert repr(nn.Dropout(0.2, inplace=True)) == "Dropout(p=0.2, inplace=True)"
