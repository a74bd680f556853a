"""Rates that go to a last one linearly or by a power."""

from __future__ import annotations

import pytest

import gradcli
from gradcli.optim import lr_scheduler
from tests.optim.lr_scheduler.schedules import optimizer_of, run


@pytest.mark.parametrize(
    ("make", "factors"),
    [
        (lambda o: lr_scheduler.LinearLR(o, 0.25, 1.0, 3), [0.25, 0.5, 0.75, 1, 1]),
        (lambda o: lr_scheduler.LinearLR(o, 1.0, 0.0, 2), [1, 0.5, 0, 0, 0]),
        (lambda o: lr_scheduler.PolynomialLR(o, 4, 2.0), [1, 0.5625, 0.25, 0.0625, 0]),
    ],
)
def test_five_epochs_by_hand(make, factors):
    optimizer = optimizer_of(gradcli)
    found = [rates[-2:] for rates in run(optimizer, make(optimizer), 5)]
    assert found == [pytest.approx([0.1 * factor, 0.03 * factor], abs=1e-15) for factor in factors]


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"start_factor": 0.0}, "start_factor 0.0: expected one above 0 and up to 1"),
        ({"start_factor": 1.5}, "start_factor 1.5: expected one above 0 and up to 1"),
        ({"end_factor": -0.5}, "end_factor -0.5: expected one from 0 to 1"),
    ],
)
def test_factors_out_of_range_are_refused(options, message):
    with pytest.raises(ValueError) as caught:
        lr_scheduler.LinearLR(optimizer_of(gradcli), **options)
    assert str(caught.value) == message
