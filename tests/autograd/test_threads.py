"""Threads: modes are each thread's own, backward passes run at the same time, also into one leaf."""

from __future__ import annotations

import sys
import threading

import numpy as np
import pytest

import gradcli
from gradcli import nn

ROUNDS = 100


@pytest.fixture(autouse=True)
def switching_often():
    """Let threads take turns as often as possible."""
    interval = sys.getswitchinterval()
    sys.setswitchinterval(1e-6)
    yield
    sys.setswitchinterval(interval)


def run(*functions):
    """Run these at once, each in a thread; the first error of any of them is raised, else their results returned."""
    results = [None] * len(functions)
    errors = []
    start = threading.Barrier(len(functions))

    def work(index, function):
        try:
            start.wait(10)
            results[index] = function()
        except BaseException as error:
            errors.append(error)

    threads = [threading.Thread(target=work, args=pair) for pair in enumerate(functions)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    if errors:
        raise errors[0]
    return results


# --- modes ------------------------------------------------------------------------------------------------------------

MODES = {
    "no_grad": (gradcli.no_grad, lambda: gradcli.is_grad_enabled(), False),
    "set_grad_enabled": (lambda: gradcli.set_grad_enabled(False), lambda: gradcli.is_grad_enabled(), False),
    "inference_mode": (gradcli.inference_mode, lambda: gradcli.is_inference_mode_enabled(), True),
}


@pytest.mark.parametrize(("scope", "state", "inside"), MODES.values(), ids=MODES.keys())
def test_modes_are_per_thread(scope, state, inside):
    both_inside, done = threading.Barrier(2), threading.Barrier(2)

    def with_mode():
        with scope():
            both_inside.wait(10)
            seen = state()
            done.wait(10)
        return seen, state()

    def without():
        both_inside.wait(10)
        seen = state()
        done.wait(10)
        return seen, state()

    assert run(with_mode, without) == [(inside, not inside), (not inside, not inside)]


def test_a_thread_starts_with_gradients_whatever_its_parent_does():
    with gradcli.no_grad(), gradcli.inference_mode():
        assert run(lambda: (gradcli.is_grad_enabled(), gradcli.is_inference_mode_enabled())) == [(True, False)]


def test_recording_in_one_thread_while_another_does_not():
    x = gradcli.ones(3, requires_grad=True)

    def recording():
        return all((x * 2).requires_grad for _ in range(500))

    def not_recording():
        with gradcli.no_grad():
            return not any((x * 2).requires_grad for _ in range(500))

    assert run(recording, not_recording) == [True, True]


def test_create_graph_in_one_thread_leaves_the_mode_of_the_other():
    def second_order():
        x = gradcli.tensor([1.0, 2.0], requires_grad=True)
        for _ in range(ROUNDS):
            (first,) = gradcli.autograd.grad((x**3).sum(), x, create_graph=True)
            (second,) = gradcli.autograd.grad(first.sum(), x)
            assert second.tolist() == [6.0, 12.0]

    def first_order():
        x = gradcli.tensor([1.0, 2.0], requires_grad=True)
        for _ in range(2 * ROUNDS):
            (first,) = gradcli.autograd.grad((x**3).sum(), x)
            assert not first.requires_grad
            assert gradcli.is_grad_enabled()

    run(second_order, first_order)


# --- backward at the same time ----------------------------------------------------------------------------------------


def test_separate_graphs():
    def train(scale):
        x = gradcli.tensor([1.0, 2.0, 3.0], dtype=gradcli.float64, requires_grad=True)
        for count in range(1, ROUNDS + 1):
            y = x
            for _ in range(10):
                y = y * scale + x
            y.sum().backward()
            expected = count * sum(scale**power for power in range(11))
            np.testing.assert_allclose(x.grad.numpy(), expected, rtol=1e-12)
        return x.grad.tolist()

    first, second = run(lambda: train(1.5), lambda: train(-0.5))
    assert first == pytest.approx([ROUNDS * sum(1.5**power for power in range(11))] * 3)
    assert second == pytest.approx([ROUNDS * sum((-0.5) ** power for power in range(11))] * 3)


def test_separate_networks_give_what_they_give_alone():
    def train(seed):
        # The generator is shared by all threads, so numbers come from one of NumPy's.
        generator = np.random.RandomState(seed)
        network = nn.Sequential(
            nn.Conv2d(2, 3, 3, padding=1), nn.BatchNorm2d(3), nn.ReLU(), nn.Flatten(), nn.Linear(48, 4)
        )
        with gradcli.no_grad():
            for parameter in network.parameters():
                parameter.copy_(gradcli.tensor(generator.standard_normal(tuple(parameter.shape)) * 0.1))
        for _ in range(10):
            images = gradcli.tensor(generator.standard_normal((2, 2, 4, 4)), dtype=gradcli.float32)
            nn.functional.cross_entropy(network(images), gradcli.tensor([0, 3])).backward()
            with gradcli.no_grad():
                for parameter in network.parameters():
                    parameter -= 0.1 * parameter.grad
                    parameter.grad = None
        return [parameter.tolist() for parameter in network.parameters()]

    assert run(lambda: train(1), lambda: train(2)) == [train(1), train(2)]


def test_both_add_to_one_leaf():
    x = gradcli.zeros(1000, requires_grad=True)

    def work():
        for _ in range(ROUNDS):
            (x * 3).sum().backward()

    run(work, work)
    assert set(x.grad.tolist()) == {2 * ROUNDS * 3.0}


def test_both_add_to_one_leaf_from_the_very_first_gradient():
    for _ in range(ROUNDS):
        x = gradcli.zeros(3, requires_grad=True)
        run(*[lambda x=x: (x * 2).sum().backward()] * 2)
        assert x.grad.tolist() == [4.0, 4.0, 4.0]


def test_both_walk_one_graph_that_is_kept():
    x = gradcli.tensor([1.0, 2.0], requires_grad=True)
    y = (x.exp() * x).sum()

    def work():
        return [gradcli.autograd.grad(y, x, retain_graph=True)[0].tolist() for _ in range(ROUNDS)]

    first, second = run(work, work)
    expected = gradcli.autograd.grad(y, x)[0].tolist()
    assert first == second == [expected] * ROUNDS


def test_a_graph_made_in_one_thread_is_walked_in_another():
    x = gradcli.tensor([1.0, 2.0], requires_grad=True)
    (y,) = run(lambda: (x * x).sum())
    run(y.backward)
    assert x.grad.tolist() == [2.0, 4.0]


def test_changes_in_place_at_the_same_time_are_all_counted():
    tensors = [gradcli.zeros(3) for _ in range(2)]

    def work(tensor):
        for _ in range(ROUNDS):
            tensor.add_(1)

    run(*(lambda tensor=tensor: work(tensor) for tensor in tensors))
    assert [(tensor._version, tensor.tolist()) for tensor in tensors] == [(ROUNDS, [float(ROUNDS)] * 3)] * 2


def test_an_error_in_one_pass_does_not_disturb_another():
    def failing():
        for _ in range(ROUNDS):
            y = (gradcli.ones(2, requires_grad=True) ** 2).sum()
            y.backward()
            with pytest.raises(RuntimeError, match="second time"):
                y.backward()

    def working():
        x = gradcli.ones(2, requires_grad=True)
        for _ in range(ROUNDS):
            (x**2).sum().backward()
        return x.grad.tolist()

    assert run(failing, working)[1] == [2.0 * ROUNDS] * 2


def test_hooks_run_in_the_thread_of_the_pass():
    seen = []

    def work():
        x = gradcli.ones(2, requires_grad=True)
        x.register_hook(lambda grad: seen.append(threading.current_thread() is thread))
        thread = threading.current_thread()
        x.sum().backward()

    run(work, work)
    assert seen == [True, True]
