"""Activation functions: values, gradients, saturation, ties at zero."""

from __future__ import annotations

import math

import numpy as np
import pytest
from operation_cases import Case, checks_of, nonzero, real, strided, transposed
from unary_cases import check_in_place

import gradcli


def logistic(x):
    return 1 / (1 + np.exp(-x))


CASES = [
    Case("relu", lambda torch, x: torch.relu(x), nonzero(2, 3), expected=lambda x: x * (x > 0)),
    Case("relu method", lambda torch, x: x.relu(), transposed(nonzero(2, 3)), expected=lambda x: x * (x > 0)),
    Case("relu 0-d", lambda torch, x: torch.nn.functional.relu(x), nonzero(), expected=lambda x: x * (x > 0)),
    Case("relu empty", lambda torch, x: torch.relu(x), nonzero(0, 3), expected=np.copy),
    Case("sigmoid", lambda torch, x: torch.sigmoid(x), real(2, 3), expected=logistic),
    Case("sigmoid strided", lambda torch, x: x.sigmoid(), strided(real(2, 3)), expected=logistic),
    Case("sigmoid 0-d", lambda torch, x: x.sigmoid(), real(), expected=logistic),
    Case("tanh", lambda torch, x: torch.tanh(x), real(2, 3), expected=np.tanh),
    Case("tanh empty", lambda torch, x: x.tanh(), real(2, 0), expected=np.tanh),
]


@pytest.mark.parametrize(("check", "case"), checks_of(CASES))
def test_operation(check, case):
    check(case)


@pytest.mark.parametrize("values", [[True], [False, True]])
def test_relu_refuses_bools(values):
    with pytest.raises(RuntimeError, match="Boolean inputs not supported for relu"):
        gradcli.relu(gradcli.tensor(values))


EDGES = [
    ("relu", [0.0, -0.0, math.nan, math.inf, -math.inf], [0, 0, math.nan, math.inf, 0], [0, 0, 1, 1, 0]),
    ("sigmoid", [1000.0, -1000.0, math.inf, -math.inf], [1, 0, 1, 0], [0, 0, 0, 0]),
    ("tanh", [1000.0, -1000.0, math.inf], [1, -1, 1], [0, 0, 0]),
]


@pytest.mark.parametrize(("name", "at", "value", "gradient"), EDGES)
def test_value_and_gradient_at_the_edge(name, at, value, gradient):
    x = gradcli.tensor(at, requires_grad=True)
    result = getattr(gradcli, name)(x)
    result.backward(gradcli.ones_like(result))
    np.testing.assert_allclose(result.tolist(), value, atol=1e-30)
    np.testing.assert_allclose(x.grad.tolist(), gradient, atol=1e-30)


@pytest.mark.parity
@pytest.mark.parametrize(("name", "at"), [edge[:2] for edge in EDGES])
def test_parity_of_value_and_gradient_at_the_edge(name, at):
    torch = pytest.importorskip("torch")
    results = []
    for module in (gradcli, torch):
        x = module.tensor(at, requires_grad=True)
        result = getattr(module, name)(x)
        result.backward(module.ones_like(result))
        results.append((result.tolist(), x.grad.tolist()))
    np.testing.assert_allclose(*results, atol=1e-30)


def test_relu_of_integers_stays_integer():
    assert gradcli.relu(gradcli.tensor([-2, 3])).tolist() == [0, 3]
    assert gradcli.relu(gradcli.tensor([-2, 3])).dtype == gradcli.int64


@pytest.mark.parametrize("name", ["relu", "sigmoid", "tanh"])
def test_in_place(name):
    check_in_place(name, [0.25, -2.0])


@pytest.mark.parametrize("name", ["sigmoid", "tanh"])
def test_large_arrays_give_what_small_ones_do(name):
    x = np.random.RandomState(0).standard_normal((600, 700)).T
    result = getattr(gradcli, name)(gradcli.tensor(x)).numpy()
    expected = logistic(x) if name == "sigmoid" else np.tanh(x)
    np.testing.assert_allclose(result, expected, rtol=1e-15)
