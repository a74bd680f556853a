"""Arithmetic and powers: values, gradients, broadcasting, edge values and what is refused."""

from __future__ import annotations

import math
import operator

import numpy as np
import pytest
from operation_cases import (
    Case,
    Refusal,
    checks_of,
    fixed,
    integers,
    nonzero,
    positive,
    real,
    refusal_checks_of,
    strided,
    transposed,
)

import gradcli

BROADCASTS = [
    ("same", (2, 3), (2, 3)),
    ("rows", (2, 3), (3,)),
    ("columns", (2, 3), (2, 1)),
    ("outer", (2, 1), (1, 3)),
    ("0-d", (2, 3), ()),
    ("0-d left", (), (2, 3)),
    ("empty", (0, 3), (1, 3)),
    ("empty from one", (0, 3), (2, 0, 1)),
    ("leading", (3,), (4, 2, 3)),
]
BINARY = [("add", operator.add), ("sub", operator.sub), ("mul", operator.mul), ("div", operator.truediv)]

CASES = [
    *[
        Case(f"{name} {shapes}", lambda torch, x, y, f=function: f(x, y), real(*a), nonzero(*b), expected=function)
        for name, function in BINARY
        for shapes, a, b in BROADCASTS
    ],
    *[
        Case(f"{name} function", lambda torch, x, y, n=name: getattr(torch, n)(x, y), real(3), nonzero(3), expected=f)
        for name, f in BINARY
    ],
    *[
        Case(
            f"{name} number",
            lambda torch, x, f=function: f(x, 3),
            nonzero(2, 3),
            expected=lambda x, f=function: f(x, 3),
        )
        for name, function in BINARY
    ],
    *[
        Case(
            f"number {name}",
            lambda torch, x, f=function: f(2.5, x),
            nonzero(2, 3),
            expected=lambda x, f=function: f(2.5, x),
        )
        for name, function in BINARY
    ],
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
    Case("mul of itself", lambda torch, x: x * x, real(2, 3), expected=np.square),
    Case(
        "mul transposed", lambda torch, x, y: x * y, transposed(real(3, 4)), strided(real(3, 4)), expected=np.multiply
    ),
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
    Case("clone", lambda torch, x: x.clone(), transposed(real(2, 3)), expected=np.copy),
    Case(
        "where",
        lambda torch, c, x, y: torch.where(c, x, y),
        fixed([True, False, True], bool),
        real(2, 3),
        real(3),
        expected=np.where,
    ),
    Case(
        "where number",
        lambda torch, c, x: torch.where(c, x, 0.5),
        fixed([[True], [False]], bool),
        real(3),
        expected=lambda c, x: np.where(c, x, 0.5),
    ),
    Case("zeros_like", lambda torch, x: torch.zeros_like(x), real(2, 3), expected=np.zeros_like, differentiable=False),
    Case("ones_like", lambda torch, x: torch.ones_like(x), real(2, 3), expected=np.ones_like, differentiable=False),
    *[
        Case(f"pow {exponent}", lambda torch, x, e=exponent: x**e, nonzero(2, 3), expected=lambda x, e=exponent: x**e)
        for exponent in (0, 1, 2, 3, -1, -2, 2.0, 5)
    ],
    Case("pow fraction", lambda torch, x: torch.pow(x, -1.5), positive(2, 3), expected=lambda x: x**-1.5),
    Case("pow tensor", lambda torch, x, y: x**y, positive(2, 3), real(3), expected=np.power),
    Case("pow integer tensor", lambda torch, x, y: x**y, nonzero(2, 3), integers(4, 3), expected=np.power),
    Case("number pow", lambda torch, x: 2.5**x, real(2, 3), expected=lambda x: 2.5**x),
    Case("number pow function", lambda torch, x: torch.pow(2, x), real(2, 3), expected=lambda x: 2.0**x),
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
    Refusal(
        "sizes of where",
        lambda torch: torch.where(torch.ones(2) > 0, torch.ones(3), 1.0),
        RuntimeError,
        r"tensor a \(2\)",
    ),
    Refusal("text", lambda torch: torch.ones(2) * "a", TypeError, "str"),
    Refusal("None", lambda torch: torch.ones(2) - None, TypeError, "NoneType"),
    Refusal("list", lambda torch: torch.ones(2) * [1, 2], TypeError, "list"),
    Refusal("sub of bools", lambda torch: torch.tensor([True]) - torch.tensor([True]), RuntimeError, "bool"),
    Refusal("sub of a bool", lambda torch: torch.tensor([1]) - True, RuntimeError, "bool"),
    Refusal("number minus bools", lambda torch: 1 - torch.tensor([True]), RuntimeError, "bool"),
    Refusal("neg of bools", lambda torch: -torch.tensor([True]), RuntimeError, "bool"),
    Refusal(
        "pow of bools", lambda torch: torch.tensor([True]) ** torch.tensor([True]), NotImplementedError, "pow.*[Bb]ool"
    ),
    Refusal("integers to -1", lambda torch: torch.tensor([2]) ** -1, RuntimeError, "negative integer powers"),
    Refusal(
        "uint8 to -1", lambda torch: torch.tensor([2], dtype=torch.uint8) ** -1, RuntimeError, "negative integer powers"
    ),
    Refusal(
        "float alpha", lambda torch: torch.add(torch.tensor([1]), torch.tensor([1]), alpha=0.5), RuntimeError, "alpha"
    ),
    Refusal("condition", lambda torch: torch.where(torch.tensor([1]), 1.0, 2.0), RuntimeError, "condition.*bool"),
]


@pytest.mark.parametrize(("check", "case"), checks_of(CASES))
def test_operation(check, case):
    check(case)


@pytest.mark.parametrize(("check", "refusal"), refusal_checks_of(REFUSALS))
def test_refusal(check, refusal):
    check(refusal)


#     what, function, input, value, gradient with ones
EDGES = [
    ("div by zero", lambda x: x / 0, [1.0, -1.0, 0.0], [math.inf, -math.inf, math.nan], [math.inf] * 3),
    ("reciprocal", lambda x: 1 / x, [0.0, math.inf], [math.inf, 0.0], [-math.inf, 0.0]),
    ("pow 0", lambda x: x**0, [0.0, math.inf, math.nan], [1.0, 1.0, 1.0], [0.0, 0.0, 0.0]),
    ("pow 1", lambda x: x**1, [0.0, -2.0], [0.0, -2.0], [1.0, 1.0]),
    ("pow 2", lambda x: x**2, [0.0, -2.0], [0.0, 4.0], [0.0, -4.0]),
    ("pow 1/2", lambda x: x**0.5, [0.0, -1.0], [0.0, math.nan], [math.inf, math.nan]),
    ("pow -1", lambda x: x**-1, [0.0, 2.0], [math.inf, 0.5], [-math.inf, -0.25]),
    ("0 pow", lambda x: 0.0**x, [0.0, 1.0, 2.0], [1.0, 0.0, 0.0], [0.0, 0.0, 0.0]),
    ("pow itself", lambda x: x**x, [1.0, 2.0], [1.0, 4.0], [1.0, 4 * math.log(2) + 4]),
    ("power of ones", lambda x: (x * 0 + 1) ** x, [0.0, 3.0], [1.0, 1.0], [0.0, 0.0]),
]


@pytest.mark.parametrize(("function", "at", "value", "gradient"), [e[1:] for e in EDGES], ids=[e[0] for e in EDGES])
def test_value_and_gradient_at_the_edge(function, at, value, gradient):
    x = gradcli.tensor(at, dtype=gradcli.float64, requires_grad=True)
    result = function(x)
    result.backward(gradcli.ones_like(result))
    np.testing.assert_allclose(result.tolist(), value, rtol=1e-12)
    np.testing.assert_allclose(x.grad.tolist(), gradient, rtol=1e-12)


@pytest.mark.parity
@pytest.mark.parametrize(("function", "at"), [e[1:3] for e in EDGES], ids=[e[0] for e in EDGES])
def test_parity_of_value_and_gradient_at_the_edge(function, at):
    torch = pytest.importorskip("torch")
    x, y = (module.tensor(at, dtype=module.float64, requires_grad=True) for module in (gradcli, torch))
    ours, theirs = function(x), function(y)
    ours.backward(gradcli.ones_like(ours))
    theirs.backward(torch.ones_like(theirs))
    np.testing.assert_allclose(ours.tolist(), theirs.tolist(), rtol=1e-12)
    np.testing.assert_allclose(x.grad.tolist(), y.grad.tolist(), rtol=1e-12)


@pytest.mark.parametrize(
    ("function", "expected"),
    [
        (lambda: gradcli.tensor([2, 1, -1, 0]) ** gradcli.tensor([-1, -2, -3, -1]), [0, 1, -1, 0]),
        (lambda: 2 ** gradcli.tensor([-1, 3]), [0, 8]),
        (lambda: gradcli.tensor([200], dtype=gradcli.uint8) + 100, [44]),
        (lambda: gradcli.tensor([1], dtype=gradcli.uint8) * -1, [255]),
        (lambda: gradcli.tensor([1], dtype=gradcli.int8) * 1000, [-24]),
        (lambda: abs(gradcli.tensor([-3, 2])), [3, 2]),
    ],
)
def test_integers(function, expected):
    result = function()
    assert not result.is_floating_point()
    assert result.tolist() == expected


def test_clone_has_memory_of_its_own_and_to_has_it_only_where_the_type_changes():
    x = gradcli.ones(3)
    assert not np.shares_memory(x.clone().array, x.array)
    assert x.to(gradcli.float32) is x
    assert x.to(gradcli.float64).dtype == gradcli.float64


def test_gradient_through_a_change_of_type_comes_back_in_the_first_type():
    x = gradcli.ones(3, requires_grad=True)
    (x.to(gradcli.float64) * 2).sum().backward()
    assert x.grad.dtype == gradcli.float32
    assert x.grad.tolist() == [2, 2, 2]


def test_an_operation_makes_tensors_of_tensors_and_arrays_of_arrays():
    assert isinstance(gradcli.mul(np.ones(2), np.ones(2)), np.ndarray)
    assert isinstance(gradcli.mul(np.ones(2), gradcli.ones(2)), gradcli.Tensor)


@pytest.mark.parametrize(
    ("method", "dtype"),
    [("half", "float16"), ("float", "float32"), ("double", "float64"), ("int", "int32"), ("long", "int64")],
)
def test_methods_named_after_a_type_convert_to_it(method, dtype):
    x = gradcli.tensor([1.5, 2.0])
    assert str(getattr(x, method)().dtype) == f"torch.{dtype}"
    assert x.float() is x


def test_an_array_to_the_power_of_a_tensor_has_its_gradient():
    exponent = gradcli.tensor([2.0, 3.0], requires_grad=True)
    (np.array([2.0, 3.0], np.float32) ** exponent).sum().backward()
    np.testing.assert_allclose(exponent.grad.numpy(), [4 * math.log(2), 27 * math.log(3)], rtol=1e-6)
