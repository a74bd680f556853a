"""Reduction on a plateau: counting, thresholds, cool-down, lowest rates; PyTorch's rates."""

from __future__ import annotations

import itertools
import json
import math
from typing import Any

import numpy as np
import pytest

import gradcli
from gradcli.optim import lr_scheduler
from gradcli.optim.lr_scheduler import ReduceLROnPlateau
from tests.optim.lr_scheduler.schedules import optimizer_of


def rates_after(metrics: list[float], **options: Any) -> list[float]:
    """The first group's rate after each metric."""
    optimizer = optimizer_of(gradcli)
    scheduler = ReduceLROnPlateau(optimizer, factor=0.5, **options)
    rates = []
    for metric in metrics:
        scheduler.step(metric)
        rates.append(scheduler.get_last_lr()[0])
    return rates


@pytest.mark.parametrize(
    ("metrics", "options", "factors"),
    [
        ([3, 2, 2, 2, 2], {"patience": 1}, [1, 1, 1, 0.5, 0.5]),
        ([3, 2, 2, 1, 1, 1], {"patience": 1}, [1, 1, 1, 1, 1, 0.5]),
        ([1, 1, 1, 1, 1], {"patience": 0, "cooldown": 2}, [1, 0.5, 0.5, 0.5, 0.25]),
        ([1, 1, 2, 2, 2], {"patience": 0, "mode": "max"}, [1, 0.5, 0.5, 0.25, 0.125]),
        ([1, 0.95, 0.8], {"patience": 0, "threshold": 0.1}, [1, 0.5, 0.5]),
        ([1, 0.95, 0.8], {"patience": 0, "threshold": 0.3, "threshold_mode": "abs"}, [1, 0.5, 0.25]),
        ([1, 1, 1, 1], {"patience": 0, "min_lr": 0.04}, [1, 0.5, 0.4, 0.4]),
        ([1, 1, 1, 1], {"patience": 0, "min_lr": [0.025, 0]}, [1, 0.5, 0.25, 0.25]),
        ([1, 1, 1], {"patience": 0, "eps": 0.04}, [1, 0.5, 0.5]),
        ([math.nan, math.nan, 1], {"patience": 0}, [0.5, 0.25, 0.25]),
    ],
)
def test_rates_by_hand(metrics, options, factors):
    assert rates_after(metrics, **options) == pytest.approx([0.1 * factor for factor in factors])


def test_a_metric_may_be_a_tensor():
    scheduler = ReduceLROnPlateau(optimizer_of(gradcli))
    scheduler.step(gradcli.tensor(2.5))
    assert scheduler.best == 2.5
    assert not scheduler.in_cooldown


@pytest.mark.parametrize("stop", [0, 1, 9])
@pytest.mark.parametrize("mode", ["min", "max"])
def test_it_goes_on_to_the_same_bits_after_json(stop, mode):
    metrics = np.random.default_rng(0).normal(size=30).tolist()
    found = []
    for restarts in (False, True):
        optimizer = optimizer_of(gradcli)
        scheduler = ReduceLROnPlateau(optimizer, mode, 0.7, patience=1, cooldown=2)
        rates = []
        for number, metric in enumerate(metrics):
            if restarts and number == stop:
                text = json.dumps([optimizer.state_dict(), scheduler.state_dict()], allow_nan=False)
                optimizer = optimizer_of(gradcli)
                scheduler = ReduceLROnPlateau(optimizer)
                for target, state in zip((optimizer, scheduler), json.loads(text), strict=True):
                    target.load_state_dict(state)
            scheduler.step(metric)
            rates.append(scheduler.get_last_lr())
        found.append(rates)
    assert found[0] == found[1]


def test_groups_that_come_later_have_the_same_lowest_rate():
    optimizer = optimizer_of(gradcli)
    scheduler = ReduceLROnPlateau(optimizer, factor=0.5, patience=0, min_lr=0.02)
    optimizer.add_param_group({"params": [gradcli.nn.Parameter(gradcli.ones(1))], "lr": 0.024})
    for _ in range(2):
        scheduler.step(1.0)
    assert scheduler.get_last_lr() == [0.05, 0.02, 0.02]


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"factor": 1.0}, "Factor should be < 1.0."),
        ({"mode": "least"}, "mode least is unknown!"),
        ({"threshold_mode": "both"}, "threshold mode both is unknown!"),
        ({"min_lr": [0.1]}, "min_lr has 1 values, but the optimizer 2 param_groups"),
    ],
)
def test_options_that_make_no_sense(options, message):
    with pytest.raises(ValueError) as caught:
        ReduceLROnPlateau(optimizer_of(gradcli), **options)
    assert str(caught.value) == message


@pytest.mark.parity
@pytest.mark.parametrize(
    ("mode", "threshold_mode", "cooldown", "min_lr"),
    list(itertools.product(("min", "max"), ("rel", "abs"), (0, 3), (0, [0.01, 0.02]))),
)
def test_a_hundred_epochs_are_pytorchs(mode, threshold_mode, cooldown, min_lr):
    torch = pytest.importorskip("torch")
    results, states = [], []
    for library, module in ((gradcli, lr_scheduler), (torch, torch.optim.lr_scheduler)):
        generator = np.random.default_rng(0)
        scheduler = module.ReduceLROnPlateau(
            optimizer_of(library),
            mode,
            0.8,
            patience=2,
            threshold=0.01,
            threshold_mode=threshold_mode,
            cooldown=cooldown,
            min_lr=min_lr,
        )
        rates = []
        for epoch in range(100):
            scheduler.step(math.sin(epoch / 9) + generator.normal() / 10)
            rates.append([*scheduler.get_last_lr(), scheduler.num_bad_epochs, scheduler.in_cooldown])
        results.append(rates)
        states.append(scheduler.state_dict())
    assert results[0] == results[1]
    assert states[0].items() <= states[1].items()
