"""Choosing by a mask, and the larger or smaller of two: values, ties, shared gradients, and what is refused."""

from __future__ import annotations

import math

import binary_cases
import numpy as np
import pytest
from binary_cases import check_in_place
from edge_cases import edge_checks_of
from operation_cases import Case, Refusal, checks_of, fixed, integers, real, refusal_checks_of, transposed

import gradcli

INF, NAN = math.inf, math.nan
MASK = fixed([True, False, True], bool)
COLUMN = fixed([[True], [False]], bool)

CASES = [
    *(
        case
        for name, function in (("maximum", np.maximum), ("minimum", np.minimum))
        for case in binary_cases.cases_of(name, real, real, function)
    ),
    Case(
        "maximum of integers",
        lambda torch, x, y: torch.maximum(x, y),
        integers(5, 2, 3),
        integers(5, 3),
        expected=np.maximum,
        differentiable=False,
    ),
    Case("where", lambda torch, c, x, y: torch.where(c, x, y), MASK, real(2, 3), real(3), expected=np.where),
    Case(
        "where spread", lambda torch, c, x, y: torch.where(c, x, y), COLUMN, real(3), real(4, 1, 1), expected=np.where
    ),
    Case(
        "where 0-d", lambda torch, c, x, y: torch.where(c, x, y), fixed(True, bool), real(), real(), expected=np.where
    ),
    Case("where empty", lambda torch, c, x, y: torch.where(c, x, y), COLUMN, real(2, 0), real(), expected=np.where),
    Case(
        "where method",
        lambda torch, c, x, y: x.where(c, y),
        MASK,
        real(2, 3),
        transposed(real(2, 3)),
        expected=np.where,
    ),
    Case(
        "where number",
        lambda torch, c, x: torch.where(c, x, 0.5),
        COLUMN,
        real(3),
        expected=lambda c, x: np.where(c, x, 0.5),
    ),
    Case(
        "where other number",
        lambda torch, c, x: torch.where(c, 2, x),
        MASK,
        real(2, 3),
        expected=lambda c, x: np.where(c, 2, x),
    ),
    Case(
        "masked_fill",
        lambda torch, x, m: torch.masked_fill(x, m, -2.5),
        real(2, 3),
        MASK,
        expected=lambda x, m: np.where(m, -2.5, x),
    ),
    Case(
        "masked_fill spread",
        lambda torch, x, m: x.masked_fill(m, 7),
        real(3),
        COLUMN,
        expected=lambda x, m: np.where(m, 7, x),
    ),
    Case(
        "masked_fill tensor",
        lambda torch, x, m, v: x.masked_fill(m, v),
        real(2, 3),
        MASK,
        real(),
        expected=lambda x, m, v: np.where(m, v, x),
    ),
    Case(
        "masked_fill empty",
        lambda torch, x, m, v: x.masked_fill(m, v),
        real(0, 3),
        MASK,
        real(),
        expected=lambda x, m, v: np.where(m, v, x),
    ),
]

REFUSALS = [
    Refusal("condition", lambda torch: torch.where(torch.tensor([1]), 1.0, 2.0), RuntimeError, "condition.*bool"),
    Refusal("number as condition", lambda torch: torch.where(True, 1.0, 2.0), TypeError, "condition.*bool"),
    Refusal(
        "one choice", lambda torch: torch.where(torch.tensor([True]), 1.0), TypeError, "both input and other|invalid"
    ),
    Refusal("text", lambda torch: torch.where(torch.tensor([True]), 1.0, "a"), TypeError, "str"),
    Refusal("None", lambda torch: torch.where(torch.tensor([True]), None, 1.0), TypeError, "NoneType"),
    Refusal(
        "sizes of where",
        lambda torch: torch.where(torch.ones(2) > 0, torch.ones(3), 1.0),
        RuntimeError,
        r"tensor a \(2\)",
    ),
    Refusal("mask", lambda torch: torch.ones(2).masked_fill(torch.tensor([1, 0]), 1), RuntimeError, "boolean masks"),
    Refusal("no mask", lambda torch: torch.ones(2).masked_fill(True, 1), TypeError, "mask.*bool"),
    Refusal(
        "value with dims",
        lambda torch: torch.ones(2).masked_fill(torch.ones(2) > 0, torch.ones(1)),
        RuntimeError,
        "0-dimensional value",
    ),
    Refusal("text to fill", lambda torch: torch.ones(2).masked_fill(torch.ones(2) > 0, "a"), TypeError, "value.*str"),
    Refusal("complex", lambda torch: torch.ones(2).masked_fill(torch.ones(2) > 0, 1j), RuntimeError, "overflow"),
    Refusal("too large", lambda torch: torch.ones(2).masked_fill(torch.ones(2) > 0, 1e300), RuntimeError, "overflow"),
    Refusal("nan", lambda torch: torch.tensor([1]).masked_fill(torch.ones(1) > 0, NAN), RuntimeError, "overflow"),
    Refusal("sizes of masks", lambda torch: torch.ones(2).masked_fill(torch.ones(3) > 0, 1), RuntimeError, "tensor a"),
    Refusal("maximum of a number", lambda torch: torch.maximum(torch.ones(2), 1), TypeError, "other.*int"),
    Refusal("minimum with a number", lambda torch: torch.minimum(1, torch.ones(2)), TypeError, "input.*int"),
    Refusal("sizes", lambda torch: torch.maximum(torch.ones(2), torch.ones(3)), RuntimeError, r"tensor a \(2\)"),
]

FIRST, SECOND = [1.0, 2.0, NAN, 3.0, INF, -INF, 0.0], [2.0, 2.0, 1.0, NAN, INF, INF, -0.0]
EDGES = [
    (
        "maximum",
        lambda torch, x, y: torch.maximum(x, y),
        [FIRST, SECOND],
        [[2, 2, NAN, NAN, INF, INF, 0], [0, 0.5, 1, 1, 0.5, 0, 0.5], [1, 0.5, 1, 1, 0.5, 1, 0.5]],
    ),
    (
        "minimum",
        lambda torch, x, y: torch.minimum(x, y),
        [FIRST, SECOND],
        [[1, 2, NAN, NAN, INF, -INF, 0], [1, 0.5, 1, 1, 0.5, 1, 0.5], [0, 0.5, 1, 1, 0.5, 0, 0.5]],
    ),
    (
        "where keeps nan apart",
        lambda torch, x, y: torch.where(torch.tensor([True, False, True]), x, y),
        [[1.0, NAN, INF], [NAN, 2.0, 3.0]],
        [[1, 2, INF], [1, 0, 1], [0, 1, 0]],
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


@pytest.mark.parametrize("value", [7, gradcli.tensor(-1.0)])
def test_masked_fill_in_place(value):
    check_in_place("masked_fill", gradcli.tensor([True, False]), value, at=[1.5, 2.0])


@pytest.mark.parametrize(
    ("values", "dtype", "value", "expected"),
    [
        ([1, 2], "int64", 2.7, [2, 2]),
        ([True, False], "bool", 0.5, [True, False]),
        ([1, 2], "uint8", -1, [255, 2]),
        ([1.0, 2.0], "float32", -INF, [-INF, 2.0]),
    ],
)
def test_masked_fill_keeps_the_type(values, dtype, value, expected):
    x = gradcli.tensor(values, dtype=getattr(gradcli, dtype))
    result = x.masked_fill(gradcli.tensor([True, False]), value)
    assert result.dtype == x.dtype
    assert result.tolist() == expected


@pytest.mark.parametrize(
    ("first", "second", "dtype"),
    [(1, 2, "int64"), (1.0, 2, "float32"), (True, False, "bool"), (gradcli.tensor([1]), 2.5, "float32")],
)
def test_where_of_numbers_has_their_type(first, second, dtype):
    assert gradcli.where(gradcli.tensor([True, False]), first, second).dtype == getattr(gradcli, dtype)


def test_where_of_a_condition_alone_gives_the_indices_for_each_dim():
    rows, columns = gradcli.where(gradcli.tensor([[1.0, 0.0], [2.0, NAN]]))
    assert (rows.tolist(), columns.tolist()) == ([0, 1, 1], [0, 0, 1])
    assert rows.dtype == gradcli.int64
    (only,) = gradcli.where(gradcli.tensor(True))
    assert only.tolist() == [0]


def test_bytes_may_be_a_condition():
    assert gradcli.where(gradcli.tensor([2, 0], dtype=gradcli.uint8), 3, 4).tolist() == [3, 4]
