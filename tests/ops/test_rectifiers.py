"""Activation functions with a kink: values, gradients at the kink, in place, refusals."""

from __future__ import annotations

import math

import numpy as np
import pytest
from operation_cases import Case, Refusal, checks_of, nonzero, refusal_checks_of, transposed

import gradcli
from gradcli.nn import functional

CASES = [
    *[
        Case(
            f"leaky_relu {slope} {name}",
            lambda torch, x, s=slope: torch.nn.functional.leaky_relu(x, s),
            draw,
            expected=lambda x, s=slope: np.where(x > 0, x, s * x),
        )
        for slope in (0.01, 0.0, -0.5)
        for name, draw in (("plane", nonzero(2, 3)), ("0-d", nonzero()))
    ],
    Case(
        "leaky_relu transposed",
        lambda torch, x: torch.nn.functional.leaky_relu(x),
        transposed(nonzero(2, 3)),
        expected=lambda x: np.where(x > 0, x, 0.01 * x),
    ),
    *[
        Case(
            f"elu {alpha}",
            lambda torch, x, a=alpha: torch.nn.functional.elu(x, a),
            nonzero(2, 3),
            expected=lambda x, a=alpha: np.where(x > 0, x, a * (np.exp(x) - 1)),
        )
        for alpha in (1.0, 0.3)
    ],
    Case(
        "hardtanh",
        lambda torch, x: torch.nn.functional.hardtanh(x * 0.99),
        nonzero(2, 3),
        expected=lambda x: np.clip(x * 0.99, -1, 1),
    ),
    Case(
        "hardtanh uneven",
        lambda torch, x: torch.nn.functional.hardtanh(x, -1.9, 0.3),
        nonzero(2, 3),
        expected=lambda x: np.clip(x, -1.9, 0.3),
    ),
    Case("leaky_relu empty", lambda torch, x: torch.nn.functional.leaky_relu(x), nonzero(0, 3), expected=np.copy),
]

REFUSALS = [
    *[
        Refusal(
            f"{name} integers",
            lambda torch, n=name: getattr(torch.nn.functional, n)(torch.tensor([1])),
            NotImplementedError,
            f"{name}.*int64",
        )
        for name in ("leaky_relu", "elu")
    ],
    Refusal(
        "hardtanh bools",
        lambda torch: torch.nn.functional.hardtanh(torch.tensor([True])),
        RuntimeError,
        "Bool inputs",
    ),
    Refusal(
        "hardtanh bounds",
        lambda torch: torch.nn.functional.hardtanh(torch.ones(2), 1.0, -1.0),
        ValueError,
        "min_val cannot be greater",
    ),
]


@pytest.mark.parametrize(("check", "case"), checks_of(CASES))
def test_operation(check, case):
    check(case)


@pytest.mark.parametrize(("check", "refusal"), refusal_checks_of(REFUSALS))
def test_refusal(check, refusal):
    check(refusal)


AT = [-math.inf, -1.0, 0.0, 1.0, math.inf, math.nan]
EDGES = [
    ("leaky_relu", [-math.inf, -0.01, 0.0, 1.0, math.inf, math.nan], [0.01, 0.01, 0.01, 1.0, 1.0, 0.01]),
    ("elu", [-1.0, math.expm1(-1), 0.0, 1.0, math.inf, math.nan], [0.0, math.exp(-1), 1.0, 1.0, 1.0, 1.0]),
    ("hardtanh", [-1.0, -1.0, 0.0, 1.0, 1.0, math.nan], [0.0, 0.0, 1.0, 0.0, 0.0, 1.0]),
]


@pytest.mark.parametrize(("name", "value", "gradient"), EDGES)
def test_value_and_gradient_at_the_edge(name, value, gradient):
    x = gradcli.tensor(AT, requires_grad=True)
    result = getattr(functional, name)(x)
    result.sum().backward()
    np.testing.assert_allclose(result.tolist(), value, rtol=1e-6)
    np.testing.assert_allclose(x.grad.tolist(), gradient, rtol=1e-6)


@pytest.mark.parity
@pytest.mark.parametrize("name", [edge[0] for edge in EDGES])
def test_parity_at_the_edge(name):
    torch = pytest.importorskip("torch")
    results = []
    for module in (gradcli, torch):
        x = module.tensor(AT, requires_grad=True)
        result = getattr(module.nn.functional, name)(x)
        result.sum().backward()
        results.append([result.tolist(), x.grad.tolist()])
    np.testing.assert_allclose(*results, rtol=1e-6)


def test_hardtanh_of_integers_stays_integer():
    result = functional.hardtanh(gradcli.tensor([-3, 0, 3]), -2, 2)
    assert (result.tolist(), result.dtype) == ([-2, 0, 2], gradcli.int64)
