"""Injections: how they are written, and what they change."""

from __future__ import annotations

import math

import numpy as np
import pytest
from small_network import small_pass

from gradcli.errors import UsageError
from gradcli.inspection.non_finite.injection import Injection, injected, parse_injection
from gradcli.training.passes import record_loss


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("fc.weight=inf", Injection("fc.weight", math.inf, (0,))),
        ("fc.weight=-inf:7", Injection("fc.weight", -math.inf, (7,))),
        ("input=1e30:0,2,5,5", Injection("input", 1e30, (0, 2, 5, 5))),
        ("layer1.0.output=-0.5", Injection("layer1.0.output", -0.5, (0,))),
    ],
)
def test_forms(text: str, expected: Injection) -> None:
    assert parse_injection(text) == expected


def test_nan_is_a_value() -> None:
    assert math.isnan(parse_injection("fc.bias=nan:3").value)


@pytest.mark.parametrize("text", ["fc.bias", "fc.bias=", "=nan", "fc.bias=x", "fc.bias=nan:", "fc.bias=nan:a", "a=1=2"])
def test_other_forms_are_refused(text: str) -> None:
    with pytest.raises(UsageError, match=r"--inject .* is not NAME=VALUE\[:INDEX\]"):
        parse_injection(text)


def test_into_a_parameter_and_a_buffer() -> None:
    run = small_pass()
    with injected(run, [Injection("fc.weight", math.inf, (2, 3)), Injection("bn1.running_mean", math.nan, (1,))]):
        assert np.argwhere(~np.isfinite(run.model.fc.weight.array)).tolist() == [[2, 3]]
        assert np.isnan(run.model.bn1.running_mean.array).tolist() == [False, True, False, False]


def test_into_the_input_but_not_into_the_callers_array() -> None:
    run = small_pass()
    given = run.data.array
    with injected(run, [Injection("input", math.nan, (5,))]):
        assert np.flatnonzero(np.isnan(run.data.array)).tolist() == [5]
    assert np.isfinite(given).all()


def test_into_what_a_module_gives() -> None:
    run = small_pass()
    plain, _ = record_loss(run)
    with injected(run, [Injection("fc.output", 1e6, (1, 4))]):
        changed, _ = record_loss(run)
    assert np.argwhere(changed.array != plain.array).tolist() == [[1, 4]]
    assert changed.array[1, 4] == 1e6
    again, _ = record_loss(run)
    assert np.array_equal(again.array, plain.array)


def test_into_the_gradient_of_what_a_module_gives() -> None:
    run = small_pass()
    with injected(run, [Injection("fc.gradient", 5.0, (1, 4))]):
        prediction, loss = record_loss(run)
        loss.backward()
    plain, _ = record_loss(small_pass())
    assert np.array_equal(prediction.array, plain.array)
    # The gradient of the sum is 1 everywhere else; the bias sums over the two images.
    assert run.model.fc.bias.grad is not None
    assert run.model.fc.bias.grad.array.tolist() == [2, 2, 2, 2, 6]


@pytest.mark.parametrize(
    ("injection", "message"),
    [
        (Injection("fc.wieght", 0, (0,)), r"--inject fc\.wieght: there is no such tensor; did you mean fc\.weight"),
        (Injection("fc.bias", 0, (5,)), r"no such element in 5; give 1 number"),
        (Injection("fc.weight", 0, (5, 0)), r"no such element in 5x36; give 2 number"),
        (Injection("fc.weight", 0, (1, 2, 3)), r"no such element in 5x36"),
        (Injection("fc.output", 0, (2, 0)), r"no such element in 2x5"),
        (Injection("fc.gradient", 0, (10,)), r"no such element in 2x5"),
        (Injection("bn1.num_batches_tracked", 0, (0,)), r"holds integers, which are always finite"),
    ],
)
def test_refusals(injection: Injection, message: str) -> None:
    run = small_pass()
    with pytest.raises(UsageError, match=message), injected(run, [injection]):
        record_loss(run)
    assert not any(module._forward_hooks for module in run.model.modules())


def test_an_injection_reads_as_it_is_written() -> None:
    assert str(parse_injection("input=-inf:0,2,5,5")) == "input=-inf:0,2,5,5"
