"""The range test against the same steps in NumPy, its ends, and the learning rates it suggests."""

from __future__ import annotations

import math
from collections.abc import Iterator

import numpy as np
import pytest

from gradcli.autograd import Tensor
from gradcli.errors import DataError, UsageError
from gradcli.inspection.range_test.plotting import curves_of, suggestions_of
from gradcli.inspection.range_test.rates import RangePoint, RangeSettings, RangeTest, range_test, suggested_rates
from gradcli.optim import SGD


def squares(weight: Tensor) -> Iterator[Tensor]:
    while True:
        yield (weight * weight).sum()


def take_steps(settings: RangeSettings, momentum: float = 0.0, start: float = 3.0) -> RangeTest:
    weight = Tensor(np.array([start, -start]), requires_grad=True)
    return range_test(squares(weight), SGD([weight], lr=99.0, momentum=momentum), settings)


def points(*smoothed: float) -> list[RangePoint]:
    return [RangePoint(step=step, lr=10.0**step, loss=0.0, smoothed=value) for step, value in enumerate(smoothed)]


def test_the_same_steps_in_numpy() -> None:
    settings = RangeSettings(start=1e-3, end=0.5, steps=20, smoothing=0.8)
    found = take_steps(settings, momentum=0.5)
    weight, velocity, average = np.array([3.0, -3.0]), np.zeros(2), 0.0
    for step, (point, rate) in enumerate(zip(found.points, np.geomspace(1e-3, 0.5, 20), strict=True), start=1):
        loss = float((weight**2).sum())
        average = 0.8 * average + 0.2 * loss
        assert (point.step, point.lr) == (step, pytest.approx(rate))
        assert point.loss == pytest.approx(loss)
        assert point.smoothed == pytest.approx(average / (1 - 0.8**step))
        velocity = 0.5 * velocity + 2 * weight
        weight = weight - rate * velocity
    assert not found.diverged


def test_it_ends_where_the_smoothed_loss_exceeds_its_minimum() -> None:
    found = take_steps(RangeSettings(start=1e-2, end=100.0, steps=60, smoothing=0.5, divergence=3.0))
    smoothed = [point.smoothed or math.nan for point in found.points]
    assert found.diverged
    assert len(smoothed) < 60
    assert smoothed[-1] > 3 * min(smoothed)
    assert all(value <= 3 * min(smoothed[: place + 1]) for place, value in enumerate(smoothed[:-1]))


@pytest.mark.filterwarnings("ignore:overflow")
def test_a_loss_that_is_not_finite_is_the_last() -> None:
    found = take_steps(RangeSettings(divergence=1e300), start=1e200)
    assert found.diverged
    assert [(point.loss, point.smoothed) for point in found.points] == [(math.inf, None)]
    assert suggestions_of(found) == {}


@pytest.mark.parametrize(
    ("smoothed", "expected"),
    [
        ((5.0, 4.8, 3.0, 1.0, 0.9, 7.0), (100.0, 1000.0)),
        ((5.0, 4.9, 4.0), (100.0, 10.0)),
        ((1.0, 2.0, 3.0), (None, None)),
        ((1.0,), (None, None)),
        ((), (None, None)),
    ],
)
def test_suggested_rates(smoothed: tuple[float, ...], expected: tuple[float | None, float | None]) -> None:
    assert suggested_rates(points(*smoothed)) == expected


def test_without_any_loss_the_data_is_at_fault() -> None:
    weight = Tensor(np.ones(1), requires_grad=True)
    with pytest.raises(DataError, match="none of the images can be read"):
        range_test(iter(()), SGD([weight], lr=0.1), RangeSettings())


@pytest.mark.parametrize(
    "values",
    [
        {"start": 0.0},
        {"start": 1.0, "end": 0.1},
        {"end": math.inf},
        {"start": math.nan},
        {"steps": 1},
        {"smoothing": 1.0},
        {"divergence": 1.0},
        {"divergence": math.nan},
    ],
)
def test_values_that_make_no_test(values: dict[str, float]) -> None:
    with pytest.raises(UsageError, match=f"--{next(iter(values))}"):
        RangeSettings(**values)  # type: ignore[arg-type]


def test_plots_leave_out_what_lies_far_above() -> None:
    found = RangeTest(points=tuple(points(5.0, 2.0, 9.0, 11.0)), diverged=True, steepest=1.0, minimum_tenth=1.0)
    loss, smoothed = curves_of(found)
    assert list(smoothed.ys)[:3] == [5.0, 2.0, 9.0]
    assert math.isnan(smoothed.ys[3])
    assert list(loss.ys) == [0.0] * 4
