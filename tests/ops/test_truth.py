"""all, any and count_nonzero: truth of numbers and bools, along dims, and what is refused."""

from __future__ import annotations

import numpy as np
import pytest
from operation_cases import Case, Refusal, checks_of, fixed, integers, real, refusal_checks_of

import gradcli

#     shape, arguments of PyTorch, NumPy's axis
ALONG = [
    ((2, 3), (), None),
    ((2, 3), (-1, True), -1),
    ((2, 3, 4), ((0, 2),), (0, 2)),
    ((2, 3), ((),), ()),
    ((2, 0), (1,), 1),
    ((0, 2), (), None),
    ((), (), None),
    ((), (0, True), None),
]


def reduced(function, axis, arguments):
    keepdims = len(arguments) > 1
    return lambda x: getattr(np, function)(x > 0, axis=axis if x.ndim else None, keepdims=keepdims)


CASES = [
    *[
        Case(
            f"{name} {shape} {arguments}",
            lambda torch, x, n=name, a=arguments: getattr(torch, n)(x > 0, *a),
            real(*shape),
            expected=reduced(name, axis, arguments),
            differentiable=False,
        )
        for name in ("all", "any")
        for shape, arguments, axis in ALONG
    ],
    Case(
        "all of floats",
        lambda torch, x: x.all(1),
        fixed([[0.5, 0], [1, 2]]),
        expected=lambda x: np.array([False, True]),
        differentiable=False,
    ),
    *[
        Case(
            f"count_nonzero {dim}",
            lambda torch, x, d=dim: torch.count_nonzero(x, d),
            integers(2, 3, 4),
            expected=lambda x, a=axis: np.count_nonzero(x, axis=a),
            differentiable=False,
        )
        for dim, axis in ((None, None), (0, 0), (-1, -1), ((0, 1), None), ((), None))
    ],
]

REFUSALS = [
    Refusal("all", lambda torch: torch.ones(2).all(2), IndexError, r"range of \[-1, 0\], but got 2"),
    Refusal("any twice", lambda torch: torch.ones(2, 2).any((0, -2)), RuntimeError, "dim 0 appears multiple times"),
    Refusal("count_nonzero", lambda torch: torch.ones(2).count_nonzero(1), IndexError, "but got 1"),
]


@pytest.mark.parametrize(("check", "case"), checks_of(CASES))
def test_operation(check, case):
    check(case)


@pytest.mark.parametrize(("check", "refusal"), refusal_checks_of(REFUSALS))
def test_refusal(check, refusal):
    check(refusal)


def test_all_and_any_of_uint8_are_uint8():
    bytes_ = gradcli.tensor([2, 0], dtype=gradcli.uint8)
    assert (bytes_.all().dtype, bytes_.any().item()) == (gradcli.uint8, 1)
