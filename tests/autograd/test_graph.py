"""The recorded graph: when backward frees it, what it saves, and that nothing is left to the garbage collector."""

from __future__ import annotations

import gc
import weakref

import numpy as np
import pytest

import gradcli
from gradcli.autograd import Node, Tensor
from gradcli.nn import functional


def leaf(values=(2.0, 3.0), **options):
    return gradcli.tensor(values, requires_grad=True, **options)


# --- freeing ----------------------------------------------------------------------------------------------------------

SECOND_TIME = "Trying to backward through the graph a second time"
#     what, result from a leaf of 2 elements, whether a second pass is possible
FREEING = [
    ("add", lambda torch, x: x + x, True),
    ("sub", lambda torch, x: 1 - x, True),
    ("neg", lambda torch, x: -x, True),
    ("views", lambda torch, x: x.reshape(2, 1).t()[0][0:1], True),
    ("mean", lambda torch, x: x.mean(), True),
    ("sum", lambda torch, x: x.sum(0), True),
    ("sign", lambda torch, x: x.sign(), True),
    ("clone", lambda torch, x: x.clone(), True),
    ("mul", lambda torch, x: x * x, False),
    ("mul number", lambda torch, x: x * 3, False),
    ("div number", lambda torch, x: x / 3, False),
    ("pow", lambda torch, x: x**2, False),
    ("exp", lambda torch, x: x.exp(), False),
    ("abs", lambda torch, x: x.abs(), False),
    ("relu", lambda torch, x: x.relu(), False),
    ("where", lambda torch, x: torch.where(x > 2, x, 0.0), False),
    ("index", lambda torch, x: x[torch.tensor([0, 1])], False),
    ("max_pool2d", lambda torch, x: torch.nn.functional.max_pool2d(x.reshape(1, 1, 1, 2), (1, 2)), False),
    ("log_softmax", lambda torch, x: torch.log_softmax(x, 0), False),
    ("nll_loss", lambda torch, x: torch.nn.functional.nll_loss(x.reshape(1, 2), torch.tensor([0])), False),
    ("mse_loss", lambda torch, x: torch.nn.functional.mse_loss(x, torch.zeros(2)), False),
]
FREEING_CASES = pytest.mark.parametrize(("function", "possible"), [c[1:] for c in FREEING], ids=[c[0] for c in FREEING])


def second_pass_is_possible(torch, function):
    x = torch.tensor([2.0, 3.0], requires_grad=True)
    y = function(torch, x).sum()
    y.backward()
    first = x.grad.tolist()
    try:
        y.backward()
    except RuntimeError as error:
        return SECOND_TIME not in str(error)
    return x.grad.tolist() == [2 * value for value in first]


@FREEING_CASES
def test_a_second_pass_is_possible_only_through_nodes_that_saved_no_tensor(function, possible):
    assert second_pass_is_possible(gradcli, function) is possible


@pytest.mark.parity
@FREEING_CASES
def test_parity_of_a_second_pass(function, possible):
    assert second_pass_is_possible(pytest.importorskip("torch"), function) is possible


def test_retain_graph_keeps_it_until_a_pass_without():
    x = leaf()
    y = (x * x).sum()
    y.backward(retain_graph=True)
    y.backward()
    assert x.grad.tolist() == [8.0, 12.0]
    with pytest.raises(RuntimeError, match=SECOND_TIME):
        y.backward()


def test_create_graph_retains_unless_told_otherwise():
    x = leaf()
    y = (x * x).sum()
    y.backward(create_graph=True)
    y.backward(create_graph=True, retain_graph=False)
    with pytest.raises(RuntimeError, match=SECOND_TIME):
        y.backward()
    x.grad = None


def test_a_part_used_again_after_its_pass_is_refused():
    x = leaf()
    shared = x * x
    shared.sum().backward()
    with pytest.raises(RuntimeError, match=SECOND_TIME):
        (shared * 2).sum().backward()


# --- memory -----------------------------------------------------------------------------------------------------------


@pytest.fixture
def no_garbage_collector():
    gc.collect()
    gc.disable()
    yield
    gc.enable()


class WatchedArray(np.ndarray):
    """An array that a weak reference can point to."""


def watched(*shape):
    array = np.ones(shape).view(WatchedArray)
    return array, weakref.ref(array)


@pytest.mark.usefixtures("no_garbage_collector")
def test_a_graph_is_freed_with_its_last_tensor():
    x = leaf()
    array, alive = watched(2)
    y = x * Tensor(array)
    del array
    assert alive() is not None  # saved for the gradient of x
    del y
    assert alive() is None


@pytest.mark.usefixtures("no_garbage_collector")
def test_backward_frees_what_was_saved_while_the_result_lives():
    x = leaf()
    array, alive = watched(2)
    y = (x * Tensor(array)).sum()
    del array
    y.backward(retain_graph=True)
    assert alive() is not None
    y.backward()
    assert alive() is None
    assert y.item() == 5.0


@pytest.mark.usefixtures("no_garbage_collector")
def test_a_training_step_leaves_nothing_to_the_garbage_collector():
    weight, bias = leaf(np.ones((3, 2, 3, 3))), leaf(np.zeros(3))
    for _ in range(2):
        features = functional.conv2d(gradcli.ones(2, 2, 6, 6, dtype=gradcli.float64), weight, bias, padding=1).relu()
        pooled = functional.max_pool2d(features, 2).mean((2, 3))
        functional.cross_entropy(pooled, gradcli.tensor([0, 2])).backward()
    del features, pooled
    gc.collect()
    gc.set_debug(gc.DEBUG_SAVEALL)
    try:
        functional.conv2d(gradcli.ones(1, 2, 6, 6, dtype=gradcli.float64), weight, bias).sum().backward()
        gc.collect()
        leaked = [thing for thing in gc.garbage if isinstance(thing, Tensor | Node | np.ndarray)]
    finally:
        gc.set_debug(0)
        gc.garbage.clear()
    assert leaked == []


@pytest.mark.usefixtures("no_garbage_collector")
def test_only_what_a_gradient_needs_is_saved():
    x, frozen = leaf(), gradcli.ones(2)
    assert set((x * frozen).grad_fn.saved) == {"other"}
    assert set((x + frozen).grad_fn.saved) <= {"alpha"}
    assert set(x.exp().grad_fn.saved) == {"out"}
    assert set(x.sum().grad_fn.saved) == {"input_shape"}


@pytest.mark.usefixtures("no_garbage_collector")
def test_keeping_a_gradient_keeps_no_tensor_alive():
    x = leaf()
    y = x * 2
    y.retain_grad()
    z = y * 3
    alive = weakref.ref(y)
    del y
    assert alive() is None
    z.sum().backward()
    assert x.grad.tolist() == [6.0, 6.0]
