"""Variance and standard deviation: every form of the arguments, corrections, extremes and what is refused."""

from __future__ import annotations

import math

import numpy as np
import pytest
from edge_cases import edge_checks_of
from operation_cases import Case, Refusal, checks_of, distinct, refusal_checks_of, transposed

import gradcli

#     name, PyTorch's positional arguments, its keywords, NumPy's axis, correction, keepdims
FORMS = [
    ("all", (), {}, None, 1, False),
    ("biased", (False,), {}, None, 0, False),
    ("along", (1,), {}, 1, 1, False),
    ("along biased", (-1, False, True), {}, -1, 0, True),
    ("several", ((0, 1),), {"correction": 2}, (0, 1), 2, False),
    ("keepdim", (), {"dim": None, "correction": 0, "keepdim": True}, None, 0, True),
    ("fraction", (0,), {"correction": 0.5}, 0, 0.5, False),
    ("negative", (0,), {"correction": -2}, 0, -2, False),
    ("unbiased", (0,), {"unbiased": True}, 0, 1, False),
]

FUNCTIONS = (("var", np.var), ("std", np.std))

CASES = [
    *[
        Case(
            f"{name} {form}",
            lambda torch, x, n=name, a=arguments, o=options: getattr(torch, n)(x, *a, **o),
            transposed(distinct(3, 4)),
            expected=lambda x, f=function, a=axis, c=correction, k=keepdims: f(x, axis=a, ddof=c, keepdims=k),
        )
        for name, function in FUNCTIONS
        for form, arguments, options, axis, correction, keepdims in FORMS
    ],
    *[
        Case(
            f"{name}_mean {form} {part}",
            lambda torch, x, n=name, a=arguments, o=options, p=part: getattr(torch, f"{n}_mean")(x, *a, **o)[p],
            distinct(3, 4),
            expected=lambda x, f=function, p=part, a=axis, c=correction, k=keepdims: (
                x.mean(axis=a, keepdims=k) if p else f(x, axis=a, ddof=c, keepdims=k)
            ),
        )
        for name, function in FUNCTIONS
        for form, arguments, options, axis, correction, keepdims in FORMS[2:5]
        for part in (0, 1)
    ],
    *[
        Case(
            f"both of {name}_mean",
            lambda torch, x, n=name: torch.mul(*getattr(torch, f"{n}_mean")(x, 0)),
            distinct(3, 4),
            expected=lambda x, f=function: f(x, axis=0, ddof=1) * x.mean(0),
        )
        for name, function in FUNCTIONS
    ],
]

REFUSALS = [
    Refusal("integers", lambda torch: torch.tensor([1, 2]).var(), RuntimeError, "floating point"),
    Refusal("dim", lambda torch: torch.ones(2).std(1), IndexError, r"range of \[-1, 0\], but got 1"),
    Refusal("twice", lambda torch: torch.ones(2, 2).var((0, 0)), RuntimeError, "multiple times"),
    Refusal(
        "both", lambda torch: torch.var(torch.ones(2), dim=0, unbiased=True, correction=1), TypeError, "correction"
    ),
    Refusal("bool dim", lambda torch: torch.var(torch.ones(2), True, True), TypeError, "bool"),
]


@pytest.mark.parametrize(("check", "case"), checks_of(CASES))
def test_operation(check, case):
    check(case)


@pytest.mark.parametrize(("check", "refusal"), refusal_checks_of(REFUSALS))
def test_refusal(check, refusal):
    check(refusal)


EXTREMES = [
    ("one element", lambda torch, x: x.var(), [[3.0]], [math.nan, [math.nan]]),
    ("as many as corrected", lambda torch, x: x.var(correction=2), [[3.0, 4.0]], [math.inf, [math.inf, math.inf]]),
    ("along as many", lambda torch, x: x.var(0, correction=2), [[3.0, 4.0]], [math.inf, [-math.inf, math.inf]]),
    ("equal", lambda torch, x: x.std(), [[3.0, 3.0]], [0, [0, 0]]),
    ("equal along", lambda torch, x: x.std(0), [[3.0, 3.0]], [0, [0, 0]]),
    ("nothing", lambda torch, x: x.var(), [[]], [math.nan, []]),
    ("infinite", lambda torch, x: x.std(correction=3), [[3.0, 4.0]], [math.inf, [math.nan, math.nan]]),
]


@pytest.mark.filterwarnings("ignore:.*degrees of freedom")
@pytest.mark.parametrize(("check", "edge"), edge_checks_of(EXTREMES))
def test_extreme(check, edge):
    check(*edge)


def test_of_no_rows_and_of_empty_rows():
    assert gradcli.ones(0, 3).var(1).shape == (0,)
    assert all(map(math.isnan, gradcli.ones(2, 0).std(1).tolist()))
