"""The curves of a range test, without what lies far above the part that matters."""

from __future__ import annotations

import math

from gradcli.inspection.plots.curves import Axes, Curve
from gradcli.inspection.range_test.rates import RangeTest

AXES = Axes("learning rate", "loss", log_x=True)

_HEADROOM = 2.0


def curves_of(found: RangeTest) -> list[Curve]:
    """Losses and smoothed losses; NaN for those above twice the largest smoothed one on the way to the minimum."""
    smoothed = [math.nan if point.smoothed is None else point.smoothed for point in found.points]
    finite = [value for value in smoothed if math.isfinite(value)]
    ceiling = _HEADROOM * max(finite[: finite.index(min(finite)) + 1], default=math.inf) if finite else math.inf
    rates = [point.lr for point in found.points]
    return [
        Curve(label, marker, rates, [value if value <= ceiling else math.nan for value in values])
        for label, marker, values in (
            ("loss", ".", [point.loss for point in found.points]),
            ("smoothed", "*", smoothed),
        )
    ]


def suggestions_of(found: RangeTest) -> dict[str, float]:
    """The suggested learning rates by what they are called; none where the loss never fell."""
    rates = {"steepest": found.steepest, "a tenth of the minimum's": found.minimum_tenth}
    return {name: rate for name, rate in rates.items() if rate is not None}
