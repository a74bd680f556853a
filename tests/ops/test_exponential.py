"""Exponentials and logarithms: values, gradients, precision near zero, and what they give outside of their domain."""

from __future__ import annotations

import math

import numpy as np
import pytest
from operation_cases import Case, Draw, checks_of, fixed, positive, real
from unary_cases import cases_of, function_checks_of

import gradcli


def fractions(*shape: int) -> Draw:
    """Numbers in [0.1, 0.9)."""
    return lambda generator: np.asarray(generator.uniform(0.1, 0.9, shape))


CASES = [
    *cases_of("exp", real, np.exp),
    *cases_of("exp2", real, lambda x: 2.0**x),
    *cases_of("expm1", real, np.expm1),
    *cases_of("log", positive, np.log),
    *cases_of("log10", positive, lambda x: np.log(x) / np.log(10)),
    *cases_of("log1p", positive, np.log1p),
    *cases_of("log2", positive, lambda x: np.log(x) / np.log(2)),
    *cases_of("logit", fractions, lambda x: -np.log(1 / x - 1)),
    *[
        Case(
            f"logit with eps {eps}",
            lambda torch, x, eps=eps: torch.logit(x, eps),
            fixed([0.0, 0.05, 0.2, 0.7, 0.97, 1.0, 2.0]),
            expected=lambda x, low=low, high=high: -np.log(1 / np.clip(x, low, high) - 1),
        )
        for eps, low, high in [(0.1, 0.1, 0.9), (0.4, 0.4, 0.6)]
    ],
]
NAMES = ["logit", "exp", "exp2", "expm1", "log", "log10", "log1p", "log2"]

INF, NAN, LOG_2, LOG_10 = math.inf, math.nan, math.log(2), math.log(10)
EDGES = [
    ("exp", [1000.0, -1000.0, INF, -INF, NAN, 0.0], [INF, 0, INF, 0, NAN, 1], [INF, 0, INF, 0, NAN, 1]),
    ("exp2", [2000.0, -2000.0, -INF, NAN, 3.0], [INF, 0, 0, NAN, 8], [INF, 0, 0, NAN, 8 * LOG_2]),
    ("expm1", [1000.0, -1000.0, -INF, NAN, 0.0, -0.0], [INF, -1, -1, NAN, 0, 0], [INF, 0, 0, NAN, 1, 1]),
    ("log", [0.0, -0.0, -1.0, INF, NAN, 1.0], [-INF, -INF, NAN, INF, NAN, 0], [INF, -INF, -1, 0, NAN, 1]),
    ("log10", [0.0, -1.0, INF, NAN, 100.0], [-INF, NAN, INF, NAN, 2], [INF, -1 / LOG_10, 0, NAN, 0.01 / LOG_10]),
    ("log1p", [-1.0, -2.0, INF, NAN, 0.0], [-INF, NAN, INF, NAN, 0], [INF, -1, 0, NAN, 1]),
    ("logit", [0.0, 1.0, -1.0, 2.0, NAN, 0.5], [-INF, INF, NAN, NAN, NAN, 0], [INF, INF, NAN, NAN, NAN, 4]),
    ("log2", [0.0, -1.0, INF, NAN, 8.0], [-INF, NAN, INF, NAN, 3], [INF, -1 / LOG_2, 0, NAN, 1 / (8 * LOG_2)]),
]


@pytest.mark.parametrize(("check", "case"), checks_of(CASES))
def test_operation(check, case):
    check(case)


@pytest.mark.parametrize(
    ("check", "arguments"), function_checks_of(EDGES, as_float32=NAMES, in_place=NAMES, at=[0.5, 2.0])
)
def test_function(check, arguments):
    check(*arguments)


def test_small_numbers_keep_their_digits():
    x = gradcli.tensor([1e-20, -1e-20], dtype=gradcli.float64)
    assert x.expm1().tolist() == x.log1p().tolist() == [1e-20, -1e-20]


@pytest.mark.parametrize(("eps", "expected"), [(0.6, [0.6, 0.6, 0.4, 0.4]), (-0.1, [0.0, 0.2, 1.0, 2.0])])
def test_logit_with_an_eps_that_leaves_nothing_or_everything(eps, expected):
    result = gradcli.tensor([0.0, 0.2, 1.0, 2.0]).logit(eps)
    np.testing.assert_array_equal(result.tolist(), gradcli.tensor(expected).logit().tolist())


def test_large_arrays_are_computed_in_their_memory_order():
    x = np.random.RandomState(0).standard_normal((600, 700)).T
    result = gradcli.tensor(x).exp().numpy()
    np.testing.assert_allclose(result, np.exp(x), rtol=1e-15)
