"""Powers: values, gradients at zero, of whole numbers, and what is refused."""

from __future__ import annotations

import math

import binary_cases
import numpy as np
import pytest
from binary_cases import check_in_place
from edge_cases import edge_checks_of
from operation_cases import Case, Refusal, checks_of, integers, nonzero, positive, real, refusal_checks_of

import gradcli

INF, NAN = math.inf, math.nan

CASES = [
    *binary_cases.cases_of("pow", positive, real, np.power),
    *(
        Case(f"pow {exponent}", lambda torch, x, e=exponent: x**e, nonzero(2, 3), expected=lambda x, e=exponent: x**e)
        for exponent in (0, 1, 2, 3, -1, -2, -3, 2.0, 5)
    ),
    *(
        Case(f"pow {exponent}", lambda torch, x, e=exponent: x**e, positive(2, 3), expected=lambda x, e=exponent: x**e)
        for exponent in (0.5, -0.5, -1.5, 2.5)
    ),
    Case("pow integer tensor", lambda torch, x, y: x**y, nonzero(2, 3), integers(4, 3), expected=np.power),
    Case("number pow", lambda torch, x: 2.5**x, real(2, 3), expected=lambda x: 2.5**x),
    Case("number pow function", lambda torch, x: torch.pow(2, x), real(2, 3), expected=lambda x: 2.0**x),
    Case("tensor rpow", lambda torch, x, y: y.__rpow__(x), positive(2, 3), real(3), expected=np.power),
]

REFUSALS = [
    Refusal("bools", lambda torch: torch.tensor([True]) ** torch.tensor([True]), NotImplementedError, "pow.*[Bb]ool"),
    Refusal("integers to -1", lambda torch: torch.tensor([2]) ** -1, RuntimeError, "negative integer powers"),
    Refusal(
        "uint8 to -1", lambda torch: torch.tensor([2], dtype=torch.uint8) ** -1, RuntimeError, "negative integer powers"
    ),
    Refusal("numbers", lambda torch: torch.pow(2, 3), TypeError, "pow.*int"),
    Refusal("no exponent", lambda torch: torch.pow(torch.ones(2), None), TypeError, "exponent.*NoneType"),
    Refusal("no base", lambda torch: torch.pow(None, torch.ones(2)), TypeError, "input.*NoneType"),
    Refusal("text", lambda torch: torch.ones(2) ** "a", TypeError, "str"),
    Refusal("sizes", lambda torch: torch.ones(2) ** torch.ones(3), RuntimeError, r"tensor a \(2\)"),
]

EDGES = [
    ("pow 0", lambda torch, x: x**0, [[0.0, INF, NAN]], [[1, 1, 1], [0, 0, 0]]),
    ("pow 1", lambda torch, x: x**1, [[0.0, -2.0, NAN]], [[0, -2, NAN], [1, 1, 1]]),
    ("pow 2", lambda torch, x: x**2, [[0.0, -2.0, INF]], [[0, 4, INF], [0, -4, INF]]),
    ("pow 3", lambda torch, x: x**3, [[0.0, -2.0, -INF]], [[0, -8, -INF], [0, 12, INF]]),
    ("pow 1/2", lambda torch, x: x**0.5, [[0.0, -0.0, -1.0]], [[0, 0, NAN], [INF, -INF, NAN]]),
    ("pow -1/2", lambda torch, x: x**-0.5, [[0.0, -0.0, -1.0, INF]], [[INF, -INF, NAN, 0], [-INF, -INF, NAN, 0]]),
    ("pow -1", lambda torch, x: x**-1, [[0.0, -0.0, 2.0]], [[INF, -INF, 0.5], [-INF, -INF, -0.25]]),
    ("pow -2", lambda torch, x: x**-2, [[0.0, -0.0, 2.0]], [[INF, INF, 0.25], [-INF, INF, -0.25]]),
    ("0 pow", lambda torch, x: 0.0**x, [[0.0, 1.0, 2.0, -1.0]], [[1, 0, 0, INF], [0, 0, 0, -INF]]),
    ("1 pow", lambda torch, x: 1.0**x, [[0.0, INF, NAN]], [[1, 1, 1], [0, 0, 0]]),
    ("-2 pow", lambda torch, x: torch.pow(-2.0, x), [[0.0, 3.0, 0.5]], [[1, -8, NAN], [NAN] * 3]),
    ("pow itself", lambda torch, x: x**x, [[1.0, 2.0]], [[1, 4], [1, 4 * math.log(2) + 4]]),
    ("power of ones", lambda torch, x: (x * 0 + 1) ** x, [[0.0, 3.0]], [[1, 1], [0, 0]]),
    (
        "pow tensor",
        lambda torch, x, y: x**y,
        [[0.0, 0.0, 0.0, -1.0, NAN, 2.0], [0.0, 1.0, -1.0, 2.0, 0.0, INF]],
        [[1, 0, INF, 1, 1, INF], [0, 1, -INF, -2, 0, INF], [0, 0, -INF, NAN, NAN, INF]],
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


@pytest.mark.parametrize("exponent", [2, 3, -0.5, gradcli.tensor([3.0, -1.0], dtype=gradcli.float64)])
def test_in_place(exponent):
    check_in_place("pow", exponent, at=[1.5, 2.0])


@pytest.mark.parametrize(
    ("function", "expected"),
    [
        (lambda: gradcli.tensor([2, 1, -1, 0]) ** gradcli.tensor([-1, -2, -3, -1]), [0, 1, -1, 0]),
        (lambda: 2 ** gradcli.tensor([-1, 3]), [0, 8]),
        (lambda: gradcli.tensor([2, -3]) ** 3, [8, -27]),
        (lambda: gradcli.tensor([True, False]) ** 2, [1, 0]),
        (lambda: gradcli.tensor([2]) ** 0, [1]),
    ],
)
def test_whole_numbers(function, expected):
    result = function()
    assert result.dtype == gradcli.int64
    assert result.tolist() == expected


def test_integers_to_fractions_are_float32():
    assert (gradcli.tensor([4]) ** 0.5).dtype == gradcli.float32
    assert (gradcli.tensor([4]) ** -1.0).tolist() == [0.25]


def test_an_array_to_the_power_of_a_tensor_has_its_gradient():
    exponent = gradcli.tensor([2.0, 3.0], requires_grad=True)
    (np.array([2.0, 3.0], np.float32) ** exponent).sum().backward()
    np.testing.assert_allclose(exponent.grad.numpy(), [4 * math.log(2), 27 * math.log(3)], rtol=1e-6)


def test_the_first_power_is_a_copy():
    x = gradcli.ones(2)
    assert not np.shares_memory((x**1).array, x.array)
