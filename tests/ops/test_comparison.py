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
    constant(
        "isclose",
        lambda torch, x, y: torch.isclose(x, y, rtol=0.1, atol=0.2),
        real(20, 3),
        real(3),
        expected=lambda x, y: abs(x - y) <= 0.2 + 0.1 * abs(y),
    ),
    constant(
        "isclose integers",
        lambda torch, x, y: x.isclose(y, atol=1.0),
        integers(5, 20),
        fixed(2, np.int64),
        expected=lambda x, y: abs(x - y) <= 1,
    ),
    constant(
        "isclose bools",
        lambda torch, x, y: torch.isclose(x, y),
        fixed([True, True], bool),
        fixed([True, False], bool),
        expected=np.equal,
    ),
    *(
        constant(
            f"isclose inf and nan {equal_nan}",
            lambda torch, x, y, e=equal_nan: torch.isclose(x, y, equal_nan=e),
            fixed([math.inf, math.inf, -math.inf, math.nan, math.nan, 1.0]),
            fixed([math.inf, 1.0, math.inf, math.nan, 1.0, math.inf]),
            expected=lambda x, y, e=equal_nan: np.array([True, False, False, e, False, False]),
        )
        for equal_nan in (False, True)
    ),
    constant("isnan", lambda torch, x: torch.isnan(x), fixed([1, math.nan, math.inf]), expected=np.isnan),
    constant("isfinite", lambda torch, x: torch.isfinite(x), fixed([1, math.nan, -math.inf]), expected=np.isfinite),
]

REFUSALS = [
    Refusal("sizes", lambda torch: torch.ones(2) < torch.ones(3), RuntimeError, r"tensor a \(2\)"),
    Refusal("text", lambda torch: torch.ones(2) < "a", TypeError, "str"),
    *(
        Refusal(
            f"{name} of a number", lambda torch, n=name: getattr(torch, n)(2, torch.ones(2)), TypeError, "input.*int"
        )
        for name in COMPARISONS
    ),
    Refusal("eq to None", lambda torch: torch.eq(torch.ones(2), None), TypeError, "NoneType"),
    Refusal("equal to a number", lambda torch: torch.equal(torch.ones(2), 1), TypeError, "equal.*int"),
    Refusal("isclose to a number", lambda torch: torch.isclose(torch.ones(2), 1), TypeError, "isclose.*int"),
    Refusal("isclose types", lambda torch: torch.isclose(torch.ones(1), torch.tensor([1])), RuntimeError, "match"),
    Refusal("rtol", lambda torch: torch.isclose(torch.ones(1), torch.ones(1), rtol=-1.0), RuntimeError, "rtol.*-1"),
    Refusal("atol", lambda torch: torch.allclose(torch.ones(1), torch.ones(1), atol=-0.5), RuntimeError, "atol.*-0.5"),
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
    assert gradcli.tensor([1]).equal(gradcli.tensor([1.0]))
    assert not gradcli.tensor([math.nan]).equal(gradcli.tensor([math.nan]))


@pytest.mark.parametrize("name", COMPARISONS)
def test_a_comparison_in_place_writes_ones_and_zeros(name):
    x = gradcli.tensor([1.0, 2.0, 3.0])
    expected = getattr(gradcli, name)(x, 2).tolist()
    assert getattr(x, f"{name}_")(2) is x
    assert x.tolist() == expected
    assert x.dtype == gradcli.float32


def test_a_mask_is_changed_in_place():
    kept = mask = gradcli.tensor([True, True, False])
    mask &= gradcli.tensor([True, False, True])
    assert mask is kept
    assert mask.tolist() == [True, False, False]
    mask[1:] |= gradcli.tensor([False, True])
    assert kept.tolist() == [True, False, True]
    assert kept.bitwise_not_() is kept
    assert kept.tolist() == [False, True, False]


@pytest.mark.parametrize(
    ("long", "short"),
    [("not_equal", "ne"), ("less", "lt"), ("less_equal", "le"), ("greater", "gt"), ("greater_equal", "ge")],
)
def test_long_names(long, short):
    assert getattr(gradcli, long) is getattr(gradcli, short)


def test_numbers_are_compared_in_the_type_of_the_tensor():
    """So -1 is 255 among bytes, as in PyTorch."""
    assert (gradcli.tensor([255], dtype=gradcli.uint8) == -1).tolist() == [True]
    assert (gradcli.tensor([2]) == 2.5).tolist() == [False]


@pytest.mark.parametrize(
    ("other", "options", "expected"),
    [(1 + 1e-6, {}, True), (1.1, {}, False), (1.1, {"atol": 0.2}, True), (math.nan, {"equal_nan": True}, False)],
)
def test_allclose(other, options, expected):
    assert gradcli.allclose(gradcli.ones(2), gradcli.full((2,), other), **options) is expected
