"""Verdicts on a derivative, by hand."""

from __future__ import annotations

import math
from typing import Any

import pytest

from gradcli.inspection.numerical_check.comparison import Quotient, judged, relative_error, rounding_of


def quotient(step: float, error: float, switched: int = 0) -> Quotient:
    return Quotient(
        step=step, numerical=1 + error, relative_error=error, switched=switched, switched_in=["relu"] * switched
    )


@pytest.mark.parametrize(
    ("analytical", "numerical", "rounding", "expected"),
    [
        (2.0, 2.0, 0.0, 0.0),
        (2.0, 1.0, 0.0, 0.5),
        (-1.0, 1.0, 0.0, 2.0),
        (0.0, 1e-9, 0.0, 1.0),
        (0.0, 1e-9, 1e-9, 1e-4),  # no more than rounding: just the tolerance
        (0.0, 1e-9, 1e-8, 1e-5),
        (math.nan, 1.0, 0.0, math.inf),
        (1.0, math.inf, 0.0, math.inf),
        (math.inf, math.inf, 0.0, 0.0),
    ],
)
def test_relative_error(analytical: float, numerical: float, rounding: float, expected: float) -> None:
    assert relative_error(analytical, numerical, rounding, 1e-4) == pytest.approx(expected, rel=1e-12)


def test_rounding_grows_with_the_loss_and_with_smaller_steps() -> None:
    assert rounding_of([-8.0, 2.0], 1e-6) == pytest.approx(16 * 2**-52 * 8 / 1e-6)
    assert rounding_of([1.0], 1e-7) == pytest.approx(10 * rounding_of([1.0], 1e-6))


@pytest.mark.parametrize(
    ("quotients", "verdict", "step"),
    [
        ([quotient(1e-5, 1e-6), quotient(1e-6, 1e-9)], "agrees", 1e-6),
        ([quotient(1e-5, 0.1, switched=2), quotient(1e-6, 1e-5)], "agrees", 1e-6),
        ([quotient(1e-5, 0.1), quotient(1e-6, 0.2)], "differs", 1e-5),
        ([quotient(1e-5, 1e-9, switched=1), quotient(1e-6, 0.2)], "differs", 1e-6),
        ([quotient(1e-5, 0.1, switched=1), quotient(1e-6, 0.2, switched=1)], "kink", 1e-5),
        ([quotient(1e-5, 0.1, switched=1), quotient(1e-6, 1e-5, switched=1)], "agrees", 1e-6),
        ([quotient(1e-5, math.inf)], "differs", 1e-5),
    ],
)
def test_verdict_and_best_step(quotients: Any, verdict: str, step: float) -> None:
    comparison = judged((0, 1), 1.0, quotients, tolerance=1e-4)
    assert (comparison.verdict, comparison.step, comparison.index) == (verdict, step, (0, 1))
    assert comparison.numerical == next(each.numerical for each in quotients if each.step == step)
    assert comparison.quotients == quotients
