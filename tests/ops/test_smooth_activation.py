"""Smooth activation functions: values, gradients, saturation, refusals."""

from __future__ import annotations

import math

import numpy as np
import pytest
from operation_cases import Case, Refusal, checks_of, nonzero, real, refusal_checks_of, strided

import gradcli
from gradcli.nn import functional


def normal_distribution(x):
    return np.vectorize(lambda value: 0.5 * math.erfc(-value / math.sqrt(2)), otypes=[np.float64])(x)


def tanh_gelu(x):
    return 0.5 * x * (1 + np.tanh(math.sqrt(2 / math.pi) * (x + 0.044715 * x**3)))


#     name, options, the function
FUNCTIONS = [
    ("silu", {}, lambda x: x / (1 + np.exp(-x))),
    ("softplus", {}, lambda x: np.log(1 + np.exp(x))),
    ("softplus", {"beta": 3, "threshold": 0.2}, lambda x: np.where(3 * x > 0.2, x, np.log(1 + np.exp(3 * x)) / 3)),
    ("softplus", {"beta": -0.5}, lambda x: np.log(1 + np.exp(-0.5 * x)) / -0.5),
    ("logsigmoid", {}, lambda x: -np.log(1 + np.exp(-x))),
    ("gelu", {}, lambda x: x * normal_distribution(x)),
    ("gelu", {"approximate": "tanh"}, tanh_gelu),
]

CASES = [
    Case(
        f"{name} {options} {shape}",
        lambda torch, x, n=name, o=options: getattr(torch.nn.functional, n)(x, **o),
        draw,
        expected=expected,
    )
    for name, options, expected in FUNCTIONS
    for shape, draw in (("plane", strided(nonzero(2, 3))), ("0-d", real()), ("empty", real(0, 3)))
]

REFUSALS = [
    *[
        Refusal(
            f"{name} integers",
            lambda torch, n=name: getattr(torch.nn.functional, n)(torch.tensor([1])),
            NotImplementedError,
            f"{name}.*int64",
        )
        for name in ("silu", "softplus", "logsigmoid", "gelu")
    ],
    Refusal(
        "gelu approximation",
        lambda torch: torch.nn.functional.gelu(torch.ones(2), approximate="sigmoid"),
        RuntimeError,
        "none or tanh.*sigmoid",
    ),
]


@pytest.mark.parametrize(("check", "case"), checks_of(CASES))
def test_operation(check, case):
    check(case)


@pytest.mark.parametrize(("check", "refusal"), refusal_checks_of(REFUSALS))
def test_refusal(check, refusal):
    check(refusal)


EDGES = [
    ("silu", [-1e4, 0.0, 1e4], [0.0, 0.0, 1e4], [0.0, 0.5, 1.0]),
    ("softplus", [-1e4, 25.0, 1e4], [0.0, 25.0, 1e4], [0.0, 1.0, 1.0]),
    ("logsigmoid", [-1e4, 0.0, 1e4, -math.inf, math.inf], [-1e4, -math.log(2), 0, -math.inf, 0], [1, 0.5, 0, 1, 0]),
    ("gelu", [-1e4, 0.0, 1e4], [0.0, 0.0, 1e4], [0.0, 0.5, 1.0]),
]


@pytest.mark.parametrize(("name", "at", "value", "gradient"), EDGES)
def test_value_and_gradient_far_out(name, at, value, gradient):
    x = gradcli.tensor(at, requires_grad=True)
    result = getattr(functional, name)(x)
    result.sum().backward()
    np.testing.assert_allclose(result.tolist(), value, rtol=1e-6)
    np.testing.assert_allclose(x.grad.tolist(), gradient, rtol=1e-6)


@pytest.mark.parametrize("name", ["softplus", "silu", "gelu", "logsigmoid"])
def test_second_gradient_far_out_is_a_number(name):
    x = gradcli.tensor([-300.0, 300.0], requires_grad=True)
    getattr(functional, name)(x).sum().backward(create_graph=True)
    first, x.grad = x.grad, None
    first.sum().backward()
    np.testing.assert_allclose(x.grad.tolist(), [0.0, 0.0], atol=1e-30)
