"""The SGD update against its formula, its memory behaviour, and torch.optim.SGD over several steps."""

from __future__ import annotations

import itertools

import numpy as np
import pytest

from gradcli.kernels import sgd
from gradcli.kernels.low_rank import LowRankGradient
from gradcli.kernels.sgd import Rule, Update, empty_momentum_buffer, sgd_update
from gradcli.kernels.threads import get_num_threads, set_num_threads
from tests.kernels.references import random_array, relative_error

PLAIN = Rule(lr=0.1, momentum=0.0, dampening=0.0, weight_decay=0.0, nesterov=False, maximize=False)
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


@pytest.fixture(params=[5, sgd.BLOCK_ELEMENTS], ids=["small-blocks", "default-blocks"])
def block_elements(request, monkeypatch):
    monkeypatch.setattr(sgd, "BLOCK_ELEMENTS", request.param)


@pytest.fixture
def thread_count():
    """The number of threads is the process's: what a test sets is taken back."""
    before = get_num_threads()
    yield set_num_threads
    set_num_threads(before)


@pytest.mark.usefixtures("block_elements")
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
        sgd_update([Update(parameter, grad, buffer, step == 0)], rule)
        np.testing.assert_array_equal(grad, kept)
        np.testing.assert_allclose(parameter, expected, rtol=tolerance, atol=tolerance)
        if buffer is not None:
            np.testing.assert_allclose(buffer, expected_buffer, rtol=tolerance, atol=tolerance)


@pytest.mark.parametrize("shape", [(), (0, 3), (1,), (sgd.BLOCK_ELEMENTS + 1,), (2, 3, 4), (0, 2, 3, 3)])
def test_any_shape_is_updated_in_place(shape):
    parameter = np.asarray(random_array(shape, 1, np.float32))
    grad = np.asarray(random_array(shape, 2, np.float32))
    expected = parameter - np.float32(0.1) * grad
    sgd_update([Update(parameter, grad, None, True)], PLAIN)
    np.testing.assert_array_equal(parameter, expected)


def test_a_gradient_of_broadcast_memory_is_read_as_it_is():
    parameter = np.zeros((3, 4), np.float32)
    grad = np.broadcast_to(np.arange(4, dtype=np.float32), (3, 4))
    sgd_update([Update(parameter, grad, None, True)], PLAIN._replace(lr=1.0))
    np.testing.assert_array_equal(parameter, -grad)


def many_updates(step, parameters, buffers):
    """Updates of parameters large and small, some of them at their first step later than others."""
    return [
        Update(parameter, random_array(parameter.shape, 10 * step + number, parameter.dtype, "planar"), buffer, first)
        for number, (parameter, buffer) in enumerate(zip(parameters, buffers, strict=True))
        if (first := step == number % 2) or step > number % 2
    ]


@pytest.mark.usefixtures("block_elements")
@pytest.mark.parametrize("threads", [1, 3])
def test_many_parameters_move_as_each_would_alone(threads, thread_count):
    shapes = [(7,), (3, 4, 2, 3), (), (40, 5), (2, 3, 3), (6,)]
    together = [np.asarray(random_array(shape, number, np.float32)) for number, shape in enumerate(shapes)]
    together[3] = together[3].astype(np.float64)
    alone = [parameter.copy() for parameter in together]
    buffers, lone_buffers = ([empty_momentum_buffer(parameter) for parameter in together] for _ in range(2))
    rule = PLAIN._replace(momentum=0.9, weight_decay=0.1)
    for step in range(3):
        thread_count(threads)
        sgd_update(many_updates(step, together, buffers), rule)
        thread_count(1)
        for update in many_updates(step, alone, lone_buffers):
            sgd_update([update], rule)
    for parameter, lone in zip(together, alone, strict=True):
        np.testing.assert_array_equal(parameter, lone)


@pytest.mark.parametrize("rule", RULES)
def test_vectors_move_together_as_each_would_alone(rule):
    def vector(size, seed, dtype):
        return random_array((size,), seed, dtype) if seed % 2 else random_array((2 * size,), seed, dtype)[::2]

    kinds = [np.float32, np.float32, np.float64, np.float32, np.float16]
    sizes = [(3 + 7 * number, kinds[number % 5]) for number in range(70)]
    sizes += [(0, np.float32), (sgd.SMALL_PARAMETER, np.float32)]
    together = [vector(size, number, dtype) for number, (size, dtype) in enumerate(sizes)]
    alone = [parameter.copy() for parameter in together]
    buffers, lone_buffers = ([empty_momentum_buffer(parameter) for parameter in together] for _ in range(2))
    for step in range(3):
        squares = sgd_update(many_updates(step, together, buffers), rule, measured=True)
        lone_squares = [sgd_update([update], rule, measured=True) for update in many_updates(step, alone, lone_buffers)]
        np.testing.assert_allclose(squares, sum(lone_squares), rtol=1e-12)
    for one, other in zip(together, alone, strict=True):
        np.testing.assert_array_equal(one, other)
    if rule.momentum:
        for one, other in zip(buffers, lone_buffers, strict=True):
            np.testing.assert_array_equal(one, other)


def test_two_vectors_on_the_same_memory_both_move_it():
    shared = np.zeros(3, np.float32)
    updates = [Update(shared, np.full(3, value, np.float32), None, True) for value in (1, 2)]
    sgd_update([*updates, Update(shared[::-1], np.ones(3, np.float32), None, True)], PLAIN._replace(lr=1.0))
    np.testing.assert_array_equal(shared, [-4, -4, -4])


@pytest.mark.parametrize("memory", ["planar", "channels-last", "strided"])
def test_a_momentum_buffer_has_the_memory_order_of_its_parameter(memory):
    parameter = random_array((4, 3, 2, 3), 1, np.float32, memory)
    buffer = empty_momentum_buffer(parameter)
    assert (buffer.shape, buffer.dtype) == (parameter.shape, parameter.dtype)
    assert buffer.strides == parameter.copy(order="K").strides


@pytest.mark.usefixtures("block_elements")
@pytest.mark.parametrize("rule", RULES)
@pytest.mark.parametrize("memory", ["planar", "channels-last"])
def test_low_rank_gradients_count_as_the_arrays_that_they_stand_for(rule, memory):
    shape, tolerance = (20, 3, 2, 3), 1e-14
    parameter = random_array(shape, 1, np.float64, memory)
    expected, buffer = parameter.copy(order="K"), empty_momentum_buffer(parameter)
    expected_buffer = empty_momentum_buffer(parameter)
    for step in range(2):
        left, right = random_array((20, 4), 2 + step), random_array((4, 18), 3 + step)
        gradient = LowRankGradient([(left, right)], (20, 2, 3, 3))
        formed = (left @ right).reshape(20, 2, 3, 3).transpose(0, 3, 1, 2)
        sgd_update([Update(parameter, gradient, buffer, step == 0)], rule)
        sgd_update([Update(expected, formed, expected_buffer, step == 0)], rule)
        assert relative_error(parameter, expected) < tolerance
        assert gradient.is_computed == (memory == "planar")


def test_a_low_rank_gradient_that_was_formed_counts_as_it_is_now():
    parameter = np.zeros((16, 2, 1, 1), np.float32)
    gradient = LowRankGradient([(np.ones((16, 1), np.float32), np.ones((1, 2), np.float32))], (16, 1, 1, 2))
    gradient.array()[...] *= 5
    sgd_update([Update(parameter, gradient, None, True)], PLAIN._replace(lr=1.0))
    assert (parameter == -5).all()


def test_arrays_that_do_not_match_are_refused_and_nothing_changes():
    parameter, other = np.ones((2, 3), np.float32), np.ones(3, np.float32)
    good = Update(other, other.copy(), None, True)
    for grad in (np.ones((1, 3), np.float32), np.ones((2, 3), np.float64)):
        with pytest.raises(ValueError, match="but the parameter is"):
            sgd_update([good, Update(parameter, grad, None, True)], PLAIN)
    with pytest.raises(ValueError, match="needs a momentum buffer"):
        sgd_update([Update(parameter, parameter, None, True)], PLAIN._replace(momentum=0.9))
    filters = np.ones((2, 3, 1, 1), np.float32)
    low_rank = LowRankGradient([(np.ones((2, 1), np.float32), np.ones((1, 4), np.float32))], (2, 1, 1, 4))
    with pytest.raises(ValueError, match=r"\[2, 4, 1, 1\], but the parameter is float32 \[2, 3, 1, 1\]"):
        sgd_update([good, Update(filters, low_rank, None, True)], PLAIN)
    for array in (parameter, other, filters):
        np.testing.assert_array_equal(array, np.ones_like(array))


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
        sgd_update([Update(parameter, grad, buffer if momentum else None, step == 0)], Rule(**options))
    # PyTorch's fused multiply-adds round once where two NumPy operations round twice.
    expected = leaf.detach().numpy()
    unit = np.spacing(np.maximum(np.abs(expected), dtype(1)))
    assert np.abs((parameter - expected) / unit).max() <= 3
