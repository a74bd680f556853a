"""Division, exact or rounded, and remainders: values, gradients, signs, zeros, and what is refused."""

from __future__ import annotations

import math
import operator

import binary_cases
import numpy as np
import pytest
from binary_cases import check_in_place
from edge_cases import edge_checks_of
from operation_cases import Case, Refusal, checks_of, fixed, integers, nonzero, real, refusal_checks_of

import gradcli

INF, NAN = math.inf, math.nan

# Away from multiples of each other, where quotients step and remainders jump.
DIVIDENDS = fixed([[7.3, -7.3, 2.1], [-0.4, 5.7, 9.9]])
DIVISORS = fixed([2.0, 3.0, -2.5])

CASES = [
    *binary_cases.cases_of("true_divide", real, nonzero, np.divide),
    *(
        Case(
            f"div {mode}",
            lambda torch, x, y, m=mode: torch.div(x, y, rounding_mode=m),
            DIVIDENDS,
            DIVISORS,
            expected=lambda x, y, f=function: f(x / y),
        )
        for mode, function in (("trunc", np.trunc), ("floor", np.floor))
    ),
    *(
        Case(
            f"div {mode} of integers",
            lambda torch, x, y, m=mode: x.div(y - 3, rounding_mode=m),
            integers(20, 50),
            fixed([[1], [2], [5], [7]], np.int64),
            expected=lambda x, y, f=function: f(x / (y - 3)).astype(np.int64),
            differentiable=False,
        )
        for mode, function in (("trunc", np.trunc), ("floor", np.floor))
    ),
    Case("remainder", lambda torch, x, y: torch.remainder(x, y), DIVIDENDS, DIVISORS, expected=np.remainder),
    Case("remainder operator", lambda torch, x, y: x % y, DIVIDENDS, DIVISORS, expected=np.remainder),
    Case("remainder 0-d", lambda torch, x, y: x % y, DIVIDENDS, fixed(2.0), expected=np.remainder),
    Case("remainder number", lambda torch, x: x.remainder(2.0), DIVIDENDS, expected=lambda x: x % 2.0),
    Case(
        "number remainder",
        lambda torch, x: torch.remainder(torch.tensor(7.0, dtype=x.dtype), x),
        DIVISORS,
        expected=lambda x: 7.0 % x,
    ),
    Case("fmod", lambda torch, x, y: torch.fmod(x, y), DIVIDENDS, DIVISORS, expected=np.fmod),
    Case("fmod number", lambda torch, x: x.fmod(2.0), DIVIDENDS, expected=lambda x: np.fmod(x, 2.0)),
]

REFUSALS = [
    *(
        Refusal(
            f"{name} of integers by zero",
            lambda torch, n=name: getattr(torch, n)(torch.tensor([1]), 0),
            RuntimeError,
            "ZeroDivisionError",
        )
        for name in ("floor_divide", "remainder", "fmod")
    ),
    *(
        Refusal(
            f"{name} of bools",
            lambda torch, n=name: getattr(torch, n)(torch.tensor([True]), torch.tensor([True])),
            NotImplementedError,
            "[Bb]ool",
        )
        for name in ("floor_divide", "remainder", "fmod")
    ),
    Refusal(
        "rounding", lambda torch: torch.ones(2).div(2, rounding_mode="up"), RuntimeError, "None, 'trunc', or 'floor'"
    ),
    Refusal("rounding's type", lambda torch: torch.ones(2).div(2, rounding_mode=1), TypeError, "rounding_mode.*int"),
    Refusal("sizes", lambda torch: torch.ones(2) % torch.ones(3), RuntimeError, r"tensor a \(2\)"),
    Refusal("fmod of a number", lambda torch: torch.fmod(2, torch.ones(2)), TypeError, "fmod.*int"),
    Refusal("remainder of numbers", lambda torch: torch.remainder(2, 3), TypeError, "remainder.*int"),
    Refusal("text", lambda torch: torch.ones(2) / "a", TypeError, "str"),
    Refusal("modulo text", lambda torch: torch.ones(2) % "a", TypeError, "str"),
    Refusal(
        "gradient of a division rounded down",
        lambda torch: (torch.ones(2, requires_grad=True) // 2).sum().backward(),
        RuntimeError,
        "floor_divide is not implemented",
    ),
]

NUMBERS, BY = [7.0, -7.0, 7.0, -7.0, 0.0, 5.0, -5.0, INF, NAN], [2.0, 2.0, -2.0, -2.0, 0.0, INF, INF, 2.0, 1.0]
EDGES = [
    ("div by zero", lambda torch, x: x / 0, [[1.0, -1.0, 0.0]], [[INF, -INF, NAN], [INF] * 3]),
    (
        "div",
        lambda torch, x, y: x / y,
        [[1.0, 0.0, INF, 0.0], [0.0, 0.0, INF, 1.0]],
        [[INF, NAN, NAN, 0], [INF, INF, 0, 1], [-INF, NAN, NAN, 0]],
    ),
    ("number over", lambda torch, x: 1 / x, [[0.0, INF]], [[INF, 0.0], [-INF, 0.0]]),
    (
        "remainder",
        lambda torch, x, y: x % y,
        [NUMBERS, BY],
        [[1, 1, -1, -1, NAN, 5, INF, NAN, NAN], [1] * 9, [-3, 4, 4, -3, NAN, 0, 1, NAN, NAN]],
    ),
    (
        "fmod",
        lambda torch, x, y: torch.fmod(x, y),
        [NUMBERS, BY],
        [[1, -1, 1, -1, NAN, 5, -5, NAN, NAN], [1] * 9, [-3, 3, 3, -3, NAN, 0, 0, -INF, NAN]],
    ),
    (
        "div trunc",
        lambda torch, x, y: torch.div(x, y, rounding_mode="trunc"),
        [NUMBERS, BY],
        [[3, -3, -3, 3, NAN, 0, 0, INF, NAN], [0] * 9, [0] * 9],
    ),
    (
        "div floor",
        lambda torch, x, y: torch.div(x, y, rounding_mode="floor"),
        [NUMBERS, BY],
        [[3, -4, -4, 3, NAN, 0, -1, NAN, NAN], [0] * 9, [0] * 9],
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


@pytest.mark.parametrize("name", ["div", "divide", "true_divide", "remainder", "fmod"])
@pytest.mark.parametrize("other", [2.5, gradcli.tensor([3.0, -1.5], dtype=gradcli.float64)])
def test_in_place(name, other):
    check_in_place(name, other, at=[7.5, -2.0])


@pytest.mark.parametrize(
    ("function", "expected"),
    [
        (lambda: gradcli.tensor([7, -7]) // 2, [3, -4]),
        (lambda: 7 // gradcli.tensor([2, -2]), [3, -4]),
        (lambda: gradcli.tensor([7.0, -7.0]) // 2, [3.0, -4.0]),
        (lambda: gradcli.floor_divide(gradcli.tensor([5]), gradcli.tensor([-2])), [-3]),
        (lambda: gradcli.tensor([7, -7]) % 3, [1, 2]),
        (lambda: 7 % gradcli.tensor([2, -3]), [1, -2]),
        (lambda: gradcli.tensor([7, -7]).fmod(3), [1, -1]),
        (lambda: gradcli.tensor([-128], dtype=gradcli.int8).div(-1, rounding_mode="trunc"), [-128]),
        (lambda: gradcli.tensor([4], dtype=gradcli.uint8) / -2, [-2.0]),
        (lambda: gradcli.tensor([3, 4]) / 2, [1.5, 2.0]),
    ],
)
def test_whole_numbers(function, expected):
    assert function().tolist() == expected


@pytest.mark.parametrize("operand", ["input", "other"])
def test_a_division_rounded_down_is_recorded_but_has_no_gradient(operand):
    x = gradcli.tensor([5.0], requires_grad=True)
    result = x // 2 if operand == "input" else gradcli.floor_divide(gradcli.tensor([7.0]), x)
    assert result.requires_grad
    with pytest.raises(RuntimeError, match="floor_divide is not implemented"):
        result.backward()


def test_operators_are_those_of_the_functions():
    assert gradcli.divide is gradcli.div
    x, y = gradcli.tensor([7.0]), gradcli.tensor([2.0])
    for operation in (operator.truediv, operator.floordiv, operator.mod):
        assert operation(x, y).item() == operation(7.0, 2.0)
