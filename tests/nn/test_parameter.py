"""Parameter: a leaf that requires gradients."""

from __future__ import annotations

import numpy as np
import pytest

import gradcli
from gradcli import nn


def test_it_is_a_leaf_that_requires_gradients_and_shares_memory():
    tensor = gradcli.tensor([1.0, 2.0])
    parameter = nn.Parameter(tensor)
    assert isinstance(parameter, gradcli.Tensor)
    assert parameter.requires_grad
    assert parameter.is_leaf
    assert parameter.array is tensor.array
    assert not nn.Parameter(np.ones(2, np.float32), requires_grad=False).requires_grad


def test_results_are_tensors_and_gradients_arrive():
    parameter = nn.Parameter(gradcli.tensor([1.0, 2.0]))
    result = (parameter * 3).sum()
    assert not isinstance(result, nn.Parameter)
    result.backward()
    assert parameter.grad.tolist() == [3, 3]


def test_a_parameter_of_a_computed_tensor_starts_a_graph_of_its_own():
    source = gradcli.tensor([1.0, 2.0], requires_grad=True)
    assert nn.Parameter(source * 2).grad_fn is None


def test_integers_cannot_be_parameters():
    with pytest.raises(RuntimeError, match="floating point"):
        nn.Parameter(gradcli.tensor([1, 2]))


def test_text():
    assert repr(nn.Parameter(gradcli.tensor([1.0, 2.0]))) == (
        "Parameter containing:\ntensor([1., 2.], requires_grad=True)"
    )
