"""Rates along a cosine, with and without restarts."""

from __future__ import annotations

import pytest

import gradcli
from gradcli.optim import lr_scheduler
from tests.optim.lr_scheduler.schedules import optimizer_of, rates_of, run


def test_down_and_up_again():
    optimizer = optimizer_of(gradcli)
    rates = [rates[-2] for rates in run(optimizer, lr_scheduler.CosineAnnealingLR(optimizer, 2, 0.02), 5)]
    assert rates == pytest.approx([0.1, 0.06, 0.02, 0.06, 0.1])


def test_restarts_at_the_initial_rate_and_descends_for_longer():
    optimizer = optimizer_of(gradcli)
    scheduler = lr_scheduler.CosineAnnealingWarmRestarts(optimizer, 2, 2, 0.02)
    rates = [rates[-2] for rates in run(optimizer, scheduler, 7)]
    assert rates == pytest.approx([0.1, 0.06, 0.1, 0.08828427, 0.06, 0.03171573, 0.1])


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"T_0": 0}, "Expected positive integer T_0, but got 0"),
        ({"T_0": 1.5}, "Expected positive integer T_0, but got 1.5"),
        ({"T_0": 3, "T_mult": 0}, "Expected integer T_mult >= 1, but got 0"),
    ],
)
def test_lengths_that_make_no_sense(options, message):
    with pytest.raises(ValueError) as caught:
        lr_scheduler.CosineAnnealingWarmRestarts(optimizer_of(gradcli), **options)
    assert str(caught.value) == message


def test_there_are_no_negative_epochs():
    scheduler = lr_scheduler.CosineAnnealingWarmRestarts(optimizer_of(gradcli), 3)
    with pytest.raises(ValueError, match=r"Expected non-negative epoch, but got -0\.5"):
        scheduler.step(-0.5)


@pytest.mark.parity
@pytest.mark.parametrize("longer", [1, 2, 3])
def test_fractions_of_epochs_are_pytorchs(longer):
    torch = pytest.importorskip("torch")
    results = []
    for library, module in ((gradcli, lr_scheduler), (torch, torch.optim.lr_scheduler)):
        optimizer = optimizer_of(library)
        scheduler = module.CosineAnnealingWarmRestarts(optimizer, 4, longer, 0.001)
        rates = []
        for step in range(90):
            scheduler.step(step / 3)
            rates.append([*rates_of(optimizer), scheduler.last_epoch])
        results.append(rates + run(optimizer, scheduler, 20))
    assert results[0] == results[1]
