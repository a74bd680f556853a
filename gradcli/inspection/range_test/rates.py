"""A range test: one step at each of exponentially rising learning rates, and what the losses suggest."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass

import numpy as np

from gradcli.autograd import Tensor
from gradcli.errors import DataError, UsageError
from gradcli.optim import Optimizer


@dataclass(frozen=True, kw_only=True)
class RangeSettings:
    """Learning rates from `start` to `end` in `steps` steps, each the same factor above the one before.

    `smoothing` is the decay of the losses' running average. The test ends early where that exceeds `divergence` times
    its minimum. UsageError for values that make no test.
    """

    start: float = 1e-6
    end: float = 10.0
    steps: int = 100
    smoothing: float = 0.9
    divergence: float = 4.0

    def __post_init__(self) -> None:
        if not 0 < self.start < self.end < math.inf:
            raise UsageError(
                f"--start {self.start:g} --end {self.end:g}: expected learning rates above 0, the second one larger"
            )
        if self.steps < 2:
            raise UsageError(f"--steps {self.steps}: expected 2 or more")
        if not 0 <= self.smoothing < 1:
            raise UsageError(f"--smoothing {self.smoothing:g}: expected a decay of at least 0 and below 1")
        if not 1 < self.divergence < math.inf:
            raise UsageError(f"--divergence {self.divergence:g}: expected a finite factor above 1")

    def rates(self) -> list[float]:
        """The learning rates."""
        rates: list[float] = np.geomspace(self.start, self.end, self.steps).tolist()
        return rates


@dataclass(frozen=True, kw_only=True)
class RangePoint:
    """A step: its learning rate, the loss before it, and the running average of the losses so far.

    The average is corrected for having started at zero. A loss that is not finite is the last, and has none.
    """

    step: int
    lr: float
    loss: float
    smoothed: float | None


@dataclass(frozen=True, kw_only=True)
class RangeTest:
    """All points, whether the test ended since losses diverged, and two learning rates to begin with.

    `steepest` is where the smoothed loss falls fastest by the logarithm of the learning rate, `minimum_tenth` a tenth
    of where it is smallest. Both are None where it never falls.
    """

    points: tuple[RangePoint, ...]
    diverged: bool
    steepest: float | None
    minimum_tenth: float | None

    @property
    def suggested(self) -> float | None:
        """The one to take: `minimum_tenth`, which keeps its distance from where losses rise; `steepest` may not."""
        return self.minimum_tenth


def range_test(
    losses: Iterator[Tensor],
    optimizer: Optimizer,
    settings: RangeSettings,
    on_step: Callable[[int], None] = lambda count: None,
) -> RangeTest:
    """Take steps of `optimizer` down the gradients of `losses`; the model that they come from moves.

    `on_step` is called with 1 after each. DataError if there is no loss at all.
    """
    points: list[RangePoint] = []
    average, best, diverged = 0.0, math.inf, False
    for step, rate in enumerate(settings.rates(), start=1):
        for group in optimizer.param_groups:
            group["lr"] = rate
        optimizer.zero_grad()
        loss = next(losses, None)
        if loss is None:
            raise DataError("none of the images can be read, so there is no loss; `gradcli data inspect` names them")
        value = loss.item()
        if not math.isfinite(value):
            points.append(RangePoint(step=step, lr=rate, loss=value, smoothed=None))
            diverged = True
            break
        average = settings.smoothing * average + (1 - settings.smoothing) * value
        smoothed = average / (1 - settings.smoothing**step)
        points.append(RangePoint(step=step, lr=rate, loss=value, smoothed=smoothed))
        best = min(best, smoothed)
        if smoothed > settings.divergence * best:
            diverged = True
            break
        loss.backward()
        optimizer.step()
        on_step(1)
    steepest, minimum_tenth = suggested_rates(points)
    return RangeTest(points=tuple(points), diverged=diverged, steepest=steepest, minimum_tenth=minimum_tenth)


def suggested_rates(points: Sequence[RangePoint]) -> tuple[float | None, float | None]:
    """The learning rates `steepest` and `minimum_tenth` of a `RangeTest`."""
    rates = [point.lr for point in points if point.smoothed is not None]
    smoothed = np.array([point.smoothed for point in points if point.smoothed is not None], np.float64)
    if len(rates) < 2:
        return None, None
    lowest = int(np.argmin(smoothed))
    if lowest == 0:
        return None, None
    # What comes after the minimum is on its way up, whatever single losses do there.
    slopes = np.gradient(smoothed[: lowest + 1], np.log10(rates[: lowest + 1]))
    return rates[int(np.argmin(slopes))], rates[lowest] / 10
