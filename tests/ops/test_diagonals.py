"""Diagonals and triangles: values, gradients, offsets on both sides, batches, and what is refused."""

from __future__ import annotations

import numpy as np
import pytest
from operation_cases import Case, Refusal, checks_of, fixed, integers, real, refusal_checks_of, transposed

import gradcli

CASES = [
    *[
        Case(
            f"diagonal {offset}",
            lambda torch, x, o=offset: torch.diagonal(x, o),
            real(3, 4),
            expected=lambda x, o=offset: np.diagonal(x, o),
        )
        for offset in (0, 1, -2, 3, 4, -7)
    ],
    Case(
        "diagonal of matrices",
        lambda torch, x: x.diagonal(offset=1, dim1=-1, dim2=0),
        real(2, 3, 4),
        expected=lambda x: np.diagonal(x, 1, 2, 0),
    ),
    Case("diagonal transposed", lambda torch, x: x.diagonal(), transposed(real(3, 3)), expected=np.diagonal),
    Case("diagonal empty", lambda torch, x: x.diagonal(), real(0, 3), expected=np.diagonal),
    *[
        Case(
            f"{name} {diagonal}",
            lambda torch, x, n=name, d=diagonal: getattr(torch, n)(x, d),
            real(3, 4),
            expected=lambda x, f=function, d=diagonal: f(x, d),
        )
        for name, function in (("tril", np.tril), ("triu", np.triu))
        for diagonal in (0, 1, -1, 5, -5)
    ],
    Case("tril of matrices", lambda torch, x: x.tril(diagonal=-1), real(2, 3, 4), expected=lambda x: np.tril(x, -1)),
    Case("triu of matrices", lambda torch, x: x.triu(), real(2, 1, 3, 3), expected=np.triu),
    Case("tril empty", lambda torch, x: x.tril(), real(0, 3), expected=np.copy),
    Case("tril integers", lambda torch, x: x.tril(), integers(9, 3, 3), expected=np.tril, differentiable=False),
    Case(
        "triu bools",
        lambda torch, x: x.triu(1),
        fixed(np.ones((3, 3)), np.bool_),
        expected=lambda x: np.triu(x, 1),
        differentiable=False,
    ),
]

REFUSALS = [
    Refusal("diagonal one dim", lambda torch: torch.ones(2, 3).diagonal(0, 1, -1), RuntimeError, "cannot be identical"),
    Refusal("diagonal dim", lambda torch: torch.ones(2, 3).diagonal(0, 0, 2), IndexError, "but got 2"),
    Refusal("diagonal of a vector", lambda torch: torch.ones(2).diagonal(), IndexError, "but got 1"),
    Refusal("tril of a vector", lambda torch: torch.ones(2).tril(), RuntimeError, "tril.*at least 2 dim"),
    Refusal("triu of a vector", lambda torch: torch.ones(2).triu(), RuntimeError, "triu.*at least 2 dim"),
    Refusal("tril by a float", lambda torch: torch.ones(2, 2).tril(1.0), TypeError, "float"),
]


@pytest.mark.parametrize(("check", "case"), checks_of(CASES))
def test_operation(check, case):
    check(case)


@pytest.mark.parametrize(("check", "refusal"), refusal_checks_of(REFUSALS))
def test_refusal(check, refusal):
    check(refusal)


@pytest.mark.parametrize("function", [gradcli.tril, gradcli.triu])
def test_what_lies_outside_a_triangle_is_zero_even_where_it_was_not_finite(function):
    x = gradcli.full((2, 2), float("nan"))
    assert sorted(np.isnan(function(x).array).ravel()) == [False, True, True, True]


def test_a_diagonal_is_a_view_that_can_be_written_through():
    x = gradcli.zeros(2, 2)
    x.diagonal().array[...] = 1
    assert x.tolist() == [[1, 0], [0, 1]]
