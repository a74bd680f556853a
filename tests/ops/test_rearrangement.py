"""Elements reversed or shifted around: values, gradients that move back, negative dims, and what is refused."""

from __future__ import annotations

import numpy as np
import pytest
from operation_cases import Case, Refusal, channels_last, checks_of, integers, real, refusal_checks_of

import gradcli

CASES = [
    *[
        Case(
            f"flip {dims}",
            lambda torch, x, d=dims: torch.flip(x, d),
            real(2, 3, 4),
            expected=lambda x, d=dims: np.flip(x, d),
        )
        for dims in [(0,), (-1,), (0, 2), (0, -1, 1), ()]
    ],
    Case("flip method", lambda torch, x: x.flip(0, 1), real(2, 3), expected=np.flip),
    Case("flip by name", lambda torch, x: x.flip(dims=[0]), real(2, 3), expected=np.flipud),
    Case("flip empty", lambda torch, x: x.flip(0), real(0, 3), expected=np.copy),
    Case("flip 0-d", lambda torch, x: x.flip(0), real(), expected=np.copy),
    Case(
        "flip channels-last", lambda torch, x: x.flip(1), channels_last(real(2, 3, 2, 2)), expected=lambda x: x[:, ::-1]
    ),
    Case("flip integers", lambda torch, x: x.flip(0), integers(9, 4), expected=np.flip, differentiable=False),
    Case("fliplr", lambda torch, x: torch.fliplr(x), real(2, 3), expected=np.fliplr),
    Case("flipud", lambda torch, x: x.flipud(), real(2, 3), expected=np.flipud),
    Case("roll", lambda torch, x: torch.roll(x, 1), real(2, 3), expected=lambda x: np.roll(x, 1)),
    Case("roll dim", lambda torch, x: x.roll(-1, 1), real(2, 3), expected=lambda x: np.roll(x, -1, 1)),
    Case(
        "roll dims",
        lambda torch, x: x.roll(shifts=(1, -5), dims=(0, -1)),
        real(2, 3),
        expected=lambda x: np.roll(x, (1, -5), (0, 1)),
    ),
    Case("roll a dim twice", lambda torch, x: x.roll((1, 1), (1, 1)), real(2, 3), expected=lambda x: np.roll(x, 2, 1)),
    Case("roll far", lambda torch, x: x.roll(10_000, 1), real(2, 3), expected=lambda x: np.roll(x, 1, 1)),
    Case("roll empty", lambda torch, x: x.roll(1, 0), real(0, 3), expected=np.copy),
    Case("roll 0-d", lambda torch, x: x.roll(3), real(), expected=np.copy),
]

REFUSALS = [
    Refusal("flip dim", lambda torch: torch.ones(2, 3).flip(2), IndexError, "but got 2"),
    Refusal("flip twice", lambda torch: torch.ones(2, 3).flip(0, -2), RuntimeError, "multiple times"),
    Refusal("flip by a number", lambda torch: torch.flip(torch.ones(2), 0), TypeError, "tuple of ints"),
    Refusal("flip nothing", lambda torch: torch.ones(2).flip(), TypeError, "dims"),
    Refusal("fliplr", lambda torch: torch.fliplr(torch.ones(2)), RuntimeError, ">= 2-d"),
    Refusal("flipud", lambda torch: torch.flipud(torch.tensor(1.0)), RuntimeError, ">= 1-d"),
    Refusal("roll by nothing", lambda torch: torch.ones(2).roll(()), RuntimeError, "`shifts` required"),
    Refusal("roll too many shifts", lambda torch: torch.ones(2).roll((1, 2), 0), RuntimeError, "align"),
    Refusal("roll too many dims", lambda torch: torch.ones(2, 3).roll(1, (0, 1)), RuntimeError, "align"),
    Refusal("roll dim", lambda torch: torch.ones(2, 3).roll(1, 2), IndexError, "but got 2"),
    Refusal("roll a dim of 0-d", lambda torch: torch.tensor(1.0).roll(1, 0), IndexError, "no dimensions"),
    Refusal("roll by floats", lambda torch: torch.ones(2).roll(1.5), TypeError, "integers"),
]


@pytest.mark.parametrize(("check", "case"), checks_of(CASES))
def test_operation(check, case):
    check(case)


@pytest.mark.parametrize(("check", "refusal"), refusal_checks_of(REFUSALS))
def test_refusal(check, refusal):
    check(refusal)


@pytest.mark.parametrize(
    "function", [lambda x: x.flip(0), lambda x: x.flip(()), lambda x: x.roll(0), lambda x: x.roll(1, 0)]
)
def test_results_are_copies(function):
    x = gradcli.ones(2, 3)
    assert not np.shares_memory(function(x).array, x.array)
