"""Gathering along a dim and scattering back: values, gradients, smaller indices, repeated places, and refusals."""

from __future__ import annotations

import numpy as np
import pytest
from operation_cases import (
    Case,
    Refusal,
    check_gradient,
    check_value,
    checks_of,
    fixed,
    real,
    refusal_checks_of,
    transposed,
)

import gradcli

INDEX = [[2, 0, 1, 1], [0, 0, 2, 2]]


def index(values):
    return fixed(values, np.int64)


def gathered(x, i, axis):
    window = tuple(slice(None) if dim == axis else slice(size) for dim, size in enumerate(i.shape))
    return np.take_along_axis(x[window], i, axis)


def scattered(x, i, s, axis, add=False):
    result = x.copy()
    for place in np.ndindex(i.shape):
        target = (*place[:axis], i[place], *place[axis + 1 :])
        value = s if np.isscalar(s) else s[place]
        result[target] = result[target] + value if add else value
    return result


CASES = [
    Case(
        "gather rows",
        lambda torch, x, i: torch.gather(x, 0, i),
        real(3, 4),
        index(INDEX),
        expected=lambda x, i: gathered(x, i, 0),
    ),
    Case(
        "gather columns",
        lambda torch, x, i: x.gather(-1, i),
        real(3, 4),
        index(INDEX),
        expected=lambda x, i: gathered(x, i, 1),
    ),
    Case(
        "gather few",
        lambda torch, x, i: x.gather(0, i),
        transposed(real(3, 4)),
        index([[1]]),
        expected=lambda x, i: x[1:2, :1],
    ),
    Case(
        "gather 0-d", lambda torch, x, i: x.gather(0, i), real(), index([0, 0]), expected=lambda x, i: np.repeat(x, 2)
    ),
    Case("gather 0-d by 0-d", lambda torch, x, i: x.gather(0, i), real(), index(0), expected=lambda x, i: x),
    Case("gather nothing", lambda torch, x, i: x.gather(0, i), real(3, 4), index([]), expected=lambda x, i: x[:0, 0]),
    Case(
        "gather int32",
        lambda torch, x, i: x.gather(0, i),
        real(3, 4),
        fixed(INDEX, np.int32),
        expected=lambda x, i: gathered(x, i, 0),
    ),
    Case(
        "scatter_add rows",
        lambda torch, x, i, s: torch.scatter_add(x, 0, i, s),
        real(3, 4),
        index(INDEX),
        real(2, 4),
        expected=lambda x, i, s: scattered(x, i, s, 0, add=True),
    ),
    Case(
        "scatter_add 0-d",
        lambda torch, x, i, s: x.scatter_add(0, i, s),
        real(),
        index(0),
        real(),
        expected=lambda x, i, s: x + s,
    ),
    Case(
        "scatter",
        lambda torch, x, i, s: torch.scatter(x, 0, i, s),
        real(3, 4),
        index([[2, 0, 1, 1], [0, 1, 2, 2]]),
        real(2, 4),
        expected=lambda x, i, s: scattered(x, i, s, 0),
    ),
    Case(
        "scatter number",
        lambda torch, x, i: x.scatter(1, i, 2.5),
        real(3, 4),
        index(INDEX),
        expected=lambda x, i: scattered(x, i, 2.5, 1),
    ),
    Case(
        "take_along_dim",
        lambda torch, x, i: torch.take_along_dim(x, i, 1),
        real(3, 4),
        index([[3, -1, 0]]),
        expected=lambda x, i: np.take_along_axis(x, i, 1),
    ),
    Case(
        "take_along_dim broadcast",
        lambda torch, x, i: x.take_along_dim(i, dim=1),
        real(1, 4),
        index([[3, 0], [1, 1]]),
        expected=lambda x, i: np.take_along_axis(x, i, 1),
    ),
    Case(
        "take_along_dim of all",
        lambda torch, x, i: torch.take_along_dim(x, i),
        real(2, 3),
        index([5, 0, 5]),
        expected=lambda x, i: x.ravel()[i],
        graph_differs="PyTorch has a node of its own for reshaping to what is a view anyway",
    ),
]

# PyTorch has gradients for sources of the shape of the index only.
PARTS_OF_SOURCES = [
    Case(
        "scatter_add part of the source",
        lambda torch, x, i, s: x.scatter_add(1, i, s),
        real(3, 4),
        index([[3, 3], [0, 3]]),
        real(3, 4),
        expected=lambda x, i, s: scattered(x, i, s, 1, add=True),
    ),
    Case(
        "scatter_add nothing",
        lambda torch, x, i, s: x.scatter_add(0, i, s),
        real(3),
        index([]),
        real(2),
        expected=lambda x, i, s: x,
        twice=False,
    ),
    Case(
        "scatter part of the source",
        lambda torch, x, i, s: torch.scatter(x, 0, i, s),
        real(3, 4),
        index([[2, 0, 1, 1], [0, 1, 2, 2]]),
        real(3, 4),
        expected=lambda x, i, s: scattered(x, i, s, 0),
    ),
]

REFUSALS = [
    Refusal(
        "gather size",
        lambda torch: torch.ones(1, 1).gather(1, torch.zeros(2, 2).long()),
        RuntimeError,
        "Size does not match",
    ),
    Refusal(
        "gather dims",
        lambda torch: torch.ones(2, 2).gather(1, torch.zeros(2).long()),
        RuntimeError,
        "same number of dim",
    ),
    Refusal(
        "gather beyond",
        lambda torch: torch.ones(2).gather(0, torch.tensor([2])),
        RuntimeError,
        "index 2 is out of bounds",
    ),
    Refusal("gather before", lambda torch: torch.ones(2).gather(0, torch.tensor([-1])), RuntimeError, "index -1"),
    Refusal("gather dim", lambda torch: torch.ones(2).gather(1, torch.tensor([0])), IndexError, "range"),
    Refusal("gather floats", lambda torch: torch.ones(2).gather(0, torch.ones(1)), RuntimeError, "int32/int64"),
    Refusal("gather number", lambda torch: torch.ones(2).gather(0, 1), TypeError, "int"),
    Refusal(
        "scatter_add types",
        lambda torch: torch.ones(2, dtype=torch.float64).scatter_add(0, torch.tensor([0]), torch.ones(1)),
        RuntimeError,
        "dtype",
    ),
    Refusal(
        "scatter_add source",
        lambda torch: torch.ones(3).scatter_add(0, torch.tensor([0, 1]), torch.ones(1)),
        RuntimeError,
        "no larger",
    ),
    Refusal(
        "scatter_add number", lambda torch: torch.ones(3).scatter_add(0, torch.tensor([0]), 1.0), TypeError, "float"
    ),
    Refusal(
        "scatter dims",
        lambda torch: torch.ones(3).scatter(0, torch.tensor([0]), torch.ones(1, 1)),
        RuntimeError,
        "same number of dim",
    ),
    Refusal("scatter beyond", lambda torch: torch.ones(3).scatter(0, torch.tensor([3]), 1.0), RuntimeError, "index 3"),
    Refusal(
        "take_along_dim dims",
        lambda torch: torch.take_along_dim(torch.ones(2, 2), torch.tensor([0]), 0),
        RuntimeError,
        "same number of dim",
    ),
    Refusal(
        "take_along_dim floats",
        lambda torch: torch.take_along_dim(torch.ones(2), torch.ones(1), 0),
        RuntimeError,
        "Long",
    ),
]


@pytest.mark.parametrize(("check", "case"), checks_of(CASES))
def test_operation(check, case):
    check(case)


@pytest.mark.parametrize("check", [check_value, check_gradient])
@pytest.mark.parametrize("case", PARTS_OF_SOURCES, ids=str)
def test_sources_larger_than_the_index(check, case):
    check(case)


@pytest.mark.parametrize(("check", "refusal"), refusal_checks_of(REFUSALS))
def test_refusal(check, refusal):
    check(refusal)


def test_scattering_in_place():
    x = gradcli.zeros(3)
    x.scatter_add_(0, gradcli.tensor([1, 1]), gradcli.ones(2)).scatter_(0, gradcli.tensor([2]), value=5)
    assert x.tolist() == [0, 2, 5]
