"""Where numbers are on an axis, linear or logarithmic, and at which of them it has ticks."""

from __future__ import annotations

import math
from collections.abc import Iterable
from dataclasses import dataclass

MOST_TICKS = 7
_MOST = 1e300
"""Numbers beyond it are at the end of an axis, so that differences stay finite."""


@dataclass(frozen=True)
class Axis:
    """An axis from `low` to `high`, drawn from pixel `start` to pixel `end`, with its ticks."""

    low: float
    high: float
    start: float
    end: float
    ticks: tuple[float, ...]
    is_log: bool = False

    def place(self, value: float) -> float:
        """The pixel of a finite value, above 0 on a logarithmic axis; values beyond the ends are at them."""
        low, high = (math.log10(self.low), math.log10(self.high)) if self.is_log else (self.low, self.high)
        share = ((math.log10(value) if self.is_log else value) - low) / (high - low)
        return self.start + min(max(share, 0.0), 1.0) * (self.end - self.start)

    def text(self, tick: float) -> str:
        """A tick's label: as few digits, 5 or more, as tell all ticks apart; powers of ten from afar as `1e-05`."""
        texts = (f"{tick:.{digits}g}" for digits in range(5, 17) if self._differ(digits))
        return next(texts, f"{tick:.17g}")

    def _differ(self, digits: int) -> bool:
        return len({f"{tick:.{digits}g}" for tick in self.ticks}) == len(self.ticks)


def linear_axis(values: Iterable[float], start: float, end: float, *, from_zero: bool = False) -> Axis:
    """An axis for the finite ones of the values whose ends are ticks, at 1, 2 or 5 times a power of ten."""
    finite = [_bounded(value) for value in values if math.isfinite(value)] or [0.0, 1.0]
    low, high = min(finite), max(finite)
    if from_zero:
        low = min(low, 0.0)
    if high - low <= max(abs(low), abs(high)) * 1e-12 or high - low < 1 / _MOST:
        margin = abs(low) / 2 or 1.0
        low, high = (low, high + margin) if from_zero and low == 0 else (low - margin, high + margin)
    step = _round_step((high - low) / (MOST_TICKS - 2))
    first, last = math.floor(low / step), math.ceil(high / step)
    ticks = tuple(number * step for number in range(first, last + 1))
    return Axis(ticks[0], ticks[-1], start, end, ticks)


def log_axis(values: Iterable[float], start: float, end: float) -> Axis:
    """An axis for the finite ones of the values above 0 whose ends are powers of ten."""
    finite = [_bounded(max(value, 1 / _MOST)) for value in values if math.isfinite(value) and value > 0] or [1.0]
    first, last = math.floor(math.log10(min(finite))), math.ceil(math.log10(max(finite)))
    if first == last:
        first -= 1
    every = math.ceil((last - first) / (MOST_TICKS - 1))
    ticks = tuple(10.0**power for power in range(first, last + 1, every))
    return Axis(10.0**first, 10.0**last, start, end, ticks, is_log=True)


def _bounded(value: float) -> float:
    return min(max(float(value), -_MOST), _MOST)


def _round_step(step: float) -> float:
    """The smallest of 1, 2 and 5 times a power of ten that is no smaller."""
    power: float = 10.0 ** math.floor(math.log10(step))
    return next(factor * power for factor in (1, 2, 5, 10) if factor * power >= step * (1 - 1e-9))
