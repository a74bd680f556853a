"""Steps of SGD: records, norms, and divergence before anything is updated."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest

from gradcli.errors import DivergedError, UsageError
from gradcli.training.optimizers import SGDSettings
from gradcli.training.passes import Pass, run_backward
from gradcli.training.step import gradient_norm, run_steps

Prepare = Callable[..., Pass]
StateBytes = Callable[[Any], dict[str, bytes]]


def test_norms_are_those_of_gradients_and_changes(prepared: Prepare) -> None:
    run = prepared(loss="cross-entropy", freeze=[("freeze", "layer[1-3].*")])
    before = {name: parameter.array.copy() for name, parameter in run.model.named_parameters()}
    (record,) = run_steps(run, SGDSettings(lr=0.1, weight_decay=0.01))
    gradients = run.gradients()
    squares = sum(float((gradient.astype(np.float64) ** 2).sum()) for gradient in gradients.values())
    assert record.grad_norm == pytest.approx(np.sqrt(squares), rel=1e-9)
    moved = 0.0
    trainable = frozen = 0
    for name, parameter in run.model.named_parameters():
        moved += float(((parameter.array.astype(np.float64) - before[name]) ** 2).sum())
        if name in gradients:
            trainable += parameter.array.size
            expected = before[name] - 0.1 * (gradients[name].astype(np.float64) + 0.01 * before[name])
            np.testing.assert_allclose(parameter.array, expected, rtol=1e-5, atol=1e-6)
        else:
            frozen += parameter.array.size
            np.testing.assert_array_equal(parameter.array, before[name])
    assert record.update_norm == pytest.approx(np.sqrt(moved), rel=1e-6)
    assert (record.step, record.trainable, record.frozen, record.mode) == (1, trainable, frozen, "train")


def test_steps_continue_with_momentum_and_the_same_batch(prepared: Prepare) -> None:
    two = list(run_steps(prepared(mode="eval"), SGDSettings(lr=1e-4), 2))
    assert [record.step for record in two] == [1, 2]
    # The gradient hardly changes at so small a rate; with momentum the second update is 1.9 times the first.
    assert two[1].update_norm / two[0].update_norm == pytest.approx(1.9, rel=0.02)
    plain = list(run_steps(prepared(mode="eval"), SGDSettings(lr=1e-4, momentum=0), 2))
    assert plain[1].update_norm / plain[0].update_norm == pytest.approx(1.0, rel=0.02)


def test_everything_frozen_is_refused_before_the_first_record(prepared: Prepare) -> None:
    with pytest.raises(UsageError, match="every parameter is frozen, so there is nothing to train"):
        run_steps(prepared(freeze=[("freeze", "*")]), SGDSettings())


def test_a_loss_that_is_not_finite_updates_nothing(prepared: Prepare, state_bytes: StateBytes) -> None:
    run = prepared(mode="eval", loss="cross-entropy")
    run.model.fc.weight.array[...] = 3e38
    before = state_bytes(run.model)
    with pytest.raises(DivergedError, match="the loss is nan"):
        list(run_steps(run, SGDSettings()))
    assert state_bytes(run.model) == before


def test_a_gradient_that_is_not_finite_is_named_and_updates_nothing(prepared: Prepare, state_bytes: StateBytes) -> None:
    run = prepared(mode="eval")
    run_backward(run)
    before = state_bytes(run.model)
    gradient = dict(run.model.named_parameters())["layer2.0.bn1.bias"].grad
    assert gradient is not None
    gradient.array[3] = np.inf
    with pytest.raises(
        DivergedError, match=r"the gradient of layer2\.0\.bn1\.bias is not finite; this step updated no"
    ):
        gradient_norm(run)
    assert state_bytes(run.model) == before


def test_a_gradient_whose_square_only_overflows_float32_is_fine(prepared: Prepare) -> None:
    run = prepared(mode="eval", freeze=[("freeze", "*"), ("unfreeze", "fc.bias")])
    run_backward(run)
    run.gradients()["fc.bias"][...] = 1e30
    assert gradient_norm(run) == pytest.approx(np.sqrt(10) * 1e30, rel=1e-6)
    optimizer = SGDSettings(lr=1.0).optimizer(run.model)
    assert optimizer.measured_step() == pytest.approx(np.sqrt(10) * 1e30, rel=1e-6)


def test_an_update_that_is_not_finite_diverges(prepared: Prepare) -> None:
    with pytest.raises(DivergedError, match=r"the update of step 1 is not finite; try a smaller --lr than 1e\+39"):
        list(run_steps(prepared(mode="eval"), SGDSettings(lr=1e39)))


@pytest.mark.parametrize(
    "settings",
    [SGDSettings(lr=0.05), SGDSettings(lr=0.05, weight_decay=0.1, dampening=0.5), SGDSettings(lr=0.05, nesterov=True)],
    ids=str,
)
def test_a_single_step_is_bit_for_bit_the_first_of_two(
    settings: SGDSettings, prepared: Prepare, state_bytes: StateBytes
) -> None:
    single = prepared(seed=4)
    (record,) = run_steps(single, settings, steps=1)
    double = prepared(seed=4)
    first = next(run_steps(double, settings, steps=2))
    assert (record.loss, record.grad_norm, record.update_norm) == (first.loss, first.grad_norm, first.update_norm)
    assert state_bytes(single.model) == state_bytes(double.model)
