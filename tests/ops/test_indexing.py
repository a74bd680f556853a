"""Indexing: every kind of index against NumPy and PyTorch, gradients with repeated places, and what is refused."""

from __future__ import annotations

import numpy as np
import pytest
from operation_cases import Case, Refusal, checks_of, fixed, real, refusal_checks_of, transposed

import gradcli

# Each is a Python index expression for x of shape (3, 4, 2) that NumPy, PyTorch and gradcli understand alike.
BASIC = [
    "0",
    "-1",
    "0, 1",
    "2, -4, 1",
    ":, 1",
    "..., 1",
    "..., -1, :",
    "0, ..., 0",
    "None",
    ":, None, 1",
    "0, None, ..., None",
    "1:",
    "::2",
    "0:0",
    "5:",
    "-2:",
    ":-1, 1::2",
    "...",
    "()",
    ":",
    ":, :",
    ":, :, 1:",
]
# The same with index arrays; `array` makes one in either library.
ADVANCED = [
    "array([0, 2])",
    "array([0, -1, 0, 0])",
    "array([[0, 1], [1, 2]])",
    "array([0, 1]), 1",
    "1, array([0, 3])",
    ":, array([3, 0])",
    "..., array([1, 0, 1])",
    "array([0, 1]), array([1, 3])",
    "array([0, 1]), :, array([0, 1])",
    "array([0, 1]), array([[0], [1]])",
    "None, array([0, 1])",
    "array([0, 1]), None",
    "array([True, False, True])",
    "array([True, False, False]), 1:",
    ":, array([True, False, True, False])",
    "array([False, False, False])",
    "[0, 2]",
    "[]",
    "True",
    "False",
    "array(True)",
    "array(2)",
]


def take(x, index, array):
    return eval(f"x[{index}]", {"x": x, "array": array})


CASES = [
    *[
        Case(
            f"x[{index}]",
            lambda torch, x, i=index: take(x, i, torch.tensor),
            real(3, 4, 2),
            expected=lambda x, i=index: take(x, i, np.array),
        )
        for index in (*BASIC, *ADVANCED)
    ],
    Case(
        "x[x > 0]",
        lambda torch, x: x[x > 0],
        fixed([[1.0, -2.0], [3.0, -4.0]]),
        expected=lambda x: x[x > 0],
    ),
    Case("transposed", lambda torch, x: x[1:, 0], transposed(real(3, 4)), expected=lambda x: x[1:, 0]),
    Case("0-d", lambda torch, x: x[None], real(), expected=lambda x: x[None]),
    Case("empty", lambda torch, x: x[:, 1:], real(0, 3), expected=lambda x: x[:, 1:]),
    Case("select", lambda torch, x: torch.select(x, -1, 1), real(2, 3), expected=lambda x: x[:, 1]),
    Case("overlapping", lambda torch, x: x[1:] * x[:-1], real(5), expected=lambda x: x[1:] * x[:-1]),
    Case(
        "iterated",
        lambda torch, x: sum(row * i for i, row in enumerate(x)),
        real(3, 2),
        expected=lambda x: x[1] + 2 * x[2],
    ),
]

REFUSALS = [
    Refusal(
        "beyond", lambda torch: torch.ones(2, 3)[2], IndexError, "index 2 is out of bounds for dimension 0 with size 2"
    ),
    Refusal("second beyond", lambda torch: torch.ones(2, 3)[0, 3], IndexError, "index 3 .* dimension 1 with size 3"),
    Refusal("before", lambda torch: torch.ones(2, 3)[:, -4], IndexError, "index -4 is out of bounds for dimension 1"),
    Refusal("too many", lambda torch: torch.ones(2, 3)[0, 0, 0], IndexError, "too many|0-dim"),
    Refusal("too many slices", lambda torch: torch.ones(2)[:, :], IndexError, "too many indices|Dimension"),
    Refusal("0-d", lambda torch: torch.tensor(1.0)[0], IndexError, "0-dim"),
    Refusal("select 0-d", lambda torch: torch.tensor(1.0).select(0, 0), IndexError, "0-dim"),
    Refusal("step", lambda torch: torch.ones(3)[::-1], ValueError, "step"),
    Refusal("array beyond", lambda torch: torch.ones(2)[torch.tensor([2])], IndexError, "index 2 is out of bounds"),
    Refusal("floats", lambda torch: torch.ones(2)[torch.tensor([0.0])], IndexError, "used as indices"),
    Refusal("int16", lambda torch: torch.ones(2)[torch.tensor([0], dtype=torch.int16)], IndexError, "used as indices"),
    Refusal("mask", lambda torch: torch.ones(2)[torch.tensor([True])], IndexError, "mask"),
    Refusal("broadcast", lambda torch: torch.ones(2, 2)[[0, 1], [0, 1, 0]], IndexError, "broadcast"),
    Refusal("iteration", lambda torch: list(torch.tensor(1.0)), TypeError, "0-d"),
    Refusal("two ellipses", lambda torch: torch.ones(2)[..., ...], IndexError, "single ellipsis", differs="as NumPy"),
]


@pytest.mark.parametrize(("check", "case"), checks_of(CASES))
def test_operation(check, case):
    check(case)


@pytest.mark.parametrize(("check", "refusal"), refusal_checks_of(REFUSALS))
def test_refusal(check, refusal):
    check(refusal)


def test_gradients_of_repeated_places_add_up():
    x = gradcli.zeros(3, requires_grad=True)
    x[gradcli.tensor([0, 2, 0, 0])].sum().backward()
    assert x.grad.tolist() == [3, 0, 1]


def test_index_types():
    x = gradcli.arange(6).reshape(2, 3)
    assert x[np.int64(1), 2].item() == 5
    assert x[np.array([1, 0]), 0].tolist() == [3, 0]
    assert x[gradcli.tensor([1], dtype=gradcli.int32)].tolist() == [[3, 4, 5]]
    assert x[gradcli.tensor(0) : gradcli.tensor(1)].tolist() == [[0, 1, 2]]


def test_iteration_and_length():
    x = gradcli.arange(6).reshape(2, 3)
    assert [row.tolist() for row in x] == [[0, 1, 2], [3, 4, 5]]
    assert len(x) == 2


def test_a_slice_takes_integers_only():
    with pytest.raises(TypeError, match="integer"):
        gradcli.arange(5)[0:1.5]
