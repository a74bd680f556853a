"""Selecting by lists of positions and masks, adding at positions, and finding them."""

from __future__ import annotations

import numpy as np
import pytest
from operation_cases import Case, Refusal, checks_of, fixed, real, refusal_checks_of, transposed

import gradcli


def index(*values):
    return fixed(values, np.int64)


def added(x, i, s, axis, alpha=1.0):
    result = x.copy()
    np.add.at(np.moveaxis(result, axis, 0), i, alpha * np.moveaxis(s, axis, 0))
    return result


MASK = fixed([[True, False, True], [False, True, False]], np.bool_)
CASES = [
    Case(
        "index_select",
        lambda torch, x, i: torch.index_select(x, 0, i),
        real(3, 2),
        index(2, 0, 2),
        expected=lambda x, i: x[i],
    ),
    Case(
        "index_select last",
        lambda torch, x, i: x.index_select(-1, i),
        transposed(real(3, 2)),
        index(1),
        expected=lambda x, i: x[:, i],
    ),
    Case(
        "index_select none", lambda torch, x, i: x.index_select(0, i), real(3, 2), index(), expected=lambda x, i: x[i]
    ),
    Case(
        "index_select 0-d index",
        lambda torch, x, i: x.index_select(0, i),
        real(3, 2),
        fixed(1, np.int64),
        expected=lambda x, i: x[1:2],
    ),
    Case("index_select of 0-d", lambda torch, x, i: x.index_select(0, i), real(), index(0), expected=lambda x, i: x),
    Case(
        "index_add",
        lambda torch, x, i, s: torch.index_add(x, 0, i, s),
        real(3, 2),
        index(2, 0, 2),
        real(3, 2),
        expected=lambda x, i, s: added(x, i, s, 0),
    ),
    Case(
        "index_add scaled",
        lambda torch, x, i, s: x.index_add(-1, i, s, alpha=2),
        real(3, 2),
        index(1, 1, 0),
        real(3, 3),
        expected=lambda x, i, s: added(x, i, s, 1, 2.0),
    ),
    Case(
        "index_add 0-d",
        lambda torch, x, i, s: x.index_add(0, i, s),
        real(),
        index(0),
        real(),
        expected=lambda x, i, s: x + s,
    ),
    Case(
        "take",
        lambda torch, x, i: torch.take(x, i),
        real(2, 3),
        fixed([[5, 0], [-1, 2]], np.int64),
        expected=lambda x, i: x.ravel()[i],
    ),
    Case("take 0-d", lambda torch, x, i: x.take(i), real(2, 3), fixed(4, np.int64), expected=lambda x, i: x[1, 1]),
    Case("masked_select", lambda torch, x, m: torch.masked_select(x, m), real(2, 3), MASK, expected=lambda x, m: x[m]),
    Case(
        "masked_select broadcast",
        lambda torch, x, m: x.masked_select(m),
        real(3),
        MASK,
        expected=lambda x, m: np.broadcast_to(x, (2, 3))[m],
    ),
    Case(
        "masked_select row",
        lambda torch, x, m: x.masked_select(m),
        real(2, 3),
        fixed([True, False, True], np.bool_),
        expected=lambda x, m: x[:, m].ravel(),
    ),
    Case(
        "masked_select 0-d",
        lambda torch, x, m: x.masked_select(m),
        real(),
        fixed(True, np.bool_),
        expected=lambda x, m: x.reshape(1),
    ),
    Case(
        "nonzero",
        lambda torch, x: torch.nonzero(x),
        fixed([[0.0, 2.0], [np.nan, 0.0]]),
        expected=lambda x: np.argwhere(x),
        differentiable=False,
    ),
]

REFUSALS = [
    Refusal("beyond", lambda torch: torch.ones(2).index_select(0, torch.tensor([2])), IndexError, "out of range"),
    Refusal("before", lambda torch: torch.ones(2).index_select(0, torch.tensor([-1])), IndexError, "out of range"),
    Refusal("matrix", lambda torch: torch.ones(2).index_select(0, torch.tensor([[1]])), IndexError, "vector"),
    Refusal("floats", lambda torch: torch.ones(2).index_select(0, torch.ones(1)), RuntimeError, "int32/int64"),
    Refusal("number", lambda torch: torch.ones(2).index_select(0, 1), TypeError, "int"),
    Refusal(
        "0-d twice", lambda torch: torch.tensor(1.0).index_select(0, torch.tensor([0, 0])), RuntimeError, "only 1 value"
    ),
    Refusal(
        "index_add beyond",
        lambda torch: torch.ones(2, 1).index_add(0, torch.tensor([2]), torch.ones(1, 1)),
        RuntimeError,
        "index 2 is out of bounds",
    ),
    Refusal(
        "index_add beyond a vector",
        lambda torch: torch.ones(2).index_add(0, torch.tensor([2]), torch.ones(1)),
        IndexError,
        "out of range",
    ),
    Refusal(
        "index_add count",
        lambda torch: torch.ones(2).index_add(0, torch.tensor([0, 1]), torch.ones(1)),
        RuntimeError,
        "Number of indices",
    ),
    Refusal(
        "index_add shape",
        lambda torch: torch.ones(2, 3).index_add(0, torch.tensor([0]), torch.ones(1, 2)),
        RuntimeError,
        "source tensor shape",
    ),
    Refusal(
        "index_add types",
        lambda torch: torch.ones(2).index_add(0, torch.tensor([0]), torch.ones(1, dtype=torch.float64)),
        RuntimeError,
        "same scalar type",
    ),
    Refusal("take beyond", lambda torch: torch.ones(2).take(torch.tensor([2])), IndexError, "out of range"),
    Refusal("take floats", lambda torch: torch.ones(2).take(torch.ones(1)), RuntimeError, "long"),
    Refusal("take of nothing", lambda torch: torch.ones(0).take(torch.tensor([0])), IndexError, "empty"),
    Refusal("mask of integers", lambda torch: torch.ones(2).masked_select(torch.tensor([1, 0])), RuntimeError, "Bool"),
    Refusal("mask shape", lambda torch: torch.ones(2).masked_select(torch.ones(3) > 0), RuntimeError, "must match"),
]


@pytest.mark.parametrize(("check", "case"), checks_of(CASES))
def test_operation(check, case):
    check(case)


@pytest.mark.parametrize(("check", "refusal"), refusal_checks_of(REFUSALS))
def test_refusal(check, refusal):
    check(refusal)


def test_positions_of_what_is_not_zero():
    x = gradcli.tensor([[0, 1], [2, 0]])
    assert x.nonzero().tolist() == gradcli.argwhere(x).tolist() == [[0, 1], [1, 0]]
    assert [part.tolist() for part in x.nonzero(as_tuple=True)] == [[0, 1], [1, 0]]
    assert gradcli.nonzero(gradcli.tensor(3.0)).shape == (1, 0)
    assert [part.tolist() for part in gradcli.tensor(3.0).nonzero(as_tuple=True)] == [[0]]
