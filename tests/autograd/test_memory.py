"""Memory: proportional to the graph, and freed without the garbage collector, whatever was done in the graph."""

from __future__ import annotations

import gc
import tracemalloc
import weakref

import numpy as np
import pytest

import gradcli
from gradcli import nn
from gradcli.autograd import Function, Node, Tensor


def leaf(*values):
    return gradcli.tensor(values or (1.0, 2.0, 3.0, 4.0), requires_grad=True)


@pytest.fixture
def no_garbage_collector():
    gc.collect()
    gc.freeze()  # what others made need not be looked through
    gc.disable()
    yield
    gc.enable()
    gc.unfreeze()


# --- no cycles --------------------------------------------------------------------------------------------------------


class Cube(Function):
    @staticmethod
    def forward(ctx, x):
        y = x**3
        ctx.save_for_backward(x, y)
        return y

    @staticmethod
    def backward(ctx, grad):
        x, _ = ctx.saved_tensors
        return grad * 3 * x**2


def in_place(x):
    return (x * 1).mul_(2).add_(x).exp_()


def in_place_on_itself(x):
    y = x * 1
    y.add_(y)
    return y


def view_changed(x):
    y = x * 1
    first, rest = y[0], y[1:]
    rest.mul_(x[1:] * first.clone())
    return y + first + y.view(2, 2).t().reshape(4)


def base_changed(x):
    y = x * 1
    view = y[1:]
    y.mul_(2)
    return view * y[0]


def assigned(x):
    y = gradcli.zeros(4)
    y[0] = x[1]
    y[gradcli.tensor([2, 3])] = x[:2]
    y[y.detach() == 0] = 5.0
    return y


def several_results(x):
    first, second = x.view(2, 2).unbind()
    values, _ = x.view(2, 2).max(1)
    return first * second + values


def kept_gradient(x):
    y = x * 2
    y.retain_grad()
    return y * y


def tensor_hook(x):
    y = x * 2
    y.register_hook(lambda grad: grad * 2)
    return y.exp()


def node_hooks(x):
    y = x * 2
    y.grad_fn.register_hook(lambda inputs, outputs: None)
    y.grad_fn.register_prehook(lambda outputs: None)
    return y.exp()


def checked_for_anomalies(x):
    with gradcli.autograd.detect_anomaly():
        return x.exp() * 2


GRAPHS = {
    "operations": lambda x: (x.exp() * x).sin() / x,
    "saved results": lambda x: x.exp().sqrt().tanh().sigmoid().softmax(0),
    "views": lambda x: x.view(2, 2).t()[0].unsqueeze(0).expand(3, 2).diagonal(),
    "function": Cube.apply,
    "in place": in_place,
    "in place on itself": in_place_on_itself,
    "view changed": view_changed,
    "base changed": base_changed,
    "assigned": assigned,
    "several results": several_results,
    "kept gradient": kept_gradient,
    "tensor hook": tensor_hook,
    "node hooks": node_hooks,
    "checked for anomalies": checked_for_anomalies,
    "joined": lambda x: gradcli.cat([x, x.exp()]) @ gradcli.stack([x, x]).reshape(8),
    "gathered": lambda x: x[gradcli.tensor([0, 0, 3])] * x[x.detach() > 2][0],
    "detached": lambda x: (x * x.detach() + (x * 1).detach_()).exp(),
    "rolled and cumulative": lambda x: x.roll(1).cumsum(0).prod(),
}


def passes_of(kind, y, x):
    """What is done with the graph before it is dropped."""
    if kind == "backward":
        y.sum().backward()
    elif kind == "two passes":
        y.sum().backward(retain_graph=True)
        y.sum().backward()
    elif kind == "gradient of the gradient":
        (first,) = gradcli.autograd.grad(y.sum(), x, create_graph=True, allow_unused=True)
        if first is not None and first.requires_grad:
            gradcli.autograd.grad((first**2).sum(), x, allow_unused=True)
    elif kind == "refused pass":
        with pytest.raises(RuntimeError):
            y.backward(gradcli.ones(17))


def left_by(work):
    """The tensors, nodes and arrays that only the garbage collector could free after `work()`."""
    work()  # whatever is made once and kept
    gc.collect()
    gc.set_debug(gc.DEBUG_SAVEALL)
    try:
        work()
        gc.collect()
        return [thing for thing in gc.garbage if isinstance(thing, Tensor | Node | np.ndarray)]
    finally:
        gc.set_debug(0)
        gc.garbage.clear()


@pytest.mark.usefixtures("no_garbage_collector")
@pytest.mark.parametrize("kind", ["no pass", "backward", "two passes", "gradient of the gradient", "refused pass"])
@pytest.mark.parametrize("graph", GRAPHS.values(), ids=GRAPHS.keys())
def test_nothing_is_left_to_the_garbage_collector(graph, kind):
    def work():
        x = leaf()
        passes_of(kind, graph(x), x)

    assert left_by(work) == []


@pytest.mark.usefixtures("no_garbage_collector")
@pytest.mark.parametrize("graph", GRAPHS.values(), ids=GRAPHS.keys())
def test_the_node_goes_with_the_tensor(graph):
    y = graph(leaf())
    node = weakref.ref(y.grad_fn)
    del y
    assert node() is None


@pytest.mark.usefixtures("no_garbage_collector")
def test_functions_of_functions_leave_nothing():
    def work():
        x = gradcli.ones(3)
        gradcli.func.hessian(lambda x: (x**3).sum())(x)
        gradcli.func.jvp(lambda x: x.sin(), (x,), (x,))
        gradcli.autograd.functional.jacobian(lambda x: x.exp(), x)

    assert left_by(work) == []


# --- long runs --------------------------------------------------------------------------------------------------------


@pytest.mark.usefixtures("no_garbage_collector")
def test_as_many_objects_live_after_200_training_steps_as_after_20():
    network = nn.Sequential(
        nn.Conv2d(1, 2, 3, padding=1), nn.BatchNorm2d(2), nn.ReLU(), nn.MaxPool2d(2), nn.Flatten(), nn.Linear(8, 3)
    )
    optimizer = gradcli.optim.SGD(network.parameters(), lr=0.01, momentum=0.9)
    images, labels = gradcli.randn(4, 1, 4, 4), gradcli.tensor([0, 1, 2, 0])

    def live_after(steps):
        for _ in range(steps):
            optimizer.zero_grad()
            loss = nn.functional.cross_entropy(network(images), labels)
            loss.backward()
            optimizer.step()
            del loss
        return sum(isinstance(thing, Tensor | Node) for thing in gc.get_objects()), len(gc.get_objects())

    after_20, after_200 = live_after(20), live_after(180)
    assert after_200[0] == after_20[0]
    assert abs(after_200[1] - after_20[1]) < 50


@pytest.mark.usefixtures("no_garbage_collector")
def test_penalties_on_gradients_leave_nothing_behind():
    network = nn.Sequential(nn.Linear(3, 4), nn.Tanh(), nn.Linear(4, 1))
    inputs = gradcli.randn(5, 3)

    def live_after(steps):
        for _ in range(steps):
            x = inputs.clone().requires_grad_()
            (gradient,) = gradcli.autograd.grad(network(x).sum(), x, create_graph=True)
            (gradient**2).sum().backward()
            for parameter in network.parameters():
                parameter.grad = None
            del x, gradient
        return sum(isinstance(thing, Tensor | Node) for thing in gc.get_objects())

    assert live_after(5) == live_after(50)


# --- proportional -----------------------------------------------------------------------------------------------------


def chain(length):
    x = leaf(1.0)
    y = x
    for _ in range(length):
        y = y * 1.0
    return x, y


def peak_of_backward(length):
    """The bytes per node that a graph takes, and what backward takes at most on top of it."""
    tracemalloc.start()
    try:
        x, y = chain(length)
        graph = tracemalloc.get_traced_memory()[0]
        tracemalloc.reset_peak()
        y.sum().backward()
        peak = tracemalloc.get_traced_memory()[1]
    finally:
        tracemalloc.stop()
    assert x.grad.item() == 1.0
    return graph / length, (peak - graph) / length


def test_memory_is_proportional_to_the_number_of_nodes():
    (small, small_pass), (large, large_pass) = peak_of_backward(2_000), peak_of_backward(20_000)
    assert large < 1.2 * small
    assert large_pass < max(1.2 * small_pass, 50)


def test_a_chain_of_100_000_products_runs_and_is_freed():
    x, y = chain(100_000)
    node = weakref.ref(y.grad_fn)
    y.sum().backward()
    assert x.grad.item() == 1.0
    del y
    assert node() is None


def test_a_long_chain_of_changes_in_place():
    x = leaf(1.0)
    y = x * 1
    for _ in range(20_000):
        y.add_(1)
    y.sum().backward()
    assert (x.grad.item(), y.item(), y._version) == (1.0, 20_001.0, 20_000)
    del y


def test_a_long_chain_of_functions():
    x = leaf(1.0)
    y = x
    for _ in range(5_000):
        y = Cube.apply(y)
    node = weakref.ref(y.grad_fn)
    del y
    assert node() is None


@pytest.mark.parametrize("create_graph", [False, True])
def test_2_to_the_60_paths(create_graph):
    x = leaf(1.0)
    y = x
    for _ in range(60):
        y = y + y
    assert gradcli.autograd.grad(y, x, create_graph=create_graph)[0].item() == 2.0**60


def test_a_gradient_of_a_gradient_through_many_paths():
    x = leaf(1.0)
    y = x * x
    for _ in range(30):
        y = y + y
    (first,) = gradcli.autograd.grad(y, x, create_graph=True)
    assert gradcli.autograd.grad(first, x)[0].item() == 2.0**31


def test_a_wide_graph():
    x = leaf(1.0)
    total = sum((x * float(index) for index in range(5_000)), gradcli.zeros(1))
    total.sum().backward()
    assert x.grad.item() == sum(range(5_000))
