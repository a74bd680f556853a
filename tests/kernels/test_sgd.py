"""The SGD update against its formula, its memory behaviour, and torch.optim.SGD over several steps."""

from __future__ import annotations

import itertools

import numpy as np
import pytest

from gradcli.kernels import sgd
from gradcli.kernels.sgd import sgd_update
from tests.kernels.references import random_array

PLAIN = {
    "lr": 0.1,
    "momentum": 0.0,
    "dampening": 0.0,
    "weight_decay": 0.0,
    "nesterov": False,
    "maximize": False,
}
OPTIONS = [
    PLAIN,
    PLAIN | {"momentum": 0.9},
    PLAIN | {"weight_decay": 0.01},
    PLAIN | {"momentum": 0.9, "weight_decay": 0.01, "nesterov": True},
    PLAIN | {"momentum": 0.8, "dampening": 0.3, "weight_decay": 0.05},
    PLAIN | {"momentum": 0.9, "dampening": 0.3, "weight_decay": 0.05, "maximize": True},
    PLAIN | {"maximize": True},
    PLAIN | {"momentum": 0.9, "nesterov": True, "maximize": True},
    PLAIN | {"lr": 0.0, "momentum": 0.5},
]


def reference_step(parameter, grad, buffer, *, lr, momentum, dampening, weight_decay, nesterov, maximize, first_step):
    """New parameter and buffer in float64, from the documented formula."""
    direction = (-grad if maximize else grad) + weight_decay * parameter
    if momentum:
        buffer = direction if first_step else momentum * buffer + (1 - dampening) * direction
        direction = direction + momentum * buffer if nesterov else buffer
    return parameter - lr * direction, buffer


@pytest.fixture(params=[5, sgd.BLOCK_ELEMENTS], ids=["small-blocks", "default-blocks"])
def block_elements(request, monkeypatch):
    monkeypatch.setattr(sgd, "BLOCK_ELEMENTS", request.param)


@pytest.mark.usefixtures("block_elements")
@pytest.mark.parametrize("options", OPTIONS)
@pytest.mark.parametrize("memory", ["planar", "channels-last", "strided"])
@pytest.mark.parametrize(("dtype", "tolerance"), [(np.float32, 1e-6), (np.float64, 1e-14)])
def test_three_steps_follow_the_formula(options, memory, dtype, tolerance):
    shape = (4, 3, 2, 3)
    parameter = random_array(shape, 1, dtype, memory)
    buffer = np.full_like(parameter, np.nan) if options["momentum"] else None  # ignored on the first step
    expected, expected_buffer = parameter.astype(np.float64), np.zeros(shape)
    for step in range(3):
        # The gradient's memory differs from the parameter's now and then.
        grad = random_array(shape, 2 + step, dtype, memory if step else "planar")
        kept = grad.copy()
        expected, expected_buffer = reference_step(
            expected, grad.astype(np.float64), expected_buffer, **options, first_step=step == 0
        )
        sgd_update(parameter, grad, buffer, **options, first_step=step == 0)
        np.testing.assert_array_equal(grad, kept)
        np.testing.assert_allclose(parameter, expected, rtol=tolerance, atol=tolerance)
        if buffer is not None:
            np.testing.assert_allclose(buffer, expected_buffer, rtol=tolerance, atol=tolerance)


@pytest.mark.parametrize("shape", [(), (0, 3), (1,), (70_001,)])
def test_any_shape_is_updated_in_place(shape):
    parameter = np.asarray(random_array(shape, 1, np.float32))
    grad = np.asarray(random_array(shape, 2, np.float32))
    expected = parameter - np.float32(0.1) * grad
    sgd_update(parameter, grad, None, **PLAIN, first_step=True)
    np.testing.assert_array_equal(parameter, expected)


def test_a_gradient_of_broadcast_memory_is_read_as_it_is():
    parameter = np.zeros((3, 4), np.float32)
    grad = np.broadcast_to(np.arange(4, dtype=np.float32), (3, 4))
    sgd_update(parameter, grad, None, **PLAIN | {"lr": 1.0}, first_step=True)
    np.testing.assert_array_equal(parameter, -grad)


def test_arrays_that_do_not_match_are_refused_and_nothing_changes():
    parameter = np.ones((2, 3), np.float32)
    for grad in (np.ones((1, 3), np.float32), np.ones((2, 3), np.float64)):
        with pytest.raises(ValueError, match="but the parameter is"):
            sgd_update(parameter, grad, None, **PLAIN, first_step=True)
    with pytest.raises(ValueError, match="needs a momentum buffer"):
        sgd_update(parameter, parameter, None, **PLAIN | {"momentum": 0.9}, first_step=True)
    np.testing.assert_array_equal(parameter, np.ones((2, 3)))


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
        sgd_update(parameter, grad, buffer if momentum else None, **options, first_step=step == 0)
    # PyTorch's fused multiply-adds round once where two NumPy operations round twice.
    expected = leaf.detach().numpy()
    unit = np.spacing(np.maximum(np.abs(expected), dtype(1)))
    assert np.abs((parameter - expected) / unit).max() <= 3
