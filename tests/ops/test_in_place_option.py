"""The option `inplace` of functions of layers: the same values and gradients, in the input's own memory."""

from __future__ import annotations

import numpy as np
import pytest

import gradcli
from gradcli.nn import functional

FUNCTIONS = {
    "relu": functional.relu,
    "leaky_relu": functional.leaky_relu,
    "elu": functional.elu,
    "hardtanh": functional.hardtanh,
    "silu": functional.silu,
    "dropout": lambda x, inplace: functional.dropout(x, 1.0, inplace=inplace),
}


@pytest.mark.parametrize("name", FUNCTIONS)
def test_the_result_is_the_input_with_the_same_gradient(name):
    outcomes = []
    for inplace in (False, True):
        x = gradcli.tensor([-2.0, -0.5, 0.5, 2.0], requires_grad=True)
        within = x * 1
        result = FUNCTIONS[name](within, inplace=inplace)
        assert (result is within) == inplace
        result.backward(gradcli.tensor([1.0, 2.0, 3.0, 4.0]))
        outcomes.append([result.tolist(), x.grad.tolist()])
    np.testing.assert_array_equal(*outcomes)


@pytest.mark.parametrize("name", FUNCTIONS)
def test_a_leaf_that_requires_gradients_is_refused(name):
    with pytest.raises(RuntimeError, match="leaf"):
        FUNCTIONS[name](gradcli.ones(2, requires_grad=True), inplace=True)
