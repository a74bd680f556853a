"""gradcli as a guest in another program: what it leaves as it was, and who may use it at the same time."""

from __future__ import annotations

import os
import subprocess
import sys
import threading
from typing import Any

import numpy as np
import pytest

import gradcli
from gradcli import nn, optim

STEPS = 6

# What the scripts below share: a small network that makes a few training steps, and all its bytes afterwards.
SCRIPT = """
import os, sys, warnings
import numpy as np
import gradcli
from gradcli import nn, optim

def train(steps=4):
    gradcli.manual_seed(0)
    model = nn.Sequential(nn.Conv2d(3, 16, 3, padding=1), nn.BatchNorm2d(16), nn.ReLU(), nn.MaxPool2d(2),
                          nn.Conv2d(16, 32, 3, padding=1), nn.Flatten(), nn.Linear(32 * 16 * 16, 10))
    optimizer = optim.SGD(model.parameters(), lr=0.01, momentum=0.9)
    images = gradcli.from_numpy(np.random.RandomState(0).standard_normal((8, 3, 32, 32)).astype(np.float32))
    for _ in range(steps):
        optimizer.zero_grad()
        (model(images) ** 2).mean().backward()
        optimizer.step()
    return b"".join(tensor.numpy().tobytes() for tensor in model.state_dict().values())

gradcli.set_num_threads(3)
"""


def run_script(script: str) -> None:
    """Run Python code in a process of its own; it fails with what that printed."""
    finished = subprocess.run(
        [sys.executable, "-W", "error", "-c", SCRIPT + script], capture_output=True, text=True, timeout=120, check=False
    )
    assert finished.returncode == 0, finished.stderr


def test_settings_of_the_process_are_left_as_they_were() -> None:
    run_script("""
import signal
from gradcli.kernels.blas import _thread_functions
get_threads, set_threads = _thread_functions or (lambda: 2, lambda count: None)
set_threads(2)  # of BLAS
np.seterr(divide="raise", over="warn", under="print", invalid="call")
np.setbufsize(4096)
np.random.seed(5)

def settings():
    return (get_threads(), np.geterr(), np.getbufsize(), np.random.get_state()[1].tolist(), list(warnings.filters),
            [signal.getsignal(number) for number in (signal.SIGINT, signal.SIGTERM)], sys.excepthook,
            sorted(os.environ.items()), os.getcwd())

before = settings()
train()
with gradcli.no_grad():
    gradcli.log(gradcli.zeros(100_000))
assert settings() == before
""")


def test_a_program_that_raises_on_floating_point_errors_gets_pytorchs_values() -> None:
    run_script("""
np.seterr(all="raise")
zeros = gradcli.zeros(100_000, requires_grad=True)
logarithms = gradcli.log(zeros)
logarithms.sum().backward()
assert (logarithms.detach().numpy() == -np.inf).all()
assert (zeros.grad.numpy() == np.inf).all()
train()
""")


@pytest.mark.skipif(not hasattr(os, "fork"), reason="there is no fork here")
def test_a_forked_child_trains() -> None:
    run_script("""
expected = train()
warnings.simplefilter("ignore")  # of forking with threads
child = os.fork()
if child == 0:
    os._exit(0 if train() == expected else 1)
assert os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) == 0
assert train() == expected  # and the parent goes on
""")


class Trainee:
    """A small network with its own data and optimizer."""

    def __init__(self, seed: int) -> None:
        gradcli.manual_seed(seed)
        self.model = nn.Sequential(
            nn.Conv2d(3, 32, 3, padding=1),
            nn.BatchNorm2d(32),
            nn.ReLU(),
            nn.MaxPool2d(2),
            nn.Conv2d(32, 64, 3, stride=2, padding=1),
            nn.Flatten(),
            nn.Linear(64 * 8 * 8, 10),
        )
        self.optimizer = optim.SGD(self.model.parameters(), lr=0.01, momentum=0.9)
        self.images = gradcli.rand(16, 3, 32, 32)
        self.classes = gradcli.randint(0, 10, (16,))

    def train(self) -> None:
        for _ in range(STEPS):
            self.optimizer.zero_grad()
            nn.functional.cross_entropy(self.model(self.images), self.classes).backward()
            self.optimizer.step()

    def state(self) -> dict[str, bytes]:
        return {name: tensor.numpy().tobytes() for name, tensor in self.model.state_dict().items()}


def trained_alone(seed: int) -> dict[str, bytes]:
    trainee = Trainee(seed)
    trainee.train()
    return trainee.state()


@pytest.mark.parametrize("kernels", ["exact", "fast"])
def test_python_threads_that_train_at_the_same_time_get_the_bits_they_get_alone(kernels: Any) -> None:
    before = gradcli.get_num_threads()
    gradcli.set_num_threads(2)
    gradcli.set_kernels(kernels)
    try:
        expected = [trained_alone(seed) for seed in range(3)]
        trainees = [Trainee(seed) for seed in range(3)]
        together = threading.Barrier(len(trainees), timeout=60)
        errors: list[BaseException] = []

        def run(trainee: Trainee) -> None:
            try:
                together.wait()
                trainee.train()
            except BaseException as error:
                errors.append(error)

        callers = [threading.Thread(target=run, args=(trainee,)) for trainee in trainees]
        for caller in callers:
            caller.start()
        for caller in callers:
            caller.join(timeout=60)
        assert errors == []
        assert [trainee.state() for trainee in trainees] == expected
    finally:
        gradcli.set_kernels("exact")
        gradcli.set_num_threads(before)


def test_a_thread_without_gradients_changes_nothing_for_the_others() -> None:
    weight = gradcli.ones(3, requires_grad=True)
    entered, leave = threading.Event(), threading.Event()

    def evaluate() -> None:
        with gradcli.no_grad():
            entered.set()
            leave.wait(60)

    caller = threading.Thread(target=evaluate)
    caller.start()
    try:
        assert entered.wait(60)
        (weight * 2).sum().backward()
    finally:
        leave.set()
        caller.join()
    np.testing.assert_array_equal(weight.grad.numpy(), [2, 2, 2])
