"""Two vectors and their difference as lengths and an angle, which can be put together from parts."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Final

import numpy as np

Vector = np.ndarray[Any, np.dtype[np.float64]]

# Between these a sum of squares has lost nothing to underflow or overflow that matters to its root.
_SMALLEST_SQUARES: Final = 1e-290
_LARGEST_SQUARES: Final = 1e307


@dataclass(frozen=True, slots=True)
class VectorDifference:
    """Euclidean norms of vectors a, b and a - b, and the cosine of the angle between a and b (0 where one is zero)."""

    norm_a: float
    norm_b: float
    norm_difference: float
    alignment: float

    @property
    def relative(self) -> float:
        """|a - b| / |b|: 0 for equal vectors, infinite where only b is zero."""
        if self.norm_difference == 0:
            return 0.0
        return self.norm_difference / self.norm_b if self.norm_b else math.inf

    @property
    def cosine(self) -> float:
        """The cosine between a and b: 1 for equal vectors, NaN where one alone is zero, which has no direction."""
        if self.norm_difference == 0:
            return 1.0
        if 0.0 in (self.norm_a, self.norm_b) or math.isnan(self.alignment):
            return math.nan
        return max(-1.0, min(1.0, self.alignment))


@np.errstate(over="ignore", under="ignore", invalid="ignore")
def vector_difference(a: Vector, b: Vector, difference: Vector) -> VectorDifference:
    """What sets a apart from b, given `difference`, which is |a - b| or a - b. No square overflows or vanishes."""
    norm_a, norm_b = _norm(a), _norm(b)
    alignment = 0.0
    if norm_a and norm_b:
        is_safe = all(_SMALLEST_SQUARES < norm * norm < _LARGEST_SQUARES for norm in (norm_a, norm_b))
        alignment = float(np.dot(a, b) / (norm_a * norm_b) if is_safe else np.dot(a / norm_a, b / norm_b))
    return VectorDifference(norm_a, norm_b, _norm(difference), alignment)


def joined(parts: Sequence[VectorDifference]) -> VectorDifference:
    """Of the vectors that consist of these parts."""
    norm_a = math.hypot(*(part.norm_a for part in parts))
    norm_b = math.hypot(*(part.norm_b for part in parts))
    alignment = 0.0
    if norm_a and norm_b:
        alignment = math.fsum(part.alignment * (part.norm_a / norm_a) * (part.norm_b / norm_b) for part in parts)
    return VectorDifference(norm_a, norm_b, math.hypot(*(part.norm_difference for part in parts)), alignment)


def _norm(vector: Vector) -> float:
    squares = float(np.dot(vector, vector))
    if _SMALLEST_SQUARES < squares < _LARGEST_SQUARES:
        return math.sqrt(squares)
    largest = float(np.max(np.abs(vector), initial=0.0))
    if largest == 0 or not math.isfinite(largest):
        return largest
    scaled = vector / largest
    return largest * math.sqrt(float(np.dot(scaled, scaled)))
