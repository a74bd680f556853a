"""Norms of every order: values, gradients at zero, the nuclear norm, types and what is refused."""

from __future__ import annotations

import math

import numpy as np
import pytest
from operation_cases import Case, Refusal, checks_of, nonzero, real, refusal_checks_of

import gradcli

ORDERS = (0.5, 1, 1.5, 2, 3, 2.5, -1, -2, math.inf, -math.inf)


def vector_norm(x, order=2, axis=None, keepdims=False):
    return np.linalg.vector_norm(x, ord=order, axis=axis, keepdims=keepdims)


CASES = [
    *[
        Case(
            f"order {order} {dim} {keepdim}",
            lambda torch, x, p=order, d=dim, k=keepdim: torch.norm(x, p, d, k),
            nonzero(2, 3, 4),
            expected=lambda x, p=order, d=dim, k=keepdim: vector_norm(x, p, d, k),
        )
        for order in ORDERS
        for dim, keepdim in ((None, False), (1, False), ((0, -1), True))
    ],
    Case(
        "order 0",
        lambda torch, x: torch.norm(x.detach(), 0, 0),
        nonzero(2, 3),
        expected=lambda x: np.full(3, 2.0),
        differentiable=False,
    ),
    Case("default", lambda torch, x: x.norm(), nonzero(2, 3), expected=vector_norm),
    Case("None", lambda torch, x: x.norm(None, 0), nonzero(2, 3), expected=lambda x: vector_norm(x, 2, 0)),
    Case("fro", lambda torch, x: x.norm("fro", (0, 2)), nonzero(2, 3, 4), expected=lambda x: vector_norm(x, 2, (0, 2))),
    Case("0-d", lambda torch, x: x.norm(3), nonzero(), expected=np.abs),
    Case("of nothing", lambda torch, x: x.norm(), real(0, 3), expected=vector_norm),
    Case("along none", lambda torch, x: x.norm(-1, 1), real(0, 3), expected=lambda x: np.zeros(0)),
    *[
        Case(
            f"nuc {shape} {dim} {keepdim}",
            lambda torch, x, d=dim, k=keepdim: torch.norm(x, "nuc", d, k),
            real(*shape),
            expected=lambda x, d=dim, k=keepdim: np.linalg.norm(x, "nuc", d, k),
        )
        for shape, dim, keepdim in (
            ((3, 3), None, False),
            ((2, 4), None, True),
            ((4, 2), (0, 1), False),
            ((2, 3, 4), (2, 0), False),
            ((2, 3, 4), (0, -1), True),
        )
    ],
]

REFUSALS = [
    Refusal("integers", lambda torch: torch.norm(torch.tensor([3, 4])), RuntimeError, "floating point"),
    Refusal("as integers", lambda torch: torch.norm(torch.ones(2), dtype=torch.int64), RuntimeError, "floating point"),
    Refusal(
        "narrower", lambda torch: torch.norm(torch.ones(2).double(), dtype=torch.float32), RuntimeError, "narrowing"
    ),
    Refusal("dim", lambda torch: torch.ones(2).norm(2, 1), IndexError, "but got 1"),
    Refusal("twice", lambda torch: torch.ones(2, 2).norm(2, (0, 0)), RuntimeError, "multiple times"),
    Refusal("inf of nothing", lambda torch: torch.ones(0, 2).norm(math.inf), RuntimeError, "identity"),
    Refusal("-1 along nothing", lambda torch: torch.ones(0, 2).norm(-1, 0), RuntimeError, "identity"),
    Refusal("unknown", lambda torch: torch.ones(2, 2).norm("inf"), RuntimeError, "inf"),
    Refusal("nuc of a vector", lambda torch: torch.ones(2).norm("nuc"), RuntimeError, "2-tuple"),
    Refusal("fro of three dims", lambda torch: torch.ones(2, 2, 2).norm("fro", (0, 1, 2)), RuntimeError, "2-tuple"),
    Refusal("nuc of one dim", lambda torch: torch.ones(2, 2).norm("nuc", (0, 0)), RuntimeError, "dim"),
]


@pytest.mark.parametrize(("check", "case"), checks_of(CASES))
def test_operation(check, case):
    check(case)


@pytest.mark.parametrize(("check", "refusal"), refusal_checks_of(REFUSALS))
def test_refusal(check, refusal):
    check(refusal)


#     order, input, value, gradient
AT_ZERO = [
    (2, [0.0, 0.0], 0, [0, 0]),
    (0.5, [0.0, 1.0], 1, [0, 1]),
    (1.5, [0.0, 1.0], 1, [0, 1]),
    (1.5, [0.0, 0.0], 0, [0, 0]),
    (3, [0.0, 0.0], 0, [0, 0]),
    (-1, [0.0, 1.0], 0, [0, 0]),
    (math.inf, [2.0, -2.0], 2, [0.5, -0.5]),
    (math.inf, [0.0, 0.0], 0, [0, 0]),
    (math.inf, [math.nan, -2.0], math.nan, [0, 0]),
    (1, [math.nan, -2.0], math.nan, [0, -1]),
    (2, [math.inf, -2.0], math.inf, [math.nan, 0]),
]


@pytest.mark.parametrize(("order", "values", "value", "gradient"), AT_ZERO)
def test_gradient_where_the_norm_has_no_slope(order, values, value, gradient):
    x = gradcli.tensor(values, dtype=gradcli.float64, requires_grad=True)
    result = x.norm(order)
    result.backward()
    np.testing.assert_equal(result.item(), value)
    np.testing.assert_array_equal(np.array(x.grad.tolist()), gradient)


@pytest.mark.parity
@pytest.mark.parametrize(("order", "values", "value", "gradient"), AT_ZERO)
def test_gradient_where_the_norm_has_no_slope_is_pytorchs(order, values, value, gradient):
    torch = pytest.importorskip("torch")
    x = torch.tensor(values, dtype=torch.float64, requires_grad=True)
    result = x.norm(order)
    result.backward()
    np.testing.assert_equal(result.item(), value)
    np.testing.assert_array_equal(x.grad.numpy(), gradient)


def test_norm_of_order_zero_has_no_gradient():
    x = gradcli.tensor([0.0, 3.0], requires_grad=True)
    count = x.norm(0)
    count.backward()
    assert count.item() == 1
    assert x.grad is None


@pytest.mark.parametrize("p", [2, "nuc"])
def test_type_asked_for(p):
    x = gradcli.ones(2, 2, requires_grad=True)
    result = x.norm(p, dtype=gradcli.float64)
    result.backward()
    assert (result.dtype, x.grad.dtype) == (gradcli.float64, gradcli.float32)


def test_nuclear_norm_of_what_is_not_finite_is_refused():
    with pytest.raises(RuntimeError, match="finite"):
        gradcli.full((2, 2), math.nan).norm("nuc")
