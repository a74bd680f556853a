"""One derivative from backward beside the numerical ones of several step sizes, and the verdict on it."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal

import numpy as np

Verdict = Literal["agrees", "differs", "kink"]

ROUNDING = 16
"""The error of a difference of two losses, in units of float64's epsilon times the loss; up to 1 is what one sees."""


@dataclass(frozen=True, kw_only=True)
class Quotient:
    """The central difference of one step size.

    `relative_error` is that of the analytic derivative. `switched` counts the ReLU outputs and max-pooling windows that
    went another way below than above, in the modules `switched_in`: there is a kink in between.
    """

    step: float
    numerical: float
    relative_error: float
    switched: int
    switched_in: list[str]


@dataclass(frozen=True, kw_only=True)
class Comparison:
    """A derivative by one entry of a parameter, or, where `index` is None, along a random direction of all its entries.

    `numerical`, `relative_error` and `step` are those of the step size that agreed best; with a kink within that step
    only where there is one within all of them.
    """

    index: tuple[int, ...] | None
    verdict: Verdict
    analytical: float
    numerical: float
    relative_error: float
    step: float
    quotients: list[Quotient]


def relative_error(analytical: float, numerical: float, rounding: float, tolerance: float) -> float:
    """|analytical - numerical| over the larger of the two, or over rounding / tolerance if that is larger still.

    So it exceeds the tolerance only where the difference is more than `rounding` can make it. Infinite for NaN.
    """
    if analytical == numerical:
        return 0.0
    error = abs(analytical - numerical)
    scale = max(abs(analytical), abs(numerical), rounding / tolerance)
    return error / scale if math.isfinite(error) else math.inf


def rounding_of(losses: Sequence[float], step: float) -> float:
    """By how much a central difference of these losses may be off because they are rounded."""
    return ROUNDING * float(np.finfo(np.float64).eps) * max(map(abs, losses)) / step


def judged(
    index: tuple[int, ...] | None, analytical: float, quotients: Sequence[Quotient], tolerance: float
) -> Comparison:
    """The comparison by the best of the quotients.

    `agrees` where the best without a kink is within the tolerance, `differs` where it is not. With a kink within every
    step, the best of all may still agree; if not, the verdict is `kink`: the derivatives from both sides differ there,
    and the analytic one may be right.
    """
    smooth = [quotient for quotient in quotients if not quotient.switched]
    best = min(smooth or quotients, key=lambda quotient: quotient.relative_error)
    verdict: Verdict = "agrees"
    if not best.relative_error <= tolerance:
        verdict = "differs" if smooth else "kink"
    return Comparison(
        index=index,
        verdict=verdict,
        analytical=analytical,
        numerical=best.numerical,
        relative_error=best.relative_error,
        step=best.step,
        quotients=list(quotients),
    )
