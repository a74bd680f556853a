"""Rates that stay or are multiplied at certain epochs."""

from __future__ import annotations

import pytest

import gradcli
from gradcli.optim import lr_scheduler
from tests.optim.lr_scheduler.schedules import optimizer_of, run


@pytest.mark.parametrize(
    ("make", "factors"),
    [
        (lambda o: lr_scheduler.StepLR(o, 2, 0.5), [1, 1, 0.5, 0.5, 0.25]),
        (lambda o: lr_scheduler.MultiStepLR(o, [1, 3, 3], 0.5), [1, 0.5, 0.5, 0.125, 0.125]),
        (lambda o: lr_scheduler.ConstantLR(o, 0.5, 3), [0.5, 0.5, 0.5, 1, 1]),
        (lambda o: lr_scheduler.ExponentialLR(o, 0.5), [1, 0.5, 0.25, 0.125, 0.0625]),
    ],
)
def test_five_epochs_by_hand(make, factors):
    optimizer = optimizer_of(gradcli)
    found = [rates[-2:] for rates in run(optimizer, make(optimizer), 5)]
    assert found == [pytest.approx([0.1 * factor, 0.03 * factor]) for factor in factors]


@pytest.mark.parametrize("factor", [-0.1, 1.1])
def test_a_constant_factor_out_of_range_is_refused(factor):
    with pytest.raises(ValueError, match=f"factor {factor}: expected one from 0 to 1"):
        lr_scheduler.ConstantLR(optimizer_of(gradcli), factor)
