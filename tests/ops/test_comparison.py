"""Comparisons and logic: bool results that never require gradients, and what is refused."""

from __future__ import annotations

import math
import operator

import numpy as np
import pytest
from operation_cases import Case, Refusal, checks_of, fixed, integers, real, refusal_checks_of

import gradcli

COMPARISONS = {name: getattr(operator, name) for name in ("eq", "ne", "lt", "le", "gt", "ge")}


def constant(name, function, *inputs, expected):
    return Case(name, function, *inputs, expected=expected, differentiable=False)


CASES = [
    *[
        constant(
            f"{name} {kind}",
            lambda torch, x, y, f=function: f(x, y),
            integers(3, 2, 3),
            other,
            expected=function,
        )
        for name, function in COMPARISONS.items()
        for kind, other in (("rows", integers(3, 3)), ("0-d", fixed(1, np.int64)), ("floats", real(2, 1)))
    ],
    *[
        constant(
            f"{name} number",
            lambda torch, x, n=name: getattr(torch, n)(x, 0.25),
            real(2, 3),
            expected=lambda x, f=function: f(x, 0.25),
        )
        for name, function in COMPARISONS.items()
    ],
    constant(
        "and", lambda torch, x, y: x & y, fixed([True, True], bool), fixed([True, False], bool), expected=np.logical_and
    ),
    constant(
        "or", lambda torch, x, y: x | y, fixed([False, True], bool), fixed([False, False], bool), expected=np.logical_or
    ),
    constant("and integers", lambda torch, x: x & 6, integers(16, 5), expected=lambda x: x & 6),
    constant("or integers", lambda torch, x: 9 | x, integers(16, 5), expected=lambda x: x | 9),
    constant("not", lambda torch, x: ~x, fixed([True, False], bool), expected=np.logical_not),
    constant("not integers", lambda torch, x: torch.bitwise_not(x), integers(9, 4), expected=lambda x: -x - 1),
    constant("isnan", lambda torch, x: torch.isnan(x), fixed([1, math.nan, math.inf]), expected=np.isnan),
    constant("isfinite", lambda torch, x: torch.isfinite(x), fixed([1, math.nan, -math.inf]), expected=np.isfinite),
]

REFUSALS = [
    Refusal("sizes", lambda torch: torch.ones(2) < torch.ones(3), RuntimeError, r"tensor a \(2\)"),
    Refusal("text", lambda torch: torch.ones(2) < "a", TypeError, "str"),
    Refusal("and of floats", lambda torch: torch.ones(2) & 1, NotImplementedError, "bitwise_and.*[Ff]loat"),
    Refusal(
        "not of floats", lambda torch: torch.bitwise_not(torch.ones(2)), NotImplementedError, "bitwise_not.*[Ff]loat"
    ),
    Refusal("allclose types", lambda torch: torch.allclose(torch.ones(1), torch.tensor([1])), RuntimeError, "match"),
    Refusal("allclose sizes", lambda torch: torch.allclose(torch.ones(2), torch.ones(3)), RuntimeError, "tensor a"),
]


@pytest.mark.parametrize(("check", "case"), checks_of(CASES))
def test_operation(check, case):
    check(case)


@pytest.mark.parametrize(("check", "refusal"), refusal_checks_of(REFUSALS))
def test_refusal(check, refusal):
    check(refusal)


def test_a_tensor_equals_no_text_and_can_be_looked_for_in_a_list():
    x = gradcli.tensor([1, 2])
    assert (x == "text") is False
    assert (x != None) is True  # noqa: E711 - the operator is what is tested
    assert gradcli.tensor(1) in [gradcli.tensor(0), gradcli.tensor(1)]


def test_equal_compares_shapes_and_elements():
    assert gradcli.equal(gradcli.ones(2), gradcli.ones(2))
    assert not gradcli.equal(gradcli.ones(2), gradcli.ones(2, 1))
    assert not gradcli.equal(gradcli.ones(2), gradcli.zeros(2))


@pytest.mark.parametrize(
    ("other", "options", "expected"),
    [(1 + 1e-6, {}, True), (1.1, {}, False), (1.1, {"atol": 0.2}, True), (math.nan, {"equal_nan": True}, False)],
)
def test_allclose(other, options, expected):
    assert gradcli.allclose(gradcli.ones(2), gradcli.full((2,), other), **options) is expected
