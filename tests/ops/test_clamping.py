"""Keeping elements within bounds: numbers and tensors, on and beyond each bound, crossed and nan bounds."""

from __future__ import annotations

import math

import numpy as np
import pytest
from binary_cases import check_in_place
from edge_cases import edge_checks_of
from numerical import check_gradients, check_second_gradients
from operation_cases import Case, Refusal, checks_of, fixed, real, refusal_checks_of

import gradcli

INF, NAN = math.inf, math.nan


def clamped(x, low, high):
    return np.minimum(np.maximum(x, low), high)


CASES = [
    *(
        Case(
            f"clamp {low} {high}",
            lambda torch, x, a=low, b=high: torch.clamp(x, a, b),
            real(3, 4),
            expected=lambda x, a=low, b=high: clamped(x, -INF if a is None else a, INF if b is None else b),
        )
        for low, high in ((-0.5, 0.25), (None, 0.25), (-0.5, None), (0.3, -0.3), (0, 1))
    ),
    Case("clamp method", lambda torch, x: x.clamp(max=0.1), real(2, 3), expected=lambda x: np.minimum(x, 0.1)),
    Case("clip", lambda torch, x: torch.clip(x, min=0.1), real(2, 3), expected=lambda x: np.maximum(x, 0.1)),
    Case(
        "clamp tensors", lambda torch, x, a, b: torch.clamp(x, a, b), real(3, 4), real(4), real(3, 1), expected=clamped
    ),
    Case(
        "clamp spreads",
        lambda torch, x, a, b: x.clamp(a, b),
        real(2, 3, 4),
        real(3, 1),
        real(2, 1, 1),
        expected=clamped,
    ),
    Case("clamp 0-d", lambda torch, x, a, b: x.clamp(a, b), real(3), fixed(-0.5), fixed(0.5), expected=clamped),
    Case("clamp empty", lambda torch, x, a, b: x.clamp(a, b), real(0, 3), real(3), fixed(0.5), expected=clamped),
    Case("clamp min tensor", lambda torch, x, a: torch.clamp(x, min=a), real(3, 4), real(4), expected=np.maximum),
    Case("clamp max tensor", lambda torch, x, b: torch.clamp(x, max=b), real(3, 4), real(4), expected=np.minimum),
    Case("clamp_min", lambda torch, x: torch.clamp_min(x, 0.2), real(3, 4), expected=lambda x: np.maximum(x, 0.2)),
    Case("clamp_max", lambda torch, x: torch.clamp_max(x, 0.2), real(3, 4), expected=lambda x: np.minimum(x, 0.2)),
    Case("clamp_min tensor", lambda torch, x, a: x.clamp_min(a), real(3, 4), real(3, 1), expected=np.maximum),
    Case("clamp_max tensor", lambda torch, x, b: x.clamp_max(b), real(3, 4), real(3, 1), expected=np.minimum),
]

REFUSALS = [
    Refusal("no bounds", lambda torch: torch.ones(2).clamp(), RuntimeError, "At least one"),
    Refusal("number and tensor", lambda torch: torch.ones(2).clamp(0, torch.ones(2)), TypeError, "clamp.*int"),
    Refusal("text", lambda torch: torch.ones(2).clamp("a"), TypeError, "clamp.*str"),
    Refusal("number", lambda torch: torch.clamp_min(2, torch.ones(2)), TypeError, "input.*int"),
    Refusal("None", lambda torch: torch.ones(2).clamp_max(None), TypeError, "NoneType"),
    Refusal("sizes", lambda torch: torch.ones(2).clamp(torch.ones(3)), RuntimeError, r"tensor a \(2\)"),
    Refusal("too large", lambda torch: torch.ones(2).clamp(max=1e300), RuntimeError, "overflow"),
    Refusal(
        "too large for bytes",
        lambda torch: torch.tensor([1], dtype=torch.uint8).clamp(max=300),
        RuntimeError,
        "overflow",
    ),
    Refusal("bools", lambda torch: torch.tensor([True]).clamp(True), NotImplementedError, "clamp.*[Bb]ool"),
]

AT = [-2.0, -1.0, 0.0, 1.0, 2.0, NAN, INF]
WITHIN, LOW, HIGH = [0, 1, 1, 1, 0, 0, 0], [-1.0] * 7, [1.0] * 7
EDGES = [
    ("clamp", lambda torch, x: x.clamp(-1, 1), [AT], [[-1, -1, 0, 1, 1, NAN, 1], WITHIN]),
    ("crossed bounds", lambda torch, x: x.clamp(1, -1), [AT], [[-1, -1, -1, -1, -1, NAN, -1], [0] * 7]),
    ("nan bound", lambda torch, x: x.clamp(min=NAN), [AT], [[NAN] * 7, [0] * 7]),
    ("clamp_min", lambda torch, x: x.clamp_min(-1), [AT], [[-1, -1, 0, 1, 2, NAN, INF], [0, 1, 1, 1, 1, 0, 1]]),
    ("clamp_max", lambda torch, x: x.clamp_max(1), [AT], [[-2, -1, 0, 1, 1, NAN, 1], [1, 1, 1, 1, 0, 0, 0]]),
    (
        "tensors",
        lambda torch, x, a, b: x.clamp(a, b),
        [AT, LOW, HIGH],
        [[-1, -1, 0, 1, 1, NAN, 1], WITHIN, [1, 0, 0, 0, 0, 0, 0], [0, 0, 0, 0, 1, 0, 1]],
    ),
    (
        "crossed and nan tensors",
        lambda torch, x, a, b: x.clamp(a, b),
        [[0.0, 0.0, 0.0, 2.0], [1.0, NAN, -1.0, 2.0], [-1.0, 1.0, NAN, 2.0]],
        [[-1, NAN, NAN, 2], [0, 0, 0, 1], [0] * 4, [1, 0, 0, 0]],
    ),
    (
        "clamp_min tensor",
        lambda torch, x, a: torch.clamp_min(x, a),
        [AT, LOW],
        [[-1, -1, 0, 1, 2, NAN, INF], [0, 1, 1, 1, 1, 0, 1], [1, 0, 0, 0, 0, 0, 0]],
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


@pytest.mark.parametrize(
    ("name", "arguments"), [("clamp", (-1, 1)), ("clip", (0,)), ("clamp_min", (0,)), ("clamp_max", (0,))]
)
def test_in_place(name, arguments):
    check_in_place(name, *arguments, at=[-2.0, 0.5, 3.0])


@pytest.mark.parametrize(
    ("values", "dtype", "bounds", "result", "expected"),
    [
        ([1, 5], "int64", (0.5, 2), "float32", [1.0, 2.0]),
        ([1, 5], "int64", (2, 3), "int64", [2, 3]),
        ([1, 5], "uint8", (-1, None), "uint8", [255, 255]),
        ([True, False], "bool", (0, None), "int64", [1, 0]),
        ([1.0, 5.0], "float32", (2, None), "float32", [2.0, 5.0]),
    ],
)
def test_type(values, dtype, bounds, result, expected):
    clamped = gradcli.tensor(values, dtype=getattr(gradcli, dtype)).clamp(*bounds)
    assert clamped.dtype == getattr(gradcli, result)
    assert clamped.tolist() == expected


def test_an_input_smaller_than_its_bounds_has_its_gradient():
    """Which PyTorch computes the value of, but not the gradient."""
    generator = np.random.RandomState(0)
    inputs = [generator.standard_normal(shape) for shape in ((4,), (3, 1), (2, 1, 1))]
    check_gradients(gradcli.clamp, inputs)
    check_second_gradients(gradcli.clamp, inputs)
