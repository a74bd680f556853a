"""Hooks on tensors and nodes: when they are called, with what, in which order, and what they may change."""

from __future__ import annotations

import gc
import weakref

import pytest
from programs import Programs

import gradcli

programs = Programs()


def leaf(torch, *values):
    return torch.tensor(values or (1.0, 2.0), requires_grad=True)


def noting(seen, name, replacement=None):
    """A hook that notes its name and the gradients it gets, and returns what `replacement` makes of them."""

    def hook(*gradients):
        first = gradients[0]
        seen.append([name, first.tolist() if hasattr(first, "tolist") else [g.tolist() for g in first]])
        return None if replacement is None else replacement(*gradients)

    return hook


# --- on tensors -------------------------------------------------------------------------------------------------------


@programs.gives([["y", [6.0, 12.0]], ["x", [18.0, 36.0]]])
def a_hook_gets_the_gradient(torch):
    seen = []
    x = leaf(torch)
    y = x * 3
    y.register_hook(noting(seen, "y"))
    x.register_hook(noting(seen, "x"))
    (y * y).sum().backward()
    return seen


@programs.gives([31.0, 31.0])
def what_it_returns_is_used_instead(torch):
    x = leaf(torch)
    y = x * 3
    y.register_hook(lambda grad: grad * 10)
    x.register_hook(lambda grad: grad + 1)
    y.sum().backward()
    return x.grad


@programs.gives([[["first", [1.0, 1.0]], ["second", [2.0, 2.0]], ["third", [2.0, 2.0]]], [4.0, 4.0]])
def hooks_are_called_in_the_order_they_came_in(torch):
    seen = []
    x = leaf(torch)
    x.register_hook(noting(seen, "first", lambda grad: grad + 1))
    x.register_hook(noting(seen, "second"))
    x.register_hook(noting(seen, "third", lambda grad: grad * 2))
    x.sum().backward()
    return seen, x.grad


@programs.gives([["a", [1.0, 1.0]], ["c", [1.0, 1.0]], ["c", [1.0, 1.0]]])
def a_removed_hook_is_not_called(torch):
    seen = []
    x = leaf(torch)
    handles = [x.register_hook(noting(seen, name)) for name in "abc"]
    handles[1].remove()
    handles[1].remove()
    x.sum().backward()
    with handles[0]:
        pass
    x.sum().backward()
    return seen


@programs.gives([["y", [3.0, 3.0]], ["x", [4.0, 4.0]]])
def a_hook_is_called_once_for_all_uses(torch):
    seen = []
    x = leaf(torch)
    y = x * 1
    y.register_hook(noting(seen, "y"))
    x.register_hook(noting(seen, "x"))
    (y + y * 2 + x).sum().backward()
    return seen


@programs.gives([[["x", [2.0, 2.0]], ["x", [3.0, 3.0]]], [5.0, 5.0]])
def a_hook_of_a_leaf_is_called_at_every_pass_with_that_pass_only(torch):
    seen = []
    x = leaf(torch)
    x.register_hook(noting(seen, "x"))
    (2 * x).sum().backward()
    (3 * x).sum().backward()
    return seen, x.grad


@programs.gives([["z", 1.0], ["y", [1.0, 1.0]], ["x", [2.0, 2.0]]])
def a_hook_registered_after_the_graph_was_made(torch):
    seen = []
    x = leaf(torch)
    y = x * 2
    z = y.sum()
    x.register_hook(noting(seen, "x"))
    y.register_hook(noting(seen, "y"))
    z.register_hook(noting(seen, "z"))
    z.backward()
    return seen


@programs.gives([[["second", [2.0, 2.0]], ["first", [1.0, 1.0]]], [[1.0, 1.0], [20.0, 20.0], [0.0, 0.0]]])
def hooks_of_one_of_several_results(torch):
    seen = []
    x = torch.tensor([[1.0, 2.0], [3.0, 4.0], [5.0, 6.0]], requires_grad=True)
    first, second, _ = x.unbind()
    second.register_hook(noting(seen, "second", lambda grad: grad * 10))
    first.register_hook(noting(seen, "first"))
    (first.sum() + 2 * second.sum()).backward()
    return seen, x.grad


@programs.gives([[10.0, 10.0], [10.0, 10.0]])
def retained_gradients_are_those_after_the_hooks(torch):
    x = leaf(torch)
    y = x * 1
    y.retain_grad()
    y.register_hook(lambda grad: grad * 10)
    y.sum().backward()
    return y.grad, x.grad


@programs.gives([[["view", 2.0]], [0.0, 6.0]])
def a_hook_on_a_view_sees_its_part(torch):
    seen = []
    x = leaf(torch)
    view = x[1]
    view.register_hook(noting(seen, "view", lambda grad: grad * 3))
    (view * 2).backward()
    return seen, x.grad


@programs.gives(
    [
        [[40.0, 80.0]],
        [[81.0, 161.0]],
        [["y", [4.0, 8.0]], ["again", [40.0, 80.0]], ["y", [4.0, 8.0]], ["again", [40.0, 80.0]], ["x", [80.0, 160.0]]],
        None,
    ]
)
def a_gradient_asked_for_is_that_after_the_hooks(torch):
    seen = []
    x = leaf(torch)
    y = x * 2
    y.register_hook(noting(seen, "y", lambda grad: grad * 10))
    y.register_hook(noting(seen, "again"))
    x.register_hook(noting(seen, "x", lambda grad: grad + 1))
    of_y = torch.autograd.grad((y * y).sum(), y, retain_graph=True)
    return of_y, torch.autograd.grad((y * y).sum(), x), seen, x.grad


@programs.gives([[2.0, 8.0], [4.0, 16.0]])
def a_hook_is_part_of_the_graph_of_the_gradient(torch):
    x = leaf(torch)
    x.register_hook(lambda grad: grad * x)
    (gradient,) = torch.autograd.grad((x**2).sum(), x, create_graph=True)
    (second,) = torch.autograd.grad(gradient.sum(), x)
    return gradient, second


@programs.gives([[False, False], [False, False], [True, True], [True, True]])
def whether_the_gradient_is_recorded(torch):
    seen = []
    x = leaf(torch)
    y = x**2
    y.register_hook(lambda grad: seen.append((grad.requires_grad, torch.is_grad_enabled())))
    x.register_hook(lambda grad: seen.append((grad.requires_grad, torch.is_grad_enabled())))
    torch.autograd.grad((y**2).sum(), x, retain_graph=True)
    torch.autograd.grad((y**2).sum(), x, create_graph=True)
    return seen


@programs.gives([[27.0, 48.0], None])
def a_hook_may_run_a_pass_of_its_own(torch):
    x, other = leaf(torch), leaf(torch, 3.0, 4.0)

    def cube(grad):
        with torch.enable_grad():
            return grad * torch.autograd.grad((other**3).sum(), other)[0]

    x.register_hook(cube)
    x.sum().backward()
    return x.grad, other.grad


@programs.gives(["'mine'", True, None])
def an_error_in_a_hook_comes_out_and_leaves_the_mode(torch):
    def fail(grad):
        raise KeyError("mine")

    x = leaf(torch)
    x.register_hook(fail)
    try:
        x.sum().backward()
    except KeyError as error:
        return str(error), torch.is_grad_enabled(), x.grad


programs.refusals(
    {
        "hook: no gradient required": (
            lambda torch: torch.ones(2).register_hook(print),
            RuntimeError,
            "cannot register a hook on a tensor that doesn't require gradient",
        ),
        "hook: another size": (
            lambda torch: hooked(torch, lambda grad: torch.ones(3)),
            RuntimeError,
            "has changed the size of value",
        ),
        "hook: a number": (lambda torch: hooked(torch, lambda grad: 2.0), TypeError, "hook.*float"),
        "after accumulation: no gradient required": (
            lambda torch: torch.ones(2).register_post_accumulate_grad_hook(print),
            RuntimeError,
            "cannot register a hook on a tensor that doesn't require gradient",
        ),
        "after accumulation: non-leaf": (
            lambda torch: (leaf(torch) * 1).register_post_accumulate_grad_hook(print),
            RuntimeError,
            "post accumulate grad hooks cannot be registered on non-leaf tensors",
        ),
        "retain_grad: no gradient required": (
            lambda torch: torch.ones(2).retain_grad(),
            RuntimeError,
            "can't retain_grad on Tensor that has requires_grad=False",
        ),
    }
)


def hooked(torch, hook):
    x = leaf(torch)
    x.register_hook(hook)
    x.sum().backward()


# --- after accumulation -----------------------------------------------------------------------------------------------


@programs.gives([[True, [2.0, 2.0]], [True, [5.0, 5.0]]])
def after_accumulation_the_gradient_is_there(torch):
    seen = []
    x = leaf(torch)
    x.register_post_accumulate_grad_hook(lambda tensor: seen.append([tensor is x, tensor.grad.tolist()]))
    (2 * x).sum().backward()
    (3 * x).sum().backward()
    return seen


@programs.gives([[0.0, 0.0], None])
def after_accumulation_the_leaf_may_be_changed(torch):
    def step(parameter):
        with torch.no_grad():
            parameter -= 0.5 * parameter.grad
        parameter.grad = None

    x = leaf(torch)
    x.register_post_accumulate_grad_hook(step)
    for _ in range(2):
        (x * x).sum().backward()
    return x, x.grad


@programs.gives(["before", "first", "second", "before", "first"])
def after_accumulation_in_order_and_removed(torch):
    seen = []
    x = leaf(torch)
    x.register_post_accumulate_grad_hook(lambda tensor: seen.append("first"))
    handle = x.register_post_accumulate_grad_hook(lambda tensor: seen.append("second"))
    x.register_hook(lambda grad: seen.append("before"))
    x.sum().backward()
    handle.remove()
    x.sum().backward()
    return seen


@programs.gives([[], None])
def after_accumulation_is_not_called_by_grad(torch):
    seen = []
    x = leaf(torch)
    x.register_post_accumulate_grad_hook(lambda tensor: seen.append("called"))
    torch.autograd.grad((x * x).sum(), x)
    return seen, x.grad


@programs.each
def test_program(program):
    program.check(gradcli)


@pytest.mark.parity
@programs.each
def test_parity(program):
    program.check(pytest.importorskip("torch"))


def test_a_hook_lives_as_long_as_its_graph_and_no_longer():
    class Hook:
        def __call__(self, grad):
            return None

    gc.collect()
    gc.disable()
    try:
        x, hook = leaf(gradcli), Hook()
        y = x * 2
        y.register_hook(hook)
        alive = weakref.ref(hook)
        del hook
        y.sum().backward()
        assert alive() is not None
        del y
        assert alive() is None
    finally:
        gc.enable()


def test_a_hook_that_changes_the_size_is_named():
    def three_ones(grad):
        return gradcli.ones(3)

    with pytest.raises(RuntimeError, match=r"'three_ones' has changed the size of value: \[2\] became \[3\]"):
        hooked(gradcli, three_ones)
