"""What all schedules have in common: PyTorch's rates, states through JSON, order of calls, refusals."""

from __future__ import annotations

import json

import pytest

import gradcli
from gradcli.optim import lr_scheduler
from tests.optim.lr_scheduler.schedules import SCHEDULES, optimizer_of, rates_of, run


@pytest.mark.parametrize("name", SCHEDULES)
@pytest.mark.parametrize("stop", [0, 1, 12, 80])
def test_a_schedule_goes_on_to_the_same_bits_after_json(name, stop):
    straight = optimizer_of(gradcli)
    expected = run(straight, SCHEDULES[name](lr_scheduler, straight), 90)[stop:]
    stopped = optimizer_of(gradcli)
    scheduler = SCHEDULES[name](lr_scheduler, stopped)
    run(stopped, scheduler, stop)
    text = json.dumps([stopped.state_dict(), scheduler.state_dict()], allow_nan=False)

    resumed = optimizer_of(gradcli)
    other = SCHEDULES[name](lr_scheduler, resumed)
    optimizer_state, state = json.loads(text)
    resumed.load_state_dict(optimizer_state)
    other.load_state_dict(state)
    assert run(resumed, other, 90 - stop) == expected


@pytest.mark.parametrize("name", SCHEDULES)
def test_a_state_is_a_copy(name):
    optimizer = optimizer_of(gradcli)
    scheduler = SCHEDULES[name](lr_scheduler, optimizer)
    state = scheduler.state_dict()
    text = json.dumps(state)
    run(optimizer, scheduler, 5)
    assert json.dumps(state) == text
    assert json.dumps(scheduler.state_dict()) != text


@pytest.mark.parametrize("name", SCHEDULES)
def test_the_state_of_another_schedule_is_refused_and_nothing_changes(name):
    optimizer = optimizer_of(gradcli)
    scheduler = SCHEDULES[name](lr_scheduler, optimizer)
    before = scheduler.state_dict()
    with pytest.raises(ValueError, match=rf"loaded state dict is none of {type(scheduler).__name__}: it has no '\w+'"):
        scheduler.load_state_dict({"last_epoch": 7})
    assert scheduler.state_dict() == before


def test_a_step_before_the_optimizers_is_suspicious():
    scheduler = lr_scheduler.StepLR(optimizer_of(gradcli), 3)
    with pytest.warns(UserWarning, match="skips the first learning rate"):
        scheduler.step()


def test_a_step_to_an_epoch_works_but_is_advised_against():
    optimizer = optimizer_of(gradcli)
    scheduler = lr_scheduler.StepLR(optimizer, 3, 0.5)
    optimizer.step()
    with pytest.warns(UserWarning, match="deprecated"):
        scheduler.step(7)
    assert scheduler.last_epoch == 7
    assert scheduler.get_last_lr() == [0.1 / 4, 0.03 / 4]


def test_groups_keep_their_initial_rates():
    optimizer = optimizer_of(gradcli)
    scheduler = lr_scheduler.ConstantLR(optimizer, 0.5)
    assert [group["initial_lr"] for group in optimizer.param_groups] == scheduler.base_lrs == [0.1, 0.03]
    assert lr_scheduler.ConstantLR(optimizer, 0.5).base_lrs == [0.1, 0.03]


def test_a_scheduler_made_with_a_last_epoch_goes_on_from_there():
    optimizer = optimizer_of(gradcli)
    with pytest.raises(KeyError, match=r"param_groups\[0\] has no 'initial_lr', needed for last_epoch=4"):
        lr_scheduler.ExponentialLR(optimizer, 0.5, last_epoch=4)
    run(optimizer, lr_scheduler.ExponentialLR(optimizer, 0.5), 5)
    scheduler = lr_scheduler.ExponentialLR(optimizer, 0.5, last_epoch=4)
    assert scheduler.last_epoch == 5
    assert scheduler.get_last_lr() == [0.1 / 32, 0.03 / 32]


def test_only_optimizers_have_schedules():
    with pytest.raises(TypeError, match="list is not an Optimizer"):
        lr_scheduler.StepLR([], 3)


def test_the_base_class_has_no_rates():
    with pytest.raises(NotImplementedError):
        lr_scheduler.LRScheduler(optimizer_of(gradcli))


# --- against PyTorch --------------------------------------------------------------------------------------------------


@pytest.mark.parity
@pytest.mark.parametrize("name", SCHEDULES)
@pytest.mark.parametrize("kind", ["SGD", "AdamW"])
def test_a_hundred_steps_are_pytorchs_to_the_last_bit(name, kind):
    torch = pytest.importorskip("torch")
    results = []
    for library, module in ((gradcli, lr_scheduler), (torch, torch.optim.lr_scheduler)):
        optimizer = optimizer_of(library, kind)
        results.append(run(optimizer, SCHEDULES[name](module, optimizer), 100))
    assert results[0] == results[1]


@pytest.mark.parity
@pytest.mark.parametrize("name", SCHEDULES)
def test_states_are_pytorchs(name):
    torch = pytest.importorskip("torch")
    theirs, ours = optimizer_of(torch), optimizer_of(gradcli)
    their_scheduler = SCHEDULES[name](torch.optim.lr_scheduler, theirs)
    our_scheduler = SCHEDULES[name](lr_scheduler, ours)
    expected = run(theirs, their_scheduler, 12)
    ours.load_state_dict(theirs.state_dict())
    our_scheduler.load_state_dict(their_scheduler.state_dict())
    assert rates_of(ours) == rates_of(theirs)
    assert set(our_scheduler.state_dict()) <= set(their_scheduler.state_dict())

    loaded = optimizer_of(torch)
    loaded_scheduler = SCHEDULES[name](torch.optim.lr_scheduler, loaded)
    loaded.load_state_dict(ours.state_dict())
    loaded_scheduler.load_state_dict(our_scheduler.state_dict())
    loaded.step()  # PyTorch warns otherwise
    expected = run(theirs, their_scheduler, 40)
    assert run(ours, our_scheduler, 40) == expected
    assert run(loaded, loaded_scheduler, 40) == expected


@pytest.mark.parity
@pytest.mark.parametrize(
    "name", ["lambda", "step", "multi-step", "constant", "linear", "exponential", "cosine", "polynomial", "one-cycle"]
)
@pytest.mark.parametrize("epoch", [0, 3, 55])
@pytest.mark.filterwarnings("ignore:.*:UserWarning")
def test_steps_to_an_epoch_are_pytorchs(name, epoch):
    torch = pytest.importorskip("torch")
    results = []
    for library, module in ((gradcli, lr_scheduler), (torch, torch.optim.lr_scheduler)):
        optimizer = optimizer_of(library)
        scheduler = SCHEDULES[name](module, optimizer)
        scheduler.step(epoch)
        results.append(run(optimizer, scheduler, 5))
    assert results[0] == results[1]
