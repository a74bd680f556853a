"""The losses of regression: values, gradients at and beyond their kinks, weights, broadcasting, refusals."""

from __future__ import annotations

import math
import warnings

import numpy as np
import pytest
from operation_cases import Case, Refusal, checks_of, distinct, positive, real, refusal_checks_of

import gradcli
from gradcli.nn import functional

REDUCTIONS = {"mean": np.mean, "sum": np.sum, "none": np.asarray}


def smooth_l1(x, y, beta=1.0):
    z = np.abs(x - y)
    return np.where(z < beta, z * z / (2 * beta), z - beta / 2)


def huber(x, y, delta=1.0):
    z = np.abs(x - y)
    return np.where(z <= delta, z * z / 2, delta * (z - delta / 2))


#     name, function of PyTorch, options, the losses one by one
LOSSES = [
    ("mse", "mse_loss", {}, lambda x, y: (x - y) ** 2),
    ("l1", "l1_loss", {}, lambda x, y: np.abs(x - y)),
    ("smooth l1", "smooth_l1_loss", {}, smooth_l1),
    ("smooth l1 narrow", "smooth_l1_loss", {"beta": 0.3}, lambda x, y: smooth_l1(x, y, 0.3)),
    ("smooth l1 without a bend", "smooth_l1_loss", {"beta": 0}, lambda x, y: np.abs(x - y)),
    ("huber", "huber_loss", {}, huber),
    ("huber wide", "huber_loss", {"delta": 1.7}, lambda x, y: huber(x, y, 1.7)),
]


def broadcast(function, *operands, **options):
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # sizes differ
        return function(*operands, **options)


CASES = [
    *[
        Case(
            f"{name} {size} {reduction}",
            lambda torch, x, y, n=function, o=options, r=reduction: getattr(torch.nn.functional, n)(
                x, y, reduction=r, **o
            ),
            real(*shape),
            real(*shape),
            expected=lambda x, y, losses=losses, reduce=reduce: reduce(losses(x, y)),
        )
        for name, function, options, losses in LOSSES
        for size, shape in (("rows", (2, 3)), ("0-d", ()))
        for reduction, reduce in REDUCTIONS.items()
    ],
    *[
        Case(
            f"{name} broadcast",
            lambda torch, x, y, n=function: broadcast(getattr(torch.nn.functional, n), x, y),
            real(2, 1, 3),
            distinct(4, 1),
            expected=lambda x, y, losses=losses: np.mean(losses(x, y)),
        )
        for name, function, options, losses in LOSSES
        if not options
    ],
    *[
        Case(
            f"{name} weighted {reduction}",
            lambda torch, x, y, w, n=name, r=reduction: getattr(torch.nn.functional, n)(x, y, reduction=r, weight=w),
            real(2, 3),
            real(2, 3),
            positive(2, 3),
            expected=expected,
        )
        for name, losses in (("mse_loss", lambda x, y: (x - y) ** 2), ("l1_loss", lambda x, y: np.abs(x - y)))
        for reduction, expected in {
            "mean": lambda x, y, w, losses=losses: (losses(x, y) * w).sum() / w.sum(),
            "sum": lambda x, y, w, losses=losses: (losses(x, y) * w).sum(),
            "none": lambda x, y, w, losses=losses: losses(x, y) * w,
        }.items()
    ],
    Case(
        "huber_loss weighted",
        lambda torch, x, y, w: torch.nn.functional.huber_loss(x, y, weight=w),
        real(2, 3),
        real(2, 3),
        positive(2, 3),
        expected=lambda x, y, w: np.mean(huber(x, y) * w),
    ),
    Case(
        "mse with itself",
        lambda torch, x: torch.nn.functional.mse_loss(x, x * 2),
        real(2, 3),
        expected=lambda x: np.mean(x * x),
    ),
]


def refuse(name, call, error, message, differs=None):
    return Refusal(
        name, lambda torch: call(torch, torch.nn.functional, torch.ones(2, 3)), error, message, differs=differs
    )


REFUSALS = [
    *[
        refuse(
            f"{name} sizes",
            lambda torch, functions, x, n=name: broadcast(getattr(functions, n), x, torch.ones(2)),
            RuntimeError,
            r"tensor a \(3\).*tensor b \(2\)",
        )
        for name in ("mse_loss", "l1_loss", "smooth_l1_loss", "huber_loss")
    ],
    *[
        refuse(
            f"{name} reduction",
            lambda torch, functions, x, n=name: getattr(functions, n)(x, x, reduction="average"),
            ValueError,
            "average",
        )
        for name in ("mse_loss", "l1_loss", "smooth_l1_loss", "huber_loss")
    ],
    *[
        refuse(
            f"{name} type",
            lambda torch, functions, x, n=name: getattr(functions, n)(torch.tensor([1]), torch.tensor([1])),
            NotImplementedError,
            f"{name}.*int64",
        )
        for name in ("mse_loss", "smooth_l1_loss", "huber_loss")
    ],
    *[
        refuse(
            f"{name} weight",
            lambda torch, functions, x, n=name: getattr(functions, n)(x, x, weight=torch.ones(3)),
            ValueError,
            r"\[3\] and \[2, 3\]",
        )
        for name in ("mse_loss", "l1_loss", "huber_loss")
    ],
    refuse(
        "weighted reduction",
        lambda torch, functions, x: functions.mse_loss(x, x, reduction="average", weight=x),
        ValueError,
        "average",
    ),
    refuse("beta", lambda torch, functions, x: functions.smooth_l1_loss(x, x, beta=-1.0), RuntimeError, "beta"),
    refuse("delta", lambda torch, functions, x: functions.huber_loss(x, x, delta=0.0), RuntimeError, "delta"),
]


@pytest.mark.parametrize(("check", "case"), checks_of(CASES))
def test_operation(check, case):
    check(case)


@pytest.mark.parametrize(("check", "refusal"), refusal_checks_of(REFUSALS))
def test_refusal(check, refusal):
    check(refusal)


AT = [-math.inf, -1.0, -0.0, 0.0, 0.5, 1.0, math.inf, math.nan]
KINKS = [
    ("smooth_l1_loss", [-1.0, -1.0, 0.0, 0.0, 0.5, 1.0, 1.0, math.nan]),
    ("huber_loss", [-1.0, -1.0, 0.0, 0.0, 0.5, 1.0, 1.0, math.nan]),
]


@pytest.mark.parametrize(("name", "gradient"), KINKS)
def test_gradient_at_the_kinks(name, gradient):
    x = gradcli.tensor(AT, requires_grad=True)
    getattr(functional, name)(x, gradcli.zeros(8), reduction="sum").backward()
    np.testing.assert_array_equal(x.grad.tolist(), gradient)


@pytest.mark.parametrize("name", ["mse_loss", "l1_loss", "smooth_l1_loss", "huber_loss"])
def test_different_sizes_are_warned_of(name):
    with pytest.warns(UserWarning, match=r"target size \(\[2\]\).*input size \(\[3, 2\]\)"):
        getattr(functional, name)(gradcli.ones(3, 2), gradcli.ones(2))


@pytest.mark.parametrize("name", ["mse_loss", "l1_loss", "smooth_l1_loss", "huber_loss"])
def test_the_mean_of_no_losses_is_nan_without_a_warning(name):
    assert math.isnan(getattr(functional, name)(gradcli.ones(0), gradcli.ones(0)).item())


def test_mse_of_mixed_floats_takes_the_wider_type():
    loss = functional.mse_loss(gradcli.ones(2), gradcli.zeros(2, dtype=gradcli.float64))
    assert loss.dtype == gradcli.float64


@pytest.mark.parametrize(
    ("size_average", "reduce", "reduction"),
    [(True, None, "mean"), (False, None, "sum"), (None, True, "mean"), (True, False, "none"), (False, False, "none")],
)
def test_old_options_choose_the_reduction_with_a_warning(size_average, reduce, reduction):
    x, y = gradcli.tensor([1.0, 2.0]), gradcli.tensor([4.0, 4.0])
    with pytest.warns(UserWarning, match=f"reduction='{reduction}'"):
        loss = functional.mse_loss(x, y, size_average, reduce, "sum")
    assert loss.tolist() == functional.mse_loss(x, y, reduction=reduction).tolist()
