"""Norms, relative difference and cosine, against formulas in exact arithmetic."""

from __future__ import annotations

import math
from fractions import Fraction

import numpy as np
import pytest

from gradcli.inspection.differences.vector_difference import VectorDifference, joined, vector_difference


def compared(a: np.ndarray, b: np.ndarray, parts: int = 1) -> VectorDifference:
    pieces = zip(np.array_split(a, parts), np.array_split(b, parts), strict=True)
    return joined([vector_difference(one, other, one - other) for one, other in pieces])


@pytest.mark.parametrize("parts", [1, 3, 7])
@pytest.mark.parametrize("scale", [1.0, 1e-200, 1e-160, 1e150, 1e200, 5e-310])
def test_against_exact_arithmetic_at_any_scale(scale: float, parts: int) -> None:
    generator = np.random.default_rng(0)
    a = generator.normal(size=50) * scale
    b = a + 0.01 * generator.normal(size=50) * scale
    exact_a, exact_b = [Fraction(each) for each in a.tolist()], [Fraction(each) for each in b.tolist()]
    squares_a, squares_b = sum(each**2 for each in exact_a), sum(each**2 for each in exact_b)
    product = sum(one * other for one, other in zip(exact_a, exact_b, strict=True))
    squares = sum((one - other) ** 2 for one, other in zip(exact_a, exact_b, strict=True))
    found = compared(a, b, parts)
    rel = 1e-4 if scale < 1e-300 else 1e-13  # subnormal numbers have few digits
    assert found.relative == pytest.approx(math.sqrt(squares / squares_b), rel=rel)
    assert found.cosine == pytest.approx(math.sqrt(product**2 / (squares_a * squares_b)), abs=1e-13)
    assert found.norm_a / scale == pytest.approx(math.sqrt(squares_a / Fraction(scale) ** 2), rel=rel)


@pytest.mark.parametrize(
    ("a", "b", "relative", "cosine"),
    [
        ([3.0, 4.0], [3.0, 4.0], 0.0, 1.0),
        ([0.0], [0.0], 0.0, 1.0),
        ([], [], 0.0, 1.0),
        ([3.0, 4.0], [-3.0, -4.0], 2.0, -1.0),
        ([1.0, 0.0], [0.0, 1.0], math.sqrt(2), 0.0),
        ([1.0], [0.0], math.inf, math.nan),
        ([0.0], [2.0], 1.0, math.nan),
        ([math.nan], [2.0], math.nan, math.nan),
        ([math.inf], [2.0], math.inf, math.nan),
        ([2.0], [math.inf], math.nan, math.nan),
    ],
)
def test_the_edges(a: list[float], b: list[float], relative: float, cosine: float) -> None:
    with np.errstate(invalid="ignore"):
        found = compared(np.array(a), np.array(b))
    assert found.relative == pytest.approx(relative, nan_ok=True)
    assert found.cosine == pytest.approx(cosine, nan_ok=True)


def test_no_parts_are_no_difference() -> None:
    assert joined([]) == VectorDifference(0.0, 0.0, 0.0, 0.0)
