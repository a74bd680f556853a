"""Training loops and others that leave nothing behind, nor anything for the garbage collector to find."""

from __future__ import annotations

import gc
import sys
import tracemalloc
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any, NamedTuple

import pytest

import gradcli
from gradcli import nn, optim
from gradcli.autograd import functional as derivatives
from gradcli.kernels.policy import using_kernels
from gradcli.models import resnet18
from gradcli.nn import functional

Step = Callable[[], None]
TOLERATED_BLOCKS = 150
"""The interpreter's own come and go. One for every step would be at least 180."""
TOLERATED_BYTES = 16_384
"""Of traced memory, which grows a little where new objects take the place of some from before the tracing."""


class Footprint(NamedTuple):
    """What a program holds after a step: objects that the garbage collector tracks, allocated blocks, traced bytes.

    `peak` is how many bytes a further step holds at most.
    """

    objects: int
    blocks: int
    bytes: int
    peak: int


@pytest.fixture
def traced() -> Iterator[None]:
    """Memory is traced, and cycles stay where they are."""
    gc.collect()
    gc.disable()
    tracemalloc.start()
    yield
    tracemalloc.stop()
    gc.enable()


def run_and_measure(step: Step, times: int) -> Footprint:
    for _ in range(times - 1):
        step()
    assert (
        gc.collect() == 0
    )  # not one cycle; it empties the interpreter's lists of free objects too, which are no leaks
    objects, blocks = len(gc.get_objects()), sys.getallocatedblocks()
    used = tracemalloc.get_traced_memory()[0]
    tracemalloc.reset_peak()
    step()
    return Footprint(objects, blocks, used, tracemalloc.get_traced_memory()[1])


def assert_nothing_is_left(step: Step, early: int, late: int, blocks: int = TOLERATED_BLOCKS) -> None:
    """After `late` steps as many objects and bytes as after `early` ones, and no cycle in between."""
    gc.collect()  # what was left by making the step
    before = run_and_measure(step, early)
    after = run_and_measure(step, late - early)
    assert (
        after.objects - 1 <= before.objects
    )  # `before` itself; fewer where the collector has stopped tracking tuples of numbers
    assert after.blocks <= before.blocks + blocks
    assert after.bytes <= before.bytes + TOLERATED_BYTES
    assert after.peak <= before.peak + TOLERATED_BYTES


def small_network() -> nn.Module:
    return nn.Sequential(
        nn.Conv2d(2, 4, 3, padding=1),
        nn.BatchNorm2d(4),
        nn.ReLU(),
        nn.MaxPool2d(2),
        nn.Flatten(),
        nn.Linear(4 * 4 * 4, 3),
    )


def training_step(model: nn.Module, side: int, classes: int) -> Step:
    optimizer = optim.SGD(model.parameters(), lr=1e-3, momentum=0.9, weight_decay=1e-4)
    images, targets = gradcli.rand(2, next(model.parameters()).shape[1], side, side), gradcli.tensor([0, classes - 1])

    def step() -> None:
        optimizer.zero_grad()
        functional.cross_entropy(model(images), targets).backward()
        optimizer.step()

    return step


@pytest.mark.usefixtures("traced")
def test_two_hundred_training_steps_leave_what_twenty_leave() -> None:
    assert_nothing_is_left(training_step(small_network(), 8, 3), 20, 200)


@contextmanager
def one_thread() -> Iterator[None]:
    threads = gradcli.get_num_threads()
    gradcli.set_num_threads(1)
    try:
        yield
    finally:
        gradcli.set_num_threads(threads)


@pytest.mark.usefixtures("traced")
@pytest.mark.parametrize("kernels", ["exact", "fast"])
def test_twenty_training_steps_of_a_resnet_leave_what_five_leave(kernels: str) -> None:
    with using_kernels(kernels), one_thread():  # or chance decides which thread takes which room for its work
        assert_nothing_is_left(training_step(resnet18(num_classes=10), 32, 10), 5, 20, 10)


def leaf() -> Any:
    return gradcli.tensor([[0.5, -1.0, 2.0], [1.0, 3.0, -0.5]], requires_grad=True, dtype=gradcli.float64)


def gradient_penalty() -> Step:
    model, images = small_network(), gradcli.rand(2, 2, 8, 8)
    targets, parameters = gradcli.tensor([0, 2]), list(model.parameters())

    def step() -> None:
        model.zero_grad()
        loss = functional.cross_entropy(model(images), targets)
        gradients = gradcli.autograd.grad(loss, parameters, create_graph=True)
        (loss + sum((gradient * gradient).sum() for gradient in gradients)).backward()

    return step


def views_in_place() -> Step:
    x, weight = leaf(), gradcli.ones(2, 3, dtype=gradcli.float64)

    def step() -> None:
        x.grad = None
        y = x * 2
        row, column = y[0], y.t()[1]
        row.mul_(3)
        column.add_(row[0])
        y[1, 1:] = row[1:] * 2
        y.view(-1)[::2].zero_()
        y += 1
        weight.add_(0.001)
        (y * weight).sum().backward()

    return step


def changes_of_one_base() -> Step:
    """The same tensor is viewed and changed for ever, with views that come and go, and one that stays."""
    base = gradcli.zeros(4, 4)
    stays = base[0]

    def step() -> None:
        for _ in range(20):  # the times of so many changes are kept, but no more
            base[1].add_(1)
            base.view(2, 8)[:, 3:5].mul_(0.5)
            stays.copy_(base[1])

    return step


def hooks() -> Step:
    x, seen = leaf(), [0.0]
    x.register_post_accumulate_grad_hook(lambda tensor: seen.__setitem__(0, tensor.grad.sum().item()))

    def step() -> None:
        x.grad = None
        y = x.exp()
        y.retain_grad()
        of_tensor = y.register_hook(lambda grad: grad * 2)
        z = y * y
        z.grad_fn.register_prehook(lambda gradients: (gradients[0] + 1,))
        z.grad_fn.register_hook(lambda inputs, outputs: (inputs[0] * 0.5, *inputs[1:]))
        of_leaf = x.register_hook(lambda grad: grad.clone())
        z.sum().backward()
        of_tensor.remove()
        of_leaf.remove()

    return step


def hooks_of_modules() -> Step:
    model, images, seen = small_network(), gradcli.rand(2, 2, 8, 8), []

    def step() -> None:
        model.zero_grad()
        handles = [module.register_forward_hook(lambda module, args, result: seen.append(result)) for module in model]
        model(images).sum().backward()
        for handle in handles:
            handle.remove()
        seen.clear()

    return step


def products_with_the_hessian() -> Step:
    x, v = leaf().detach(), gradcli.ones(2, 3, dtype=gradcli.float64)

    def step() -> None:
        derivatives.hvp(lambda x: (x.sin() * x * x).sum(), x, v)
        derivatives.jvp(lambda x: x.exp() * 2, x, v)
        derivatives.jacobian(lambda x: x.cos().sum(0), x)

    return step


class Cube(gradcli.autograd.Function):
    @staticmethod
    def forward(ctx: Any, x: Any) -> Any:
        result = x**3
        ctx.save_for_backward(x, result)
        return result

    @staticmethod
    def backward(ctx: Any, grad: Any) -> Any:
        x, _ = ctx.saved_tensors
        return 3 * x * x * grad


def own_function() -> Step:
    x = leaf()

    def step() -> None:
        x.grad = None
        y = Cube.apply(x)
        (gradient,) = gradcli.autograd.grad(y.sum(), x, create_graph=True)
        gradient.sum().backward()

    return step


def never_backward() -> Step:
    x, model, images = leaf(), small_network(), gradcli.rand(2, 2, 8, 8)

    def step() -> None:
        (x.exp() * x).sum()
        model(images)
        parts = (x * 2).unbind(0)
        gradcli.stack(parts).max(0)

    return step


def refused() -> Step:
    x = leaf()

    def step() -> None:
        y = x.exp()
        z = (y * y).sum()
        y.add_(1)
        with pytest.raises(RuntimeError, match="modified by an inplace operation"):
            z.backward()

    return step


def with_anomalies_looked_for() -> Step:
    x = leaf()

    def step() -> None:
        x.grad = None
        with gradcli.autograd.detect_anomaly():
            x.exp().sum().backward()

    return step


def without_gradients() -> Step:
    model, images = small_network().eval(), gradcli.rand(2, 2, 8, 8)

    def step() -> None:
        with gradcli.no_grad():
            model(images).add_(1)
        with gradcli.inference_mode():
            model(images)[0].mul_(2)

    return step


LOOPS = [
    gradient_penalty,
    views_in_place,
    changes_of_one_base,
    hooks,
    hooks_of_modules,
    products_with_the_hessian,
    own_function,
    never_backward,
    refused,
    with_anomalies_looked_for,
    without_gradients,
]


@pytest.mark.usefixtures("traced")
@pytest.mark.parametrize("make_step", LOOPS, ids=[make.__name__ for make in LOOPS])
def test_a_loop_leaves_nothing(make_step: Callable[[], Step]) -> None:
    assert_nothing_is_left(make_step(), 60, 260)
