"""Parameters as one vector, and back."""

from __future__ import annotations

import numpy as np
import pytest

import gradcli
from gradcli import nn
from gradcli.nn.utils import parameters_to_vector, vector_to_parameters


def test_there_and_back_keeps_values_and_memory_order():
    layers = nn.Sequential(nn.Conv2d(2, 3, 3), nn.Linear(4, 2))
    arrays = [parameter.array for parameter in layers.parameters()]
    vector = parameters_to_vector(layers.parameters())
    expected = np.concatenate([array.ravel() for array in arrays])
    np.testing.assert_array_equal(vector.detach().array, expected)
    vector_to_parameters(vector.detach() * 2, layers.parameters())
    np.testing.assert_array_equal(np.concatenate([array.ravel() for array in arrays]), 2 * expected)
    for parameter, array in zip(layers.parameters(), arrays, strict=True):
        assert parameter.array is array
        assert parameter.requires_grad


def test_the_vector_has_the_parameters_history():
    layer = nn.Linear(2, 3)
    (parameters_to_vector(layer.parameters()) * 2).sum().backward()
    assert layer.weight.grad.tolist() == [[2, 2]] * 3


def test_vectors_that_do_not_fit_change_nothing():
    layer = nn.Linear(2, 3)
    before = layer.weight.array.copy()
    with pytest.raises(ValueError, match="a vector of 8 elements for parameters of 9"):
        vector_to_parameters(gradcli.zeros(8), layer.parameters())
    with pytest.raises(TypeError, match="expected a Tensor, but got list"):
        vector_to_parameters([0.0] * 9, layer.parameters())
    np.testing.assert_array_equal(layer.weight.array, before)
