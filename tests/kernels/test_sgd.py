"""The SGD update against its formula, and torch.optim.SGD over several steps."""

from __future__ import annotations

import itertools

import numpy as np
import pytest

from gradcli.kernels.parameter_updates import Update, update_parameters
from gradcli.kernels.sgd import SGDRule
from tests.kernels.references import random_array

PLAIN = SGDRule(lr=0.1, momentum=0.0, dampening=0.0, weight_decay=0.0, nesterov=False, maximize=False, first_step=False)
RULES = [
    PLAIN,
    PLAIN._replace(momentum=0.9),
    PLAIN._replace(weight_decay=0.01),
    PLAIN._replace(momentum=0.9, weight_decay=0.01, nesterov=True),
    PLAIN._replace(momentum=0.8, dampening=0.3, weight_decay=0.05),
    PLAIN._replace(momentum=0.9, dampening=0.3, weight_decay=0.05, maximize=True),
    PLAIN._replace(maximize=True),
    PLAIN._replace(momentum=0.9, nesterov=True, maximize=True),
    PLAIN._replace(lr=0.0, momentum=0.5),
]


def reference_step(parameter, grad, buffer, rule, first_step):
    """New parameter and buffer in float64, from the documented formula."""
    direction = (-grad if rule.maximize else grad) + rule.weight_decay * parameter
    if rule.momentum:
        buffer = direction if first_step else rule.momentum * buffer + (1 - rule.dampening) * direction
        direction = direction + rule.momentum * buffer if rule.nesterov else buffer
    return parameter - rule.lr * direction, buffer


@pytest.mark.parametrize("rule", RULES)
@pytest.mark.parametrize("memory", ["planar", "channels-last", "strided"])
@pytest.mark.parametrize(("dtype", "tolerance"), [(np.float32, 1e-6), (np.float64, 1e-14)])
def test_three_steps_follow_the_formula(rule, memory, dtype, tolerance):
    shape = (4, 3, 2, 3)
    parameter = random_array(shape, 1, dtype, memory)
    buffer = np.full_like(parameter, np.nan) if rule.momentum else None  # ignored on the first step
    expected, expected_buffer = parameter.astype(np.float64), np.zeros(shape)
    for step in range(3):
        # The gradient's memory differs from the parameter's now and then.
        grad = random_array(shape, 2 + step, dtype, memory if step else "planar")
        kept = grad.copy()
        expected, expected_buffer = reference_step(expected, grad.astype(np.float64), expected_buffer, rule, step == 0)
        states = () if buffer is None else (buffer,)
        update_parameters([Update(parameter, grad, states, rule._replace(first_step=step == 0))])
        np.testing.assert_array_equal(grad, kept)
        np.testing.assert_allclose(parameter, expected, rtol=tolerance, atol=tolerance)
        if buffer is not None:
            np.testing.assert_allclose(buffer, expected_buffer, rtol=tolerance, atol=tolerance)


@pytest.mark.parity
@pytest.mark.parametrize(
    ("momentum", "dampening", "weight_decay", "nesterov", "maximize"),
    [
        (momentum, dampening, weight_decay, nesterov, maximize)
        for momentum, dampening, weight_decay, nesterov, maximize in itertools.product(
            (0.0, 0.9), (0.0, 0.2), (0.0, 0.01), (False, True), (False, True)
        )
        if not (nesterov and (not momentum or dampening))
    ],
)
@pytest.mark.parametrize("dtype", [np.float32, np.float64])
def test_five_steps_stay_within_rounding_of_pytorch(momentum, dampening, weight_decay, nesterov, maximize, dtype):
    torch = pytest.importorskip("torch")
    options = {
        "lr": 0.03,
        "momentum": momentum,
        "dampening": dampening,
        "weight_decay": weight_decay,
        "nesterov": nesterov,
        "maximize": maximize,
    }
    parameter = random_array((50, 21), 1, dtype)
    leaf = torch.tensor(parameter, requires_grad=True)
    optimizer = torch.optim.SGD([leaf], **options)
    buffer = np.zeros_like(parameter)
    for step in range(5):
        grad = random_array(parameter.shape, 2 + step, dtype)
        leaf.grad = torch.from_numpy(grad.copy())
        optimizer.step()
        rule = SGDRule(**options, first_step=step == 0)
        update_parameters([Update(parameter, grad, (buffer,) if momentum else (), rule)])
    # PyTorch's fused multiply-adds round once where two NumPy operations round twice.
    expected = leaf.detach().numpy()
    unit = np.spacing(np.maximum(np.abs(expected), dtype(1)))
    assert np.abs((parameter - expected) / unit).max() <= 3
