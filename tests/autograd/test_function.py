"""Operations of one's own: what `Function` gives its forward and backward, what it records, and what it refuses."""

from __future__ import annotations

import gc
import weakref

import pytest
from custom_functions import cube, custom, leaf
from programs import Programs

import gradcli

programs = Programs()


# --- saving -----------------------------------------------------------------------------------------------------------


@programs.gives([[1.0, 8.0], "CustomBackward", True, False, [3.0, 12.0]])
def an_input_is_saved(torch):
    x = leaf(torch)
    y = cube(torch).apply(x)
    y.sum().backward()
    return y, y.grad_fn, y.requires_grad, y.is_leaf, x.grad


@programs.gives([[2.7182817459106445, 7.389056205749512], [2.7182817459106445, 7.389056205749512]])
def a_result_is_saved(torch):
    def forward(ctx, x):
        y = x.exp()
        ctx.save_for_backward(y)
        return y

    x = leaf(torch)
    y = custom(torch, forward, lambda ctx, grad: grad * ctx.saved_tensors[0]).apply(x)
    (first,) = torch.autograd.grad(y.sum(), x, create_graph=True)
    (second,) = torch.autograd.grad(first.sum(), x)
    return first, second


@programs.gives([3.0, 12.0])
def an_intermediate_is_saved(torch):
    def forward(ctx, x):
        square = x * x
        ctx.save_for_backward(square)
        return square * x

    x = leaf(torch)
    custom(torch, forward, lambda ctx, grad: grad * 3 * ctx.saved_tensors[0]).apply(x).sum().backward()
    return x.grad


@programs.gives([4.0, 32.0])
def none_and_attributes_are_saved(torch):
    def forward(ctx, x, power):
        ctx.save_for_backward(None, x)
        ctx.power = power
        return x**power

    def backward(ctx, grad):
        none, x = ctx.saved_tensors
        return grad * ctx.power * x ** (ctx.power - 1) if none is None else None, None

    x = leaf(torch)
    custom(torch, forward, backward).apply(x, 4).sum().backward()
    return x.grad


@programs.gives([[24.0, 96.0], [48.0, 96.0], [48.0, 48.0]])
def the_saved_input_is_part_of_the_graph(torch):
    x = leaf(torch)
    y = x * 2
    (first,) = torch.autograd.grad(cube(torch).apply(y).sum(), x, create_graph=True)
    (second,) = torch.autograd.grad(first.sum(), x, create_graph=True)
    (third,) = torch.autograd.grad(second.sum(), x)
    return first, second, third


# --- what forward and backward are given ------------------------------------------------------------------------------


@programs.gives([["forward", False, True, False], ["backward", False, False], ["backward", True, False]])
def the_modes_inside(torch):
    seen = []

    def forward(ctx, x):
        seen.append(["forward", torch.is_grad_enabled(), x.requires_grad, (x * 2).requires_grad])
        return x * 2

    def backward(ctx, grad):
        seen.append(["backward", torch.is_grad_enabled(), grad.requires_grad])
        return grad * 2

    x = leaf(torch)
    y = custom(torch, forward, backward).apply(x * 1).sum()
    y.backward(retain_graph=True)
    torch.autograd.grad(y, x, create_graph=True)
    return seen


@programs.gives([[True, False, False], [True, True, False], [True, True, False]])
def which_inputs_need_gradients(torch):
    seen = []

    def forward(ctx, *inputs):
        seen.append(list(ctx.needs_input_grad))
        return inputs[0] + inputs[1] + inputs[2]

    def backward(ctx, grad):
        seen.append(list(ctx.needs_input_grad))
        return grad, grad, grad

    function = custom(torch, forward, backward)
    function.apply(leaf(torch), torch.ones(2), 3.0)
    x, w = leaf(torch), leaf(torch)
    y = function.apply(x, w, torch.ones(2)).sum()
    y.backward()
    return seen


@programs.gives([[4.0, 5.0], [1.0, 2.0], None])
def several_inputs_and_a_gradient_for_each(torch):
    def forward(ctx, x, w):
        ctx.save_for_backward(x, w)
        return x * w

    def backward(ctx, grad):
        x, w = ctx.saved_tensors
        return grad * w, (grad * x if ctx.needs_input_grad[1] else None)

    function = custom(torch, forward, backward)
    x, w, frozen = leaf(torch), leaf(torch, 3.0, 4.0), torch.ones(2)
    (function.apply(x, w) + function.apply(x, frozen)).sum().backward()
    return x.grad, w.grad, frozen.grad


@programs.gives([3.0, 3.0])
def the_same_input_twice(torch):
    x = leaf(torch)
    function = custom(torch, lambda ctx, a, b: a + 2 * b, lambda ctx, grad: (grad, 2 * grad))
    function.apply(x, x).sum().backward()
    return x.grad


def split_in_two(torch, seen, materialize=True):
    def forward(ctx, x):
        ctx.set_materialize_grads(materialize)
        return x * 2, x * 3

    def backward(ctx, first, second):
        seen.append([None if grad is None else grad.tolist() for grad in (first, second)])
        return sum(scale * grad for scale, grad in ((2, first), (3, second)) if grad is not None)

    return custom(torch, forward, backward)


@programs.gives([[32.0, 32.0], [[[1.0, 1.0], [10.0, 10.0]]], True, [0, 1]])
def several_results(torch):
    seen, x = [], leaf(torch)
    first, second = split_in_two(torch, seen).apply(x)
    (first + 10 * second).sum().backward()
    return x.grad, seen, first.grad_fn is second.grad_fn, [first.output_nr, second.output_nr]


@programs.gives([[2.0, 2.0], [[[1.0, 1.0], [0.0, 0.0]]]])
def results_without_gradient_get_zeros(torch):
    seen, x = [], leaf(torch)
    first, _ = split_in_two(torch, seen).apply(x)
    first.sum().backward()
    return x.grad, seen


@programs.gives([[3.0, 3.0], [[None, [1.0, 1.0]]]])
def or_none_where_that_is_wanted(torch):
    seen, x = [], leaf(torch)
    _, second = split_in_two(torch, seen, materialize=False).apply(x)
    second.sum().backward()
    return x.grad, seen


@programs.gives(["note", None, [2.0, 2.0]])
def a_result_that_is_no_tensor(torch):
    x = leaf(torch)
    y, note, nothing = custom(torch, lambda ctx, x: (x * 2, "note", None), lambda ctx, grad, *rest: grad * 2).apply(x)
    y.sum().backward()
    return note, nothing, x.grad


@programs.gives([True, False, False, [2.0, 2.0], [[[2], [2]]]])
def results_marked_as_without_gradient(torch):
    seen = []

    def forward(ctx, x):
        order = x.argsort()
        largest = x.detach() * 1
        ctx.mark_non_differentiable(largest)
        return x * 2, order, largest

    def backward(ctx, grad, *others):
        seen.append([list(other.shape) for other in others])
        return grad * 2

    x = leaf(torch)
    y, order, largest = custom(torch, forward, backward).apply(x)
    y.sum().backward()
    return y.requires_grad, order.requires_grad, largest.requires_grad, x.grad, seen


@programs.gives([True, [2.0, 4.0], "CustomBackward", [8.0, 16.0]])
def a_changed_input_that_is_returned(torch):
    def forward(ctx, x):
        x.mul_(2)
        ctx.mark_dirty(x)
        return x

    x = leaf(torch)
    y = x * 1
    result = custom(torch, forward, lambda ctx, grad: grad * 2).apply(y)
    (result * y).sum().backward()
    return result is y, y, y.grad_fn, x.grad


@programs.gives([False, False, [5.0, 5.0]])
def an_input_that_is_returned_is_another_tensor(torch):
    x = leaf(torch)
    y = custom(torch, lambda ctx, x: x, lambda ctx, grad: grad * 5).apply(x)
    y.sum().backward()
    return y is x, y.is_leaf, x.grad


@programs.gives([1.0, 1.0])
def a_number_of_gradients_beyond_the_inputs_may_be_none(torch):
    x = leaf(torch)
    custom(torch, lambda ctx, x: x * 1, lambda ctx, grad: (grad, None, None)).apply(x).sum().backward()
    return x.grad


@programs.gives([[1.0, 1.0], None])
def none_as_a_gradient(torch):
    x, w = leaf(torch), leaf(torch)
    custom(torch, lambda ctx, x, w: x * w, lambda ctx, grad: (grad, None)).apply(x, w).sum().backward()
    return x.grad, w.grad


@programs.gives([[3.0, 3.0], "torch.float32"])
def a_gradient_of_another_type_and_of_a_broadcast_shape(torch):
    x = torch.tensor([1.0, 2.0], requires_grad=True)
    function = custom(torch, lambda ctx, x: x.expand(3, 2) * 1, lambda ctx, grad: torch.ones(3, 2, dtype=torch.float64))
    function.apply(x).sum().backward()
    return x.grad, x.grad.dtype


@programs.gives([False, None, False, None])
def where_nothing_is_recorded(torch):
    function = cube(torch)
    x = leaf(torch)
    with torch.no_grad():
        unrecorded = function.apply(x)
    frozen = function.apply(torch.ones(2))
    return unrecorded.requires_grad, unrecorded.grad_fn, frozen.requires_grad, frozen.grad_fn


@programs.gives(False)
def no_input_requires_a_gradient_but_the_function_uses_one(torch):
    w = leaf(torch)
    y = custom(torch, lambda ctx, x: x * w, lambda ctx, grad: grad).apply(torch.ones(2))
    return y.requires_grad


# --- setup_context ----------------------------------------------------------------------------------------------------


@programs.gives([[10.0, 20.0], [10.0, 10.0]])
def forward_without_a_context(torch):
    def setup_context(ctx, inputs, output):
        x, scale = inputs
        ctx.scale = scale
        ctx.save_for_backward(x, output)

    def backward(ctx, grad):
        x, _y = ctx.saved_tensors
        return grad * ctx.scale * 2 * x, None

    function = custom(torch, lambda x, scale: scale * x * x, backward, setup_context=setup_context)
    x = leaf(torch)
    (first,) = torch.autograd.grad(function.apply(x, 5.0).sum(), x, create_graph=True)
    (second,) = torch.autograd.grad(first.sum(), x)
    return first, second


# --- once_differentiable ----------------------------------------------------------------------------------------------


def once_only(torch):
    from importlib import import_module

    once_differentiable = import_module(f"{torch.__name__}.autograd.function").once_differentiable

    def forward(ctx, x):
        ctx.save_for_backward(x)
        return x**3

    @once_differentiable
    def backward(ctx, grad):
        return grad * 3 * ctx.saved_tensors[0] ** 2

    return custom(torch, forward, backward)


@programs.gives([3.0, 12.0])
def once_is_fine(torch):
    x = leaf(torch)
    once_only(torch).apply(x).sum().backward()
    return x.grad


@programs.raises(RuntimeError, "trying to differentiate twice a function that was marked with @once_differentiable")
def twice_is_not(torch):
    x = leaf(torch)
    (first,) = torch.autograd.grad((once_only(torch).apply(x) ** 2).sum(), x, create_graph=True)
    first.sum().backward()


@programs.each
def test_program(program):
    program.check(gradcli)


@pytest.mark.parity
@programs.each
def test_parity(program):
    program.check(pytest.importorskip("torch"))


@pytest.fixture
def no_garbage_collector():
    gc.collect()
    gc.disable()
    yield
    gc.enable()


@pytest.mark.usefixtures("no_garbage_collector")
@pytest.mark.parametrize("saving", ["input", "result", "both"])
@pytest.mark.parametrize("passes", [0, 1])
def test_no_cycle_keeps_the_node_alive(saving, passes):
    def forward(ctx, x):
        y = x.exp()
        ctx.save_for_backward(*{"input": (x,), "result": (y,), "both": (x, y)}[saving])
        return y

    x = leaf(gradcli)
    y = custom(gradcli, forward, lambda ctx, grad: grad * ctx.saved_tensors[-1].exp()).apply(x * 1)
    node = weakref.ref(y.grad_fn)
    for _ in range(passes):
        y.sum().backward()
    del y
    assert node() is None


@pytest.mark.usefixtures("no_garbage_collector")
def test_backward_frees_what_was_saved():
    alive = []

    def forward(ctx, x):
        square = x * x
        alive.append(weakref.ref(square.array))
        ctx.save_for_backward(square)
        return square.sum()

    class WatchedArray(type(gradcli.ones(1).array)):
        pass

    x = gradcli.Tensor(gradcli.ones(2).array.view(WatchedArray), requires_grad=True)
    y = custom(gradcli, forward, lambda ctx, grad: grad * ctx.saved_tensors[0]).apply(x)
    y.backward(retain_graph=True)
    assert alive[0]() is not None
    y.backward()
    assert alive[0]() is None
