"""Sums, differences, products and weighted means: values, gradients, broadcasting, numbers, and what is refused."""

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

OPERATORS = [("add", operator.add), ("sub", operator.sub), ("mul", operator.mul), ("div", operator.truediv)]
WEIGHTS = [0.3, 0.5, 0.75, -1.0, 2]


def weighted(x, y, w):
    return x + w * (y - x)


CASES = [
    *(case for name, function in OPERATORS for case in binary_cases.cases_of(name, real, nonzero, function)),
    *(
        Case(f"{name} number", lambda torch, x, f=f: f(x, 3), nonzero(2, 3), expected=lambda x, f=f: f(x, 3))
        for name, f in OPERATORS
    ),
    *(
        Case(f"number {name}", lambda torch, x, f=f: f(2.5, x), nonzero(2, 3), expected=lambda x, f=f: f(2.5, x))
        for name, f in OPERATORS
    ),
    *(
        Case(f"{name} operator", lambda torch, x, y, f=f: f(x, y), real(3), nonzero(2, 3), expected=f)
        for name, f in OPERATORS
    ),
    Case(
        "add alpha",
        lambda torch, x, y: torch.add(x, y, alpha=2.5),
        real(2, 3),
        real(3),
        expected=lambda x, y: x + 2.5 * y,
    ),
    Case(
        "sub alpha", lambda torch, x, y: torch.sub(x, y, alpha=3), real(2, 3), real(3), expected=lambda x, y: x - 3 * y
    ),
    Case("rsub", lambda torch, x, y: torch.rsub(x, y), real(2, 3), real(3), expected=lambda x, y: y - x),
    Case(
        "rsub alpha",
        lambda torch, x, y: torch.rsub(x, y, alpha=2.5),
        real(2, 1),
        real(3),
        expected=lambda x, y: y - 2.5 * x,
    ),
    Case(
        "rsub number alpha",
        lambda torch, x: torch.rsub(x, 3, alpha=2),
        real(2, 3),
        expected=lambda x: 3 - 2 * x,
    ),
    Case("mul of itself", lambda torch, x: x * x, real(2, 3), expected=np.square),
    Case("mul by integers", lambda torch, x, y: x * y, real(2, 3), integers(5, 3), expected=np.multiply),
    Case(
        "add of integers",
        lambda torch, x, y: x + y,
        integers(5, 2),
        integers(5, 2),
        expected=np.add,
        differentiable=False,
    ),
    Case("neg", lambda torch, x: -x, real(2, 3), expected=np.negative),
    *(
        Case(
            f"lerp {weight}",
            lambda torch, x, y, w=weight: torch.lerp(x, y, w),
            real(2, 3),
            real(3),
            expected=lambda x, y, w=weight: weighted(x, y, w),
        )
        for weight in WEIGHTS
    ),
    Case("lerp tensor", lambda torch, x, y, w: x.lerp(y, w), real(2, 3), real(3), real(4, 1, 1), expected=weighted),
    Case("lerp 0-d", lambda torch, x, y, w: torch.lerp(x, y, w), real(2, 3), real(3), real(), expected=weighted),
    Case("lerp empty", lambda torch, x, y, w: torch.lerp(x, y, w), real(0, 3), real(3), real(), expected=weighted),
    Case(
        "tutorial",
        lambda torch, a, b: 3 * a**3 - b**2,
        fixed([2.0, 3.0]),
        fixed([6.0, 4.0]),
        expected=lambda a, b: 3 * a**3 - b**2,
    ),
    Case(
        "chain",
        lambda torch, x: (x.sin() * x.exp() + 1 / (x * x + 1)).cos(),
        real(3),
        expected=lambda x: np.cos(np.sin(x) * np.exp(x) + 1 / (x * x + 1)),
    ),
]

REFUSALS = [
    Refusal(
        "sizes",
        lambda torch: torch.ones(2) + torch.ones(3),
        RuntimeError,
        r"tensor a \(2\).*tensor b \(3\).*dimension 0",
    ),
    Refusal("text", lambda torch: torch.ones(2) * "a", TypeError, "str"),
    Refusal("None", lambda torch: torch.ones(2) - None, TypeError, "NoneType"),
    Refusal("list", lambda torch: torch.ones(2) * [1, 2], TypeError, "list"),
    Refusal("number too big", lambda torch: torch.ones(2) + 2**70, OverflowError, "too big"),
    Refusal("sub of bools", lambda torch: torch.tensor([True]) - torch.tensor([True]), RuntimeError, "bool"),
    Refusal("sub of a bool", lambda torch: torch.tensor([1]) - True, RuntimeError, "bool"),
    Refusal("number minus bools", lambda torch: 1 - torch.tensor([True]), RuntimeError, "bool"),
    Refusal("rsub of a number", lambda torch: torch.rsub(2, torch.ones(2)), TypeError, "rsub.*int"),
    Refusal("neg of bools", lambda torch: -torch.tensor([True]), RuntimeError, "bool"),
    Refusal("positive of bools", lambda torch: +torch.tensor([True]), RuntimeError, "bool"),
    Refusal(
        "float alpha", lambda torch: torch.add(torch.tensor([1]), torch.tensor([1]), alpha=0.5), RuntimeError, "alpha"
    ),
    Refusal("bool alpha", lambda torch: torch.add(torch.ones(1), 2, alpha=True), RuntimeError, "alpha"),
    Refusal("no alpha", lambda torch: torch.sub(torch.ones(1), 2, alpha=None), TypeError, "alpha.*NoneType"),
    Refusal(
        "lerp of types",
        lambda torch: torch.lerp(torch.ones(2), torch.ones(2, dtype=torch.float64), 0.5),
        RuntimeError,
        "end.*64",
    ),
    Refusal(
        "lerp of a weight's type",
        lambda torch: torch.lerp(torch.ones(2), torch.ones(2), torch.ones(2, dtype=torch.float64)),
        RuntimeError,
        "weight.*64",
    ),
    Refusal(
        "lerp of integers", lambda torch: torch.tensor([1]).lerp(torch.tensor([1]), 0.5), NotImplementedError, "lerp"
    ),
    Refusal("lerp to a number", lambda torch: torch.lerp(torch.ones(2), 2.0, 0.5), TypeError, "end.*float"),
    Refusal("lerp by text", lambda torch: torch.lerp(torch.ones(2), torch.ones(2), "a"), TypeError, "weight.*str"),
    Refusal("lerp sizes", lambda torch: torch.lerp(torch.ones(2), torch.ones(3), 0.5), RuntimeError, "tensor a"),
    Refusal(
        "lerp sizes of weights",
        lambda torch: torch.lerp(torch.ones(2), torch.ones(2), torch.ones(3)),
        RuntimeError,
        "tensor a",
    ),
]

EDGES = [
    ("add inf", lambda torch, x, y: x + y, [[INF, INF, NAN], [1.0, -INF, 0.0]], [[INF, NAN, NAN], [1] * 3, [1] * 3]),
    ("mul inf", lambda torch, x, y: x * y, [[INF, 0.0], [2.0, INF]], [[INF, NAN], [2, INF], [INF, 0]]),
    (
        "lerp meets both ends",
        lambda torch, x, y: torch.lerp(x, y, torch.tensor([0.0, 1.0], dtype=torch.float64)),
        [[0.1, 1e17], [1e17, 0.1]],
        [[0.1, 0.1], [1, 0], [0, 1]],
    ),
    (
        "lerp inf",
        lambda torch, x, y: torch.lerp(x, y, 0.5),
        [[INF, 1.0, NAN], [1.0, INF, 2.0]],
        [[INF, NAN, NAN], [0.5] * 3, [0.5] * 3],
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


@pytest.mark.parametrize("name", ["add", "sub", "subtract", "mul", "multiply"])
@pytest.mark.parametrize("other", [2.5, gradcli.tensor([3.0, -1.0], dtype=gradcli.float64)])
def test_in_place(name, other):
    check_in_place(name, other, at=[1.5, -2.0])


def test_neg_and_lerp_in_place():
    check_in_place("neg", at=[1.0, -2.0])
    check_in_place("negative", at=[1.0, -2.0])
    check_in_place("lerp", gradcli.ones(2, dtype=gradcli.float64), 0.25, at=[1.0, -2.0])


@pytest.mark.parametrize(
    ("change", "expected"),
    [("+= 2", [3, 4]), ("-= 2", [-1, 0]), ("*= 2", [2, 4]), ("/= 2", [0.5, 1]), ("**= 2", [1, 4])],
)
def test_augmented_operators_change_the_tensor(change, expected):
    x = gradcli.tensor([1.0, 2.0])
    names = {"x": x}
    exec(f"x {change}", names)
    assert names["x"] is x
    assert x.tolist() == expected


@pytest.mark.parametrize(
    ("function", "expected"),
    [
        (lambda: gradcli.tensor([200], dtype=gradcli.uint8) + 100, [44]),
        (lambda: gradcli.tensor([1], dtype=gradcli.uint8) * -1, [255]),
        (lambda: gradcli.tensor([1], dtype=gradcli.int8) * 1000, [-24]),
        (lambda: -gradcli.tensor([1], dtype=gradcli.uint8), [255]),
        (lambda: gradcli.add(gradcli.tensor([1]), gradcli.tensor([2]), alpha=3), [7]),
        (lambda: gradcli.add(2, gradcli.tensor([2])), [4]),
        (lambda: gradcli.tensor([True, True]) + gradcli.tensor([True, False]), [True, True]),
    ],
)
def test_whole_numbers(function, expected):
    result = function()
    assert not result.is_floating_point()
    assert result.tolist() == expected


def test_positive_is_the_tensor_itself():
    x = gradcli.ones(2)
    assert +x is x
    assert x.positive() is x


@pytest.mark.parametrize(("long", "short"), [("multiply", "mul"), ("subtract", "sub"), ("negative", "neg")])
def test_long_names(long, short):
    assert getattr(gradcli, long) is getattr(gradcli, short)
    assert getattr(gradcli.Tensor, long) is getattr(gradcli.Tensor, short)


def test_an_operation_makes_tensors_of_tensors_and_arrays_of_arrays():
    assert isinstance(gradcli.mul(np.ones(2), np.ones(2)), np.ndarray)
    assert isinstance(gradcli.mul(np.ones(2), gradcli.ones(2)), gradcli.Tensor)
