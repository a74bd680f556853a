"""The Adam update against its formula in double precision, and torch.optim's over many steps."""

from __future__ import annotations

import itertools
import math

import numpy as np
import pytest

from gradcli.kernels.adam import AdamRule
from gradcli.kernels.parameter_updates import Update, update_parameters
from tests.kernels.references import random_array

PLAIN = AdamRule(
    step=1,
    lr=0.05,
    beta1=0.9,
    beta2=0.99,
    eps=1e-8,
    weight_decay=0.0,
    decoupled=False,
    amsgrad=False,
    maximize=False,
)
RULES = [
    PLAIN,
    PLAIN._replace(weight_decay=0.1),
    PLAIN._replace(weight_decay=0.1, decoupled=True),
    PLAIN._replace(weight_decay=0.1, decoupled=True, maximize=True),
    PLAIN._replace(weight_decay=0.1, amsgrad=True, maximize=True),
    PLAIN._replace(beta1=0.0, beta2=0.0, eps=0.5),
    PLAIN._replace(beta1=0.3, amsgrad=True, beta2=0.5),
]


def reference_step(parameter, grad, mean, square, largest, rule):
    """New parameter and states in float64, from the documented formula."""
    if rule.maximize:
        grad = -grad
    if rule.decoupled:
        parameter = parameter - rule.lr * rule.weight_decay * parameter
    else:
        grad = grad + rule.weight_decay * parameter
    mean = rule.beta1 * mean + (1 - rule.beta1) * grad
    square = rule.beta2 * square + (1 - rule.beta2) * grad**2
    largest = np.maximum(largest, square)
    corrected = (largest if rule.amsgrad else square) / (1 - rule.beta2**rule.step)
    change = rule.lr * mean / (1 - rule.beta1**rule.step) / (np.sqrt(corrected) + rule.eps)
    return parameter - change, mean, square, largest


@pytest.mark.parametrize("rule", RULES)
@pytest.mark.parametrize(("dtype", "tolerance"), [(np.float32, 3e-6), (np.float64, 1e-13)])
def test_steps_follow_the_formula(rule, dtype, tolerance):
    parameter = random_array((40, 5), 1, dtype)
    states = tuple(np.zeros_like(parameter) for _ in range(3 if rule.amsgrad else 2))
    expected = (parameter.astype(np.float64), *(np.zeros(parameter.shape) for _ in range(3)))
    for step in range(1, 5):
        grad = random_array(parameter.shape, 1 + step, dtype) / step
        kept = grad.copy()
        rule = rule._replace(step=step)
        expected = reference_step(expected[0], grad.astype(np.float64), *expected[1:], rule)
        update_parameters([Update(parameter, grad, states, rule)])
        np.testing.assert_array_equal(grad, kept)
        for found, wanted in zip((parameter, *states), expected, strict=False):
            np.testing.assert_allclose(found, wanted, rtol=tolerance, atol=tolerance)


def test_the_first_step_has_the_length_of_the_learning_rate():
    parameter, grad = np.zeros(3), np.array([1e-3, -5.0, 2e4])
    update_parameters([Update(parameter, grad, (np.zeros(3), np.zeros(3)), PLAIN)])
    np.testing.assert_allclose(parameter, [-0.05, 0.05, -0.05], rtol=1e-4)


def test_without_memory_the_mean_is_the_gradient_itself():
    mean, grad = np.full(100, 1e8, np.float32), random_array((100,), 1, np.float32)
    rule = PLAIN._replace(beta1=0.0)
    update_parameters([Update(np.zeros(100, np.float32), grad, (mean, np.zeros(100, np.float32)), rule)])
    np.testing.assert_array_equal(mean, grad)


def test_nan_reaches_the_largest_square_too():
    states = tuple(np.ones(2, np.float32) for _ in range(3))
    rule = PLAIN._replace(amsgrad=True)
    update_parameters([Update(np.zeros(2, np.float32), np.array([math.nan, 1], np.float32), states, rule)])
    assert [np.isnan(state).tolist() for state in states] == [[True, False]] * 3


@pytest.mark.parity
@pytest.mark.parametrize(
    ("decoupled", "weight_decay", "amsgrad", "maximize", "betas"),
    list(itertools.product((False, True), (0.0, 0.1), (False, True), (False, True), ((0.9, 0.999), (0.2, 0.5)))),
)
def test_fifty_steps_stay_within_rounding_of_pytorch(decoupled, weight_decay, amsgrad, maximize, betas):
    torch = pytest.importorskip("torch")
    options = {"lr": 0.01, "eps": 1e-8, "weight_decay": weight_decay, "amsgrad": amsgrad, "maximize": maximize}
    parameter = random_array((50, 21), 1, np.float32)
    leaf = torch.tensor(parameter, requires_grad=True)
    optimizer = (torch.optim.AdamW if decoupled else torch.optim.Adam)([leaf], betas=betas, **options)
    states = tuple(np.zeros_like(parameter) for _ in range(3 if amsgrad else 2))
    for step in range(1, 51):
        grad = random_array(parameter.shape, 1 + step, np.float32)
        leaf.grad = torch.from_numpy(grad.copy())
        optimizer.step()
        rule = AdamRule(step=step, beta1=betas[0], beta2=betas[1], decoupled=decoupled, **options)
        update_parameters([Update(parameter, grad, states, rule)])
    # PyTorch's fused multiply-adds round once where two NumPy operations round twice.
    expected = leaf.detach().numpy()
    unit = np.spacing(np.maximum(np.abs(expected), np.float32(1)))
    assert np.abs((parameter - expected) / unit).max() <= 2
