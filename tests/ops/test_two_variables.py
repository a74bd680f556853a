"""Elementary functions of two variables: values, gradients, at the origin and at infinity, and what is refused."""

from __future__ import annotations

import math

import binary_cases
import numpy as np
import pytest
from binary_cases import check_in_place
from edge_cases import edge_checks_of
from operation_cases import Refusal, checks_of, nonzero, real, refusal_checks_of

import gradcli

INF, NAN, PI = math.inf, math.nan, math.pi

CASES = [
    *binary_cases.cases_of("atan2", nonzero, nonzero, np.arctan2),
    *binary_cases.cases_of("logaddexp", real, real, lambda x, y: np.log(np.exp(x) + np.exp(y))),
]

REFUSALS = [
    Refusal("atan2 of a number", lambda torch: torch.atan2(torch.ones(2), 1), TypeError, "other.*int"),
    Refusal("atan2 with a number", lambda torch: torch.atan2(1, torch.ones(2)), TypeError, "input.*int"),
    Refusal("atan2 sizes", lambda torch: torch.atan2(torch.ones(2), torch.ones(3)), RuntimeError, r"tensor a \(2\)"),
    Refusal("logaddexp of a number", lambda torch: torch.logaddexp(torch.ones(2), 1), TypeError, "other.*int"),
    Refusal(
        "logaddexp of integers",
        lambda torch: torch.logaddexp(torch.tensor([1]), torch.tensor([2])),
        NotImplementedError,
        "logaddexp",
    ),
    Refusal("logaddexp sizes", lambda torch: torch.logaddexp(torch.ones(2), torch.ones(3)), RuntimeError, "tensor a"),
]

EDGES = [
    (
        "atan2",
        lambda torch, y, x: torch.atan2(y, x),
        [[0.0, 0.0, -0.0, 1.0, -1.0, INF, NAN], [0.0, -1.0, -1.0, 0.0, 0.0, 1.0, 1.0]],
        [[0, PI, -PI, PI / 2, -PI / 2, PI / 2, NAN], [0, -1, -1, 0, 0, 0, NAN], [0, 0, 0, -1, 1, NAN, NAN]],
    ),
    (
        "logaddexp",
        lambda torch, x, y: torch.logaddexp(x, y),
        [[0.0, INF, -INF, INF, -INF, NAN, 1000.0], [0.0, INF, -INF, -INF, 1.0, 1.0, -1000.0]],
        [[math.log(2), INF, -INF, INF, 1, NAN, 1000], [0.5, NAN, NAN, 1, 0, NAN, 1], [0.5, NAN, NAN, 0, 1, NAN, 0]],
    ),
]


@pytest.mark.parametrize(("check", "case"), checks_of(CASES))
def test_operation(check, case):
    check(case)


@pytest.mark.parametrize(("check", "refusal"), refusal_checks_of(REFUSALS))
def test_refusal(check, refusal):
    check(refusal)


@pytest.mark.parametrize(("check", "edge"), edge_checks_of(EDGES))
def test_edge(check, edge):
    check(*edge)


@pytest.mark.parametrize("name", ["atan2", "arctan2"])
def test_in_place(name):
    check_in_place(name, gradcli.tensor([3.0, -1.0], dtype=gradcli.float64), at=[1.5, 2.0])


def test_atan2_of_integers_is_float32():
    result = gradcli.atan2(gradcli.tensor([1]), gradcli.tensor([-1]))
    assert result.dtype == gradcli.float32
    np.testing.assert_allclose(result.tolist(), [3 * PI / 4], rtol=1e-6)


def test_the_second_gradient_of_logaddexp_stays_finite_far_apart():
    x = gradcli.tensor([1000.0], requires_grad=True)
    y = gradcli.tensor([-1000.0], requires_grad=True)
    gradcli.logaddexp(x, y).backward(create_graph=True)
    first = y.grad
    x.grad = y.grad = None
    first.backward()
    assert (x.grad.item(), y.grad.item()) == (0, 0)
