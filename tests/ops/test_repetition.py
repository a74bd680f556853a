"""Copies side by side: values, gradients summed over the copies, dims in front, and what is refused."""

from __future__ import annotations

import numpy as np
import pytest
from operation_cases import Case, Refusal, checks_of, real, refusal_checks_of, transposed

CASES = [
    Case("repeat", lambda torch, x: x.repeat(2, 3), real(2, 3), expected=lambda x: np.tile(x, (2, 3))),
    Case("repeat new dim", lambda torch, x: x.repeat((3, 2, 1)), real(2, 3), expected=lambda x: np.tile(x, (3, 2, 1))),
    Case("repeat once", lambda torch, x: x.repeat(repeats=[1, 1]), real(2, 3), expected=np.copy),
    Case("repeat never", lambda torch, x: x.repeat(0, 1), real(2, 3), expected=lambda x: x[:0]),
    Case("repeat empty", lambda torch, x: x.repeat(2, 2), real(0, 3), expected=lambda x: np.tile(x, (2, 2))),
    Case("repeat 0-d", lambda torch, x: x.repeat(2, 3), real(), expected=lambda x: np.full((2, 3), x)),
    Case("repeat 0-d once", lambda torch, x: x.repeat(()), real(), expected=np.copy),
    Case(
        "repeat transposed",
        lambda torch, x: x.repeat(2, 1),
        transposed(real(2, 3)),
        expected=lambda x: np.vstack([x, x]),
    ),
    Case("tile", lambda torch, x: torch.tile(x, (2,)), real(2, 3), expected=lambda x: np.hstack([x, x])),
    Case("tile method", lambda torch, x: x.tile(2, 1, 1), real(2, 3), expected=lambda x: np.stack([x, x])),
    Case("tile by nothing", lambda torch, x: x.tile(dims=()), real(2, 3), expected=np.copy),
]

REFUSALS = [
    Refusal("repeat fewer dims", lambda torch: torch.ones(2, 3).repeat(2), RuntimeError, "Number of dimensions"),
    Refusal("repeat negative", lambda torch: torch.ones(2).repeat(-1), RuntimeError, "negative"),
    Refusal("repeat by floats", lambda torch: torch.ones(2).repeat(1.0), TypeError, "integers"),
    Refusal("repeat without number", lambda torch: torch.ones(2).repeat(), TypeError, "repeats"),
    Refusal("tile by a number", lambda torch: torch.tile(torch.ones(2), 2), TypeError, "tuple of ints"),
    Refusal("tile negative", lambda torch: torch.tile(torch.ones(2), (-2,)), RuntimeError, "negative"),
]


@pytest.mark.parametrize(("check", "case"), checks_of(CASES))
def test_operation(check, case):
    check(case)


@pytest.mark.parametrize(("check", "refusal"), refusal_checks_of(REFUSALS))
def test_refusal(check, refusal):
    check(refusal)
