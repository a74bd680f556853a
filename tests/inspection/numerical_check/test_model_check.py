"""Gradients of a small network checked numerically: right ones, ones that are wrong on purpose, and kinks."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from small_network import small_pass

from gradcli.autograd import Tensor
from gradcli.autograd.operation import OPERATIONS
from gradcli.autograd.rules import GradientRules
from gradcli.deferred import settled
from gradcli.errors import CheckError, DivergedError, UsageError
from gradcli.inspection.numerical_check.model_check import (
    CheckSettings,
    ModelCheck,
    ParameterCheck,
    best_step,
    require_agreement,
)
from gradcli.ops.activation import relu, threshold_backward
from gradcli.training.passes import Pass

NAMES = ["fc.bias", "fc.weight", "bn1.bias", "bn1.weight", "conv1.weight"]


def checked(run: Pass, *patterns: str, wrt_input: bool = False, **settings: Any) -> dict[str, ParameterCheck]:
    check = ModelCheck(run, CheckSettings(**settings), patterns, wrt_input=wrt_input)
    return {result.name: result for result in check.results()}


@pytest.mark.parametrize("loss", ["sum-difference", "cross-entropy", "mse", "bce-with-logits"])
@pytest.mark.parametrize("mode", [None, "eval"])
def test_right_gradients_agree_for_every_loss(loss: str, mode: str | None) -> None:
    run = small_pass(loss=loss)
    run.model.train(mode != "eval")
    results = checked(run, wrt_input=True, samples=3)
    assert list(results) == [*NAMES, "input"]
    assert all(result.ok for result in results.values())
    decided = [result.max_relative_error for result in results.values()]
    assert max(decided) < 1e-4
    for result in results.values():
        indexes = [each.index for each in result.comparisons]
        assert indexes[0] is None
        assert len(set(indexes)) == len(indexes) == 4
    require_agreement(list(results.values()))
    assert best_step(list(results.values())) in (1e-5, 1e-6, 1e-7)


def test_numbers_are_those_of_float64_backward_and_of_the_loss() -> None:
    run = small_pass(loss="mse")
    check = ModelCheck(run, CheckSettings(samples=2, steps=[1e-5]), ["fc.weight"])
    (result,) = check.results()
    assert run.target is not None
    weight = run.model.fc.weight.array
    features = run.model.stages()[0].compute(run.data).array
    target, bias = run.target.array, run.model.fc.bias.array
    assert weight.dtype == features.dtype == target.dtype == np.float64
    gradient = 2 / target.size * (features @ weight.T + bias - target).T @ features
    for comparison in result.comparisons[1:]:
        assert comparison.analytical == pytest.approx(gradient[comparison.index], rel=1e-12)
        assert comparison.numerical == pytest.approx(gradient[comparison.index], rel=1e-6)


def test_weights_are_as_before_and_entries_depend_on_the_seed_alone() -> None:
    run = small_pass()
    before = {name: parameter.array.astype(np.float64) for name, parameter in run.model.named_parameters()}
    one = checked(run, samples=2)
    assert all(np.array_equal(parameter.array, before[name]) for name, parameter in run.model.named_parameters())

    def indexes(result: ParameterCheck) -> list[Any]:
        return [each.index for each in result.comparisons]

    again = checked(small_pass(), "conv1.weight", samples=2)["conv1.weight"]
    other = checked(small_pass(), "conv1.weight", samples=2, seed=1)["conv1.weight"]
    assert indexes(again) == indexes(one["conv1.weight"]) != indexes(other)
    assert again.comparisons[0].analytical != other.comparisons[0].analytical


def test_a_broken_rule_is_found_and_the_first_in_backward_order_named(monkeypatch: pytest.MonkeyPatch) -> None:
    rules = GradientRules("relu", ("input",), ())
    rules.add(("input",), lambda grad, out: settled(threshold_backward(grad, out)) * 1.01, joint=False)
    monkeypatch.setattr(relu.operation, "gradient_rules", rules)
    results = checked(small_pass())
    assert [name for name, result in results.items() if not result.ok] == ["bn1.bias", "bn1.weight", "conv1.weight"]
    assert results["bn1.bias"].max_relative_error == pytest.approx(0.01 / 1.01, rel=1e-4)
    with pytest.raises(CheckError, match=r"3 of 5 gradients are wrong; the first in backward order is bn1\.bias, "):
        require_agreement(list(results.values()))


def test_a_parameter_that_backward_forgets_is_wrong(monkeypatch: pytest.MonkeyPatch) -> None:
    addmm = OPERATIONS["addmm"]
    rules = GradientRules("addmm", addmm.parameters, ())
    for name, rule in addmm.gradient_rules.by_input.items():
        function = (lambda grad: None) if name == "input" else rule.function
        rules.add((name,), function, joint=False)
    monkeypatch.setattr(addmm, "gradient_rules", rules)
    results = checked(small_pass(), "fc.bias")
    assert not results["fc.bias"].ok
    assert results["fc.bias"].analytical == 0


def test_a_relu_at_its_kink_is_told_and_no_failure() -> None:
    run = small_pass()
    run.model.bn1.weight.array[...] = 0
    run.model.bn1.bias.array[...] = 0  # every ReLU exactly at zero: the derivatives from both sides differ
    results = checked(run, "bn1.bias", samples=4)
    result = results["bn1.bias"]
    assert result.ok
    assert result.kinks == result.undecided == 5
    assert result.switched_in == ["relu"]
    verdicts = [each.verdict for each in result.comparisons]
    assert verdicts == ["kink"] * 5
    entry = result.comparisons[1]
    assert entry.analytical == 0
    assert entry.numerical != 0
    assert all(quotient.switched == 2 * 6 * 6 for quotient in entry.quotients)
    require_agreement([result])


def test_a_max_pooling_that_switches_is_a_kink() -> None:
    run = small_pass()
    run.model.eval()
    run.model.bn1.bias.array[...] = 50  # no ReLU is near its kink
    run.data.array[...] = 0.5  # away from the border all elements of a window are equal
    result = checked(run, wrt_input=True, samples=4, steps=[1e-5])["input"]
    assert result.ok
    assert result.switched_in == ["maxpool"]
    assert result.kinks == 5


def test_passes_are_foretold(monkeypatch: pytest.MonkeyPatch) -> None:
    run = small_pass()
    check = ModelCheck(run, CheckSettings(samples=3), wrt_input=True)
    counted: list[Tensor] = []
    loss = run.loss
    monkeypatch.setattr(run, "loss", lambda prediction: counted.append(prediction) or loss(prediction))
    list(check.results())
    assert len(counted) == check.passes == 2 * 3 * (6 * 4) + 2


def test_refusals() -> None:
    run = small_pass()
    run.model.fc.weight.requires_grad = False
    with pytest.raises(UsageError, match=r"fc\.weight is frozen"):
        ModelCheck(run, CheckSettings(), ["fc.weight"])
    run = small_pass()
    run.model.fc.bias.array[0] = np.nan
    with pytest.raises(DivergedError, match=r"1 of the 5 values of fc\.bias"):
        ModelCheck(run, CheckSettings())
