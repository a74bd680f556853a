"""Schedules after one another and at once, within each other too; refusals."""

from __future__ import annotations

import pytest

import gradcli
from gradcli.optim import lr_scheduler as schedules
from tests.optim.lr_scheduler.schedules import optimizer_of, run


def halving(optimizer):
    return schedules.ExponentialLR(optimizer, 0.5)


def low(optimizer):
    return schedules.ConstantLR(optimizer, 0.1, 100)


def sequence(optimizer, *members, milestones):
    return schedules.SequentialLR(optimizer, [make(optimizer) for make in members], milestones)


@pytest.mark.parametrize(
    ("make", "factors"),
    [
        (lambda o: sequence(o, low, halving, milestones=[2]), [0.1, 0.1, 1, 0.5, 0.25, 0.125]),
        (lambda o: sequence(o, low, halving, low, milestones=[1, 3]), [0.1, 1, 0.5, 0.1, 0.1, 0.1]),
        (lambda o: schedules.ChainedScheduler([low(o), halving(o)]), [0.1, 0.05, 0.025, 0.0125, 0.00625, 0.003125]),
        (
            lambda o: sequence(o, lambda o: sequence(o, low, halving, milestones=[2]), low, milestones=[4]),
            [0.1, 0.1, 1, 0.5, 0.1, 0.1],
        ),
        (
            lambda o: sequence(o, low, lambda o: sequence(o, halving, low, milestones=[2]), milestones=[1]),
            [0.1, 1, 0.5, 0.1, 0.1, 0.1],
        ),
        (
            lambda o: sequence(
                o, halving, lambda o: schedules.ChainedScheduler([low(o), halving(o)]), halving, milestones=[2, 4]
            ),
            [1, 0.5, 0.1, 0.05, 1, 0.5],
        ),
        (
            lambda o: sequence(o, lambda o: schedules.ChainedScheduler([low(o), halving(o)]), halving, milestones=[2]),
            [0.1, 0.05, 1, 0.5, 0.25, 0.125],
        ),
    ],
)
def test_six_epochs_by_hand(make, factors):
    optimizer = optimizer_of(gradcli)
    found = [rates[-2:] for rates in run(optimizer, make(optimizer), 6)]
    assert found == [pytest.approx([0.1 * factor, 0.03 * factor]) for factor in factors]


@pytest.mark.parametrize("kind", ["SequentialLR", "ChainedScheduler"])
def test_what_cannot_be_combined(kind):
    def combine(members):
        if kind == "SequentialLR":
            return schedules.SequentialLR(optimizer, members, [1] * (len(members) - 1))
        return schedules.ChainedScheduler(members, optimizer)

    optimizer, other = optimizer_of(gradcli), optimizer_of(gradcli)
    with pytest.raises(ValueError, match=f"{kind} expects at least one scheduler"):
        combine([])
    with pytest.raises(ValueError, match="scheduler 1 is of another"):
        combine([halving(optimizer), halving(other)])
    with pytest.raises(ValueError, match=r"can't step ReduceLROnPlateau \(scheduler 1\)"):
        combine([halving(optimizer), schedules.ReduceLROnPlateau(optimizer)])
    with pytest.raises(ValueError, match="loaded state dict has 1 schedulers, expected 2"):
        combine([halving(optimizer), low(optimizer)]).load_state_dict(combine([halving(optimizer)]).state_dict())


def test_milestones_are_one_fewer_than_schedulers():
    optimizer = optimizer_of(gradcli)
    with pytest.raises(ValueError, match="one milestone fewer than schedulers, but got 2 for 2 schedulers"):
        sequence(optimizer, low, halving, milestones=[1, 2])


def test_a_state_that_does_not_fit_a_member_changes_none():
    optimizer = optimizer_of(gradcli)
    scheduler = sequence(optimizer, low, halving, milestones=[1])
    before = scheduler.state_dict()
    other = sequence(optimizer_of(gradcli), low, low, milestones=[7]).state_dict()
    with pytest.raises(ValueError, match="none of ExponentialLR: it has no 'gamma'"):
        scheduler.load_state_dict(other)
    assert scheduler.state_dict() == before
