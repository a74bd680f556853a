"""LambdaLR and MultiplicativeLR: rates, what of functions is state, refusals."""

from __future__ import annotations

import math

import pytest

import gradcli
from gradcli.optim import lr_scheduler
from tests.optim.lr_scheduler.schedules import optimizer_of, run


class Decay:
    """A schedule with a state of its own."""

    def __init__(self, base: float) -> None:
        self.base = base

    def __call__(self, epoch: int) -> float:
        return self.base**epoch


def test_functions_for_all_groups_or_one_for_each():
    optimizer = optimizer_of(gradcli)
    scheduler = lr_scheduler.LambdaLR(optimizer, [Decay(0.5), lambda epoch: 2.0])
    assert [rates[-2:] for rates in run(optimizer, scheduler, 3)] == [[0.1, 0.06], [0.05, 0.06], [0.025, 0.06]]


def test_factors_accumulate_from_the_first_step_on():
    optimizer = optimizer_of(gradcli)
    scheduler = lr_scheduler.MultiplicativeLR(optimizer, lambda epoch: 0.5)
    assert [rates[-2:] for rates in run(optimizer, scheduler, 3)] == [[0.1, 0.03], [0.05, 0.015], [0.025, 0.0075]]


def test_attributes_of_callable_objects_are_state_and_functions_are_not():
    optimizer = optimizer_of(gradcli)
    state = lr_scheduler.LambdaLR(optimizer, [Decay(0.5), math.exp]).state_dict()
    assert state["lr_lambdas"] == [{"base": 0.5}, None]
    decay = Decay(0.9)
    lr_scheduler.LambdaLR(optimizer, [decay, lambda epoch: 1.0]).load_state_dict(state)
    assert decay.base == 0.5
    with pytest.raises(ValueError, match="loaded state dict has 1 lr_lambdas, expected 2"):
        lr_scheduler.LambdaLR(optimizer, decay).load_state_dict(state | {"lr_lambdas": [None]})


@pytest.mark.parametrize("kind", [lr_scheduler.LambdaLR, lr_scheduler.MultiplicativeLR])
def test_what_is_no_function_for_each_group_is_refused(kind):
    with pytest.raises(ValueError, match="lr_lambda has 1 values, but the optimizer 2 param_groups"):
        kind(optimizer_of(gradcli), [Decay(0.5)])
    with pytest.raises(TypeError, match="lr_lambda should be a function, but got float"):
        kind(optimizer_of(gradcli), 0.5)
