"""The pass over all parameters: memory orders, blocks, small vectors, low-rank gradients, refusals."""

from __future__ import annotations

import numpy as np
import pytest

from gradcli.kernels import parameter_updates
from gradcli.kernels.adam import AdamRule
from gradcli.kernels.low_rank import LowRankGradient
from gradcli.kernels.parameter_updates import Update, empty_state, update_parameters, zero_state
from gradcli.kernels.sgd import SGDRule
from gradcli.kernels.threads import get_num_threads, set_num_threads
from tests.kernels.references import random_array, relative_error

PLAIN = SGDRule(lr=0.1, momentum=0.0, dampening=0.0, weight_decay=0.0, nesterov=False, maximize=False, first_step=False)
MOMENTUM = PLAIN._replace(momentum=0.9, weight_decay=0.1, nesterov=True)
ADAM = AdamRule(
    step=3,
    lr=0.1,
    beta1=0.9,
    beta2=0.99,
    eps=1e-3,
    weight_decay=0.01,
    decoupled=True,
    amsgrad=True,
    maximize=True,
)
RULES = [PLAIN, MOMENTUM, ADAM]


def states_of(parameter, rule):
    """As many states as the rule moves."""
    return tuple(zero_state(parameter) for _ in range(3 if isinstance(rule, AdamRule) else rule.momentum > 0))


@pytest.fixture(params=[5, parameter_updates.BLOCK_ELEMENTS], ids=["small-blocks", "default-blocks"])
def block_elements(request, monkeypatch):
    monkeypatch.setattr(parameter_updates, "BLOCK_ELEMENTS", request.param)


@pytest.fixture
def thread_count():
    """The number of threads is the process's: what a test sets is taken back."""
    before = get_num_threads()
    yield set_num_threads
    set_num_threads(before)


@pytest.mark.parametrize("shape", [(), (0, 3), (1,), (parameter_updates.BLOCK_ELEMENTS + 1,), (2, 3, 4), (0, 2, 3, 3)])
def test_any_shape_is_updated_in_place(shape):
    parameter = np.asarray(random_array(shape, 1, np.float32))
    grad = np.asarray(random_array(shape, 2, np.float32))
    expected = parameter - np.float32(0.1) * grad
    update_parameters([Update(parameter, grad, (), PLAIN)])
    np.testing.assert_array_equal(parameter, expected)


def test_a_gradient_of_broadcast_memory_is_read_as_it_is():
    parameter = np.zeros((3, 4), np.float32)
    grad = np.broadcast_to(np.arange(4, dtype=np.float32), (3, 4))
    update_parameters([Update(parameter, grad, (), PLAIN._replace(lr=1.0))])
    np.testing.assert_array_equal(parameter, -grad)


@pytest.mark.usefixtures("block_elements")
@pytest.mark.parametrize("rule", RULES)
@pytest.mark.parametrize("memory", ["channels-last", "strided"])
def test_numbers_do_not_depend_on_the_memory_order(rule, memory):
    shape = (4, 3, 2, 3)
    parameter, grad = random_array(shape, 1, np.float32, memory), random_array(shape, 2, np.float32)
    plain, states = parameter.copy(order="C"), states_of(parameter, rule)
    plain_states = tuple(np.zeros(shape, np.float32) for _ in states)
    for _ in range(2):
        update_parameters([Update(parameter, grad, states, rule)])
        update_parameters([Update(plain, grad, plain_states, rule)])
    np.testing.assert_array_equal(parameter, plain)
    for state, plain_state in zip(states, plain_states, strict=True):
        np.testing.assert_array_equal(state, plain_state)


def many_updates(step, parameters, states, rule):
    """Updates of parameters large and small, some of them by another rule than the others."""
    return [
        Update(
            parameter,
            random_array(parameter.shape, 10 * step + number, parameter.dtype, "planar"),
            own_states,
            rule if number % 2 else rule._replace(lr=0.2),
        )
        for number, (parameter, own_states) in enumerate(zip(parameters, states, strict=True))
    ]


@pytest.mark.usefixtures("block_elements")
@pytest.mark.parametrize("threads", [1, 3])
@pytest.mark.parametrize("rule", RULES)
def test_many_parameters_move_as_each_would_alone(rule, threads, thread_count):
    def vector(size, seed, dtype):
        return random_array((size,), seed, dtype) if seed % 2 else random_array((2 * size,), seed, dtype)[::2]

    kinds = [np.float32, np.float32, np.float64, np.float32, np.float16]
    together = [vector(3 + 7 * number, number, kinds[number % 5]) for number in range(70)]
    together += [np.zeros(0, np.float32), vector(parameter_updates.SMALL_PARAMETER, 1, np.float32)]
    together += [np.asarray(random_array(shape, 5, np.float32)) for shape in [(3, 4, 2, 3), (), (40, 5)]]
    alone = [parameter.copy() for parameter in together]
    states, lone_states = ([states_of(parameter, rule) for parameter in together] for _ in range(2))
    for step in range(3):
        thread_count(threads)
        squares = update_parameters(many_updates(step, together, states, rule), measured=True)
        thread_count(1)
        lone = [update_parameters([update], measured=True) for update in many_updates(step, alone, lone_states, rule)]
        np.testing.assert_allclose(squares, sum(lone), rtol=1e-12)
    for one, other in zip(together, alone, strict=True):
        np.testing.assert_array_equal(one, other)
    for ours, theirs in zip(states, lone_states, strict=True):
        for one, other in zip(ours, theirs, strict=True):
            np.testing.assert_array_equal(one, other)


def test_what_is_measured_is_what_changed():
    parameter, before = np.ones((5, 3), np.float32), np.ones((5, 3), np.float32)
    grad = random_array((5, 3), 1, np.float32)
    squares = update_parameters([Update(parameter, grad, (), PLAIN)], measured=True)
    np.testing.assert_allclose(squares, np.square((parameter - before).astype(np.float64)).sum(), rtol=1e-12)
    assert update_parameters([Update(parameter, grad, (), PLAIN)]) == 0


@pytest.mark.parametrize("rule", [PLAIN._replace(lr=1.0), ADAM._replace(weight_decay=0.5, lr=1.0, amsgrad=False)])
def test_two_vectors_on_the_same_memory_both_move_it(rule):
    def moved(vectors):
        shared = np.full(3, 8, np.float32)
        updates = [
            Update(shared[:: -1 if flip else 1], np.full(3, value, np.float32), states_of(shared, rule)[:2], rule)
            for value, flip in ((1, False), (2, False), (1, True))
        ]
        for some in vectors(updates):
            update_parameters(some)
        return shared

    np.testing.assert_array_equal(moved(lambda updates: [updates]), moved(lambda updates: [[one] for one in updates]))


@pytest.mark.parametrize("memory", ["planar", "channels-last", "strided"])
@pytest.mark.parametrize("make", [empty_state, zero_state])
def test_a_state_has_the_memory_order_of_its_parameter(memory, make):
    parameter = random_array((4, 3, 2, 3), 1, np.float32, memory)
    state = make(parameter)
    assert (state.shape, state.dtype) == (parameter.shape, parameter.dtype)
    assert state.strides == parameter.copy(order="K").strides
    assert make is empty_state or not state.any()


@pytest.mark.usefixtures("block_elements")
@pytest.mark.parametrize("rule", RULES)
@pytest.mark.parametrize("memory", ["planar", "channels-last"])
def test_low_rank_gradients_count_as_the_arrays_that_they_stand_for(rule, memory):
    shape, tolerance = (20, 3, 2, 3), 1e-13
    parameter = random_array(shape, 1, np.float64, memory)
    expected, states = parameter.copy(order="K"), states_of(parameter, rule)
    expected_states = states_of(parameter, rule)
    for step in range(2):
        left, right = random_array((20, 4), 2 + step), random_array((4, 18), 3 + step)
        gradient = LowRankGradient([(left, right)], (20, 2, 3, 3))
        formed = (left @ right).reshape(20, 2, 3, 3).transpose(0, 3, 1, 2)
        update_parameters([Update(parameter, gradient, states, rule)])
        update_parameters([Update(expected, formed, expected_states, rule)])
        assert relative_error(parameter, expected) < tolerance
        assert gradient.is_computed == (memory == "planar")


def test_a_low_rank_gradient_that_was_formed_counts_as_it_is_now():
    parameter = np.zeros((16, 2, 1, 1), np.float32)
    gradient = LowRankGradient([(np.ones((16, 1), np.float32), np.ones((1, 2), np.float32))], (16, 1, 1, 2))
    gradient.array()[...] *= 5
    update_parameters([Update(parameter, gradient, (), PLAIN._replace(lr=1.0))])
    assert (parameter == -5).all()


def test_arrays_that_do_not_match_are_refused_and_nothing_changes():
    parameter, other = np.ones((2, 3), np.float32), np.ones(3, np.float32)
    good = Update(other, other.copy(), (), PLAIN)
    for grad in (np.ones((1, 3), np.float32), np.ones((2, 3), np.float64)):
        with pytest.raises(ValueError, match="but the parameter is"):
            update_parameters([good, Update(parameter, grad, (), PLAIN)])
    with pytest.raises(ValueError, match=r"gradient or state is float32 \[3\], but the parameter is float32 \[2, 3\]"):
        update_parameters([good, Update(parameter, parameter, (other,), MOMENTUM)])
    filters = np.ones((2, 3, 1, 1), np.float32)
    low_rank = LowRankGradient([(np.ones((2, 1), np.float32), np.ones((1, 4), np.float32))], (2, 1, 1, 4))
    with pytest.raises(ValueError, match=r"\[2, 4, 1, 1\], but the parameter is float32 \[2, 3, 1, 1\]"):
        update_parameters([good, Update(filters, low_rank, (), PLAIN)])
    for array in (parameter, other, filters):
        np.testing.assert_array_equal(array, np.ones_like(array))
