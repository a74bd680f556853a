"""The loss of binary classification: values, gradients, extremes, refusals."""

from __future__ import annotations

import math

import numpy as np
import pytest
from operation_cases import Case, Refusal, checks_of, real, refusal_checks_of

import gradcli
from gradcli.nn import functional

REDUCTIONS = {"mean": np.mean, "sum": np.sum, "none": np.asarray}


def logistic_loss(x, y, weight=1.0, pos_weight=1.0):
    sigmoid = 1 / (1 + np.exp(-x))
    return -weight * (pos_weight * y * np.log(sigmoid) + (1 - y) * np.log(1 - sigmoid))


def loss_cases(name, function, reference, *inputs, graph_differs=None):
    """A case for every reduction; `reference` gives the losses one by one."""
    return [
        Case(
            f"{name} {reduction}",
            lambda torch, *operands, r=reduction: function(torch.nn.functional, *operands, reduction=r),
            *inputs,
            expected=lambda *arrays, reduce=reduce: reduce(reference(*arrays)),
            graph_differs=graph_differs,
        )
        for reduction, reduce in REDUCTIONS.items()
    ]


def logits(functions, x, y, **options):
    return functions.binary_cross_entropy_with_logits(x, y, **options)


def unit(*shape):
    return lambda generator: generator.uniform(0.1, 0.9, shape)


CASES = [
    *loss_cases("logits", logits, logistic_loss, real(2, 3), unit(2, 3)),
    *loss_cases(
        "logits weight",
        lambda f, x, y, **o: logits(f, x, y, weight=x.detach() * 0 + 2, **o),
        lambda x, y: logistic_loss(x, y, 2.0),
        real(2, 3),
        unit(2, 3),
    ),
    *loss_cases(
        "logits pos_weight",
        lambda f, x, y, **o: logits(f, x, y, pos_weight=x.detach()[0] * 0 + 3, **o),
        lambda x, y: logistic_loss(x, y, 1.0, 3.0),
        real(2, 3),
        unit(2, 3),
    ),
]


def refuse(name, call, error, message, differs=None):
    return Refusal(
        name, lambda torch: call(torch, torch.nn.functional, torch.ones(2, 3)), error, message, differs=differs
    )


REFUSALS = [
    refuse(
        "logits sizes",
        lambda torch, functions, x: functions.binary_cross_entropy_with_logits(x, x[0]),
        ValueError,
        r"\[3\].*\[2, 3\]",
    ),
    refuse(
        "logits type",
        lambda torch, functions, x: functions.binary_cross_entropy_with_logits(x.to(torch.int64), x),
        NotImplementedError,
        "int64",
    ),
    refuse(
        "logits target",
        lambda torch, functions, x: functions.binary_cross_entropy_with_logits(x, x.to(torch.int64)),
        RuntimeError,
        "int64",
    ),
    refuse(
        "logits weight",
        lambda torch, functions, x: functions.binary_cross_entropy_with_logits(x, x, torch.ones(2)),
        RuntimeError,
        "2",
    ),
    refuse(
        "logits wide weight",
        lambda torch, functions, x: functions.binary_cross_entropy_with_logits(x, x, torch.ones(5, 2, 3)),
        RuntimeError,
        "5, 2, 3",
    ),
    refuse(
        "logits pos_weight",
        lambda torch, functions, x: functions.binary_cross_entropy_with_logits(x, x, pos_weight=torch.ones(2)),
        RuntimeError,
        "2",
    ),
    refuse(
        "logits reduction",
        lambda torch, functions, x: functions.binary_cross_entropy_with_logits(x, x, reduction="average"),
        ValueError,
        "average",
    ),
]


@pytest.mark.parametrize(("check", "case"), checks_of(CASES))
def test_operation(check, case):
    check(case)


@pytest.mark.parametrize(("check", "refusal"), refusal_checks_of(REFUSALS))
def test_refusal(check, refusal):
    check(refusal)


def test_extreme_logits_neither_overflow_nor_lose_the_gradient():
    x = gradcli.tensor([1e4, -1e4, 1e4], requires_grad=True)
    losses = functional.binary_cross_entropy_with_logits(x, gradcli.tensor([0.0, 1.0, 1.0]), reduction="none")
    losses.sum().backward()
    assert losses.tolist() == [1e4, 1e4, 0.0]
    assert x.grad.tolist() == [1.0, -1.0, 0.0]


@pytest.mark.parametrize("dtype", [gradcli.float32, gradcli.float64])
def test_the_type_is_the_targets(dtype):
    x = gradcli.ones(2, requires_grad=True)
    loss = functional.binary_cross_entropy_with_logits(x, gradcli.ones(2, dtype=dtype))
    loss.backward()
    assert (loss.dtype, x.grad.dtype) == (dtype, gradcli.float32)


def test_the_mean_of_no_losses_is_nan_without_a_warning():
    assert math.isnan(functional.binary_cross_entropy_with_logits(gradcli.ones(0), gradcli.ones(0)).item())


def test_gradient_of_a_target_far_from_the_decision():
    x, y = gradcli.tensor([40.0, -40.0]), gradcli.tensor([0.5, 0.5], requires_grad=True)
    functional.binary_cross_entropy_with_logits(x, y, pos_weight=gradcli.tensor(3.0), reduction="sum").backward()
    np.testing.assert_allclose(y.grad.tolist(), [-40.0, 120.0], rtol=1e-6)
