"""Dropout: shares, scale and gradients, types, and what is refused."""

from __future__ import annotations

import numpy as np
import pytest

import gradcli
from gradcli.nn.functional import dropout


@pytest.mark.parametrize("probability", [0.2, 0.5, 0.9])
def test_dropout_zeroes_a_share_and_scales_the_rest(probability):
    x = gradcli.ones(100, 100, requires_grad=True)
    result = dropout(x, probability)
    kept = result.array != 0
    assert abs(kept.mean() - (1 - probability)) < 0.02
    np.testing.assert_allclose(result.array[kept], 1 / (1 - probability), rtol=1e-6)
    result.sum().backward()
    np.testing.assert_array_equal(x.grad.array, result.array)


def test_dropout_outside_of_training_is_nothing():
    x = gradcli.ones(3)
    assert dropout(x, 0.5, training=False) is x
    assert dropout(x, 0.0) is x


def test_dropout_of_everything():
    x = gradcli.full((3,), 2.0, requires_grad=True)
    result = dropout(x, 1.0)
    result.sum().backward()
    assert result.tolist() == [0, 0, 0]
    assert x.grad.tolist() == [0, 0, 0]


@pytest.mark.parametrize("probability", [-0.1, 1.1])
def test_dropout_refuses_what_is_no_probability(probability):
    with pytest.raises(ValueError, match=f"between 0 and 1, but got {probability}"):
        dropout(gradcli.ones(1), probability)


def test_dropout_keeps_the_type():
    assert dropout(gradcli.ones(3, dtype=gradcli.float64), 0.5).dtype == gradcli.float64


@pytest.mark.parametrize("dtype", [gradcli.int64, gradcli.bool])
def test_dropout_of_integers_is_refused(dtype):
    with pytest.raises(RuntimeError, match=r"dropout.*(int64|bool)"):
        dropout(gradcli.ones(3, dtype=dtype))


def test_the_same_seed_keeps_the_same_elements():
    gradcli.manual_seed(3)
    first = dropout(gradcli.ones(50), 0.5).tolist()
    gradcli.manual_seed(3)
    assert dropout(gradcli.ones(50), 0.5).tolist() == first
