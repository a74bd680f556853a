"""One cycle: rates and momentum by hand, what it takes, refusals."""

from __future__ import annotations

import pytest

import gradcli
from gradcli.optim import lr_scheduler
from tests.optim.lr_scheduler.schedules import optimizer_of, rates_of, run


def test_up_and_down_with_momentum_against_it():
    optimizer = optimizer_of(gradcli)
    scheduler = lr_scheduler.OneCycleLR(
        optimizer, 1.0, 5, pct_start=0.6, anneal_strategy="linear", div_factor=2.0, final_div_factor=5.0
    )
    found = [rates[0] for rates in run(optimizer, scheduler, 5)]
    lrs, momentums = [0.5, 0.75, 1.0, 0.55, 0.1], [0.95, 0.9, 0.85, 0.9, 0.95]
    assert found == [pytest.approx(pair) for pair in zip(lrs, momentums, strict=True)]


def test_adams_first_beta_moves_as_momentum_does():
    optimizer = optimizer_of(gradcli, "AdamW")
    scheduler = lr_scheduler.OneCycleLR(optimizer, 1.0, 5, pct_start=0.6, anneal_strategy="linear")
    betas = [rates[0][2:] for rates in run(optimizer, scheduler, 5)]
    assert betas == [pytest.approx((beta, 0.999)) for beta in (0.95, 0.9, 0.85, 0.9, 0.95)]


def test_momentum_may_stay():
    optimizer = optimizer_of(gradcli)
    lr_scheduler.OneCycleLR(optimizer, [1.0, 2.0], 5, cycle_momentum=False)
    assert rates_of(optimizer) == [pytest.approx((1 / 25, 0.9)), pytest.approx((2 / 25, 0.9))]


def test_steps_after_the_last_are_refused():
    optimizer = optimizer_of(gradcli)
    scheduler = lr_scheduler.OneCycleLR(optimizer, 1.0, 3)
    run(optimizer, scheduler, 3)
    with pytest.raises(ValueError, match="step 4 of a schedule of 3 steps"):
        scheduler.step()


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({}, "You must define either total_steps OR (epochs AND steps_per_epoch)"),
        ({"epochs": 3}, "You must define either total_steps OR (epochs AND steps_per_epoch)"),
        ({"total_steps": 0}, "Expected positive integer total_steps, but got 0"),
        ({"epochs": 3, "steps_per_epoch": 2.5}, "Expected positive integer steps_per_epoch, but got 2.5"),
        ({"total_steps": 9, "pct_start": 1.5}, "Expected float between 0 and 1 pct_start, but got 1.5"),
        (
            {"total_steps": 9, "anneal_strategy": "poly"},
            "anneal_strategy must be one of 'cos' or 'linear', instead got poly",
        ),
        (
            {"total_steps": 9, "max_momentum": [0.9]},
            "max_momentum has 1 values, but the optimizer 2 param_groups",
        ),
    ],
)
def test_options_that_make_no_sense(options, message):
    with pytest.raises(ValueError) as caught:
        lr_scheduler.OneCycleLR(optimizer_of(gradcli), 0.1, **options)
    assert str(caught.value) == message


def test_an_optimizer_without_momentum_has_none_to_move():
    class Plain(gradcli.optim.Optimizer):
        """Without momentum."""

    optimizer = Plain([gradcli.nn.Parameter(gradcli.ones(1))], {"lr": 0.1})
    with pytest.raises(ValueError, match="must support momentum"):
        lr_scheduler.OneCycleLR(optimizer, 0.1, 5)
    lr_scheduler.OneCycleLR(optimizer, 0.1, 5, cycle_momentum=False)
    assert optimizer.param_groups[0]["lr"] == pytest.approx(0.1 / 25)
