"""Learning rates step by step: closed formulas, warm-up, PyTorch's schedulers, options of other schedules."""

from __future__ import annotations

import math
from typing import Any

import numpy as np
import pytest

from gradcli.autograd import Tensor
from gradcli.errors import UsageError
from gradcli.optim import SGD
from gradcli.training.schedules import ScheduleSettings, build_scheduler

EPOCHS, STEPS_PER_EPOCH = 5, 4
STEPS = EPOCHS * STEPS_PER_EPOCH


def optimizer(*rates: float) -> SGD:
    groups = [{"params": [Tensor(np.zeros(1, np.float32), requires_grad=True)], "lr": rate} for rate in rates]
    return SGD(groups, lr=1.0)


def rates_of_steps(settings: ScheduleSettings, *rates: float) -> list[list[float]]:
    """For each group the learning rate of each step of a run."""
    moved = optimizer(*rates)
    scheduler = build_scheduler(settings, moved, EPOCHS, STEPS_PER_EPOCH)
    result = []
    for _ in range(STEPS):
        result.append([group["lr"] for group in moved.param_groups])
        moved.step()
        if scheduler is not None:
            scheduler.step()
    return [list(column) for column in zip(*result, strict=True)]


def cosine(step: int, steps: int, highest: float, lowest: float) -> float:
    return lowest + (highest - lowest) * (1 + math.cos(math.pi * step / (steps - 1))) / 2


def expected_rates(settings: ScheduleSettings, lr: float) -> list[float]:
    """The rates by formulas of the step alone."""
    warmup = round(settings.warmup_epochs * STEPS_PER_EPOCH)
    rising = [lr * (step + 1) / (warmup + 1) for step in range(warmup)]
    left = STEPS - warmup
    if settings.name == "cosine":
        return rising + [cosine(step, left, lr, settings.min_lr or 0.0) for step in range(left)]
    if settings.name == "step":
        factor = 0.1 if settings.gamma is None else settings.gamma
        every = (settings.step_size or 10) * STEPS_PER_EPOCH
        return rising + [lr * factor ** (step // every) for step in range(left)]
    return rising + [lr] * left


@pytest.mark.parametrize(
    "settings",
    [
        ScheduleSettings(),
        ScheduleSettings(warmup_epochs=1),
        ScheduleSettings(warmup_epochs=0.5),
        ScheduleSettings(name="cosine"),
        ScheduleSettings(name="cosine", min_lr=0.01),
        ScheduleSettings(name="cosine", warmup_epochs=1.25, min_lr=0.02),
        ScheduleSettings(name="step"),
        ScheduleSettings(name="step", step_size=2, gamma=0.5),
        ScheduleSettings(name="step", step_size=1, warmup_epochs=2),
    ],
    ids=str,
)
def test_rates_of_every_step(settings: ScheduleSettings) -> None:
    groups = rates_of_steps(settings, 0.1, 0.4)
    for rates, lr in zip(groups, (0.1, 0.4), strict=True):
        np.testing.assert_allclose(rates, expected_rates(settings, lr), rtol=1e-9, atol=1e-15)


def test_a_constant_rate_needs_no_scheduler() -> None:
    assert build_scheduler(ScheduleSettings(), optimizer(0.1), 2, 3) is None


def test_one_cycle_rises_falls_and_leaves_the_momentum_alone() -> None:
    moved = optimizer(0.1)
    moved.param_groups[0]["momentum"] = 0.7
    (rates,) = rates_of_steps(ScheduleSettings(name="one-cycle"), 0.1)
    highest = rates.index(max(rates))
    assert rates[0] == pytest.approx(0.1 / 25)
    assert max(rates) == pytest.approx(0.1)
    assert rates == sorted(rates[: highest + 1]) + sorted(rates[highest + 1 :], reverse=True)
    assert rates[-1] == pytest.approx(0.1 / 25 / 1e4)
    build_scheduler(ScheduleSettings(name="one-cycle"), moved, EPOCHS, STEPS_PER_EPOCH)
    assert moved.param_groups[0]["momentum"] == 0.7


@pytest.mark.parity
def test_one_cycle_is_pytorchs() -> None:
    torch = pytest.importorskip("torch")
    moved = torch.optim.SGD([torch.zeros(1, requires_grad=True)], lr=0.1)
    scheduler = torch.optim.lr_scheduler.OneCycleLR(moved, 0.1, total_steps=STEPS, cycle_momentum=False)
    expected = []
    for _ in range(STEPS):
        expected.append(moved.param_groups[0]["lr"])
        moved.step()
        scheduler.step()
    assert rates_of_steps(ScheduleSettings(name="one-cycle"), 0.1) == [expected]


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"step_size": 3}, "--step-size 3 says nothing with --schedule constant; it belongs to step"),
        ({"name": "cosine", "gamma": 0.5}, r"--gamma 0\.5 says nothing with --schedule cosine; it belongs to step"),
        ({"name": "step", "min_lr": 0.1}, r"--min-lr 0\.1 says nothing with --schedule step; it belongs to cosine"),
        ({"name": "one-cycle", "warmup_epochs": 1}, "--warmup-epochs 1 says nothing with --schedule one-cycle"),
        ({"name": "step", "step_size": 0}, "--step-size 0: expected 1 epoch or more"),
        ({"warmup_epochs": float("nan")}, "--warmup-epochs nan: expected a finite number"),
        ({"name": "cosine", "min_lr": -1.0}, "--min-lr -1: expected a finite number"),
    ],
)
def test_options_that_make_no_schedule(options: dict[str, Any], message: str) -> None:
    with pytest.raises(UsageError, match=message):
        ScheduleSettings(**options)


def test_a_warmup_longer_than_the_run() -> None:
    with pytest.raises(UsageError, match="--warmup-epochs 2: expected less than the 2 epochs of the run"):
        build_scheduler(ScheduleSettings(warmup_epochs=2), optimizer(0.1), 2, 3)
