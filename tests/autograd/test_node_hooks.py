"""Hooks on nodes of the graph: the gradients of their inputs and results, and the order of all kinds."""

from __future__ import annotations

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


# --- on nodes ---------------------------------------------------------------------------------------------------------


@programs.gives([[[[15.0, 21.0], [3.0, 6.0]], [[3.0, 3.0]]]])
def a_node_hook_gets_the_gradients_of_inputs_and_results(torch):
    seen = []
    x, w = leaf(torch), torch.tensor([5.0, 7.0], requires_grad=True)
    y = x * w
    y.grad_fn.register_hook(
        lambda inputs, outputs: seen.append([[g.tolist() for g in inputs], [g.tolist() for g in outputs]])
    )
    (3 * y).sum().backward()
    return seen


@programs.gives([[50.0, 70.0], [2.0, 3.0]])
def a_node_hook_may_replace_the_gradients_of_the_inputs(torch):
    x, w = leaf(torch), torch.tensor([5.0, 7.0], requires_grad=True)
    y = x * w
    y.grad_fn.register_hook(lambda inputs, outputs: (inputs[0] * 10, inputs[1] + 1))
    y.sum().backward()
    return x.grad, w.grad


@programs.gives([[False, True]])
def a_node_hook_gets_none_where_no_gradient_is_needed(torch):
    seen = []
    y = leaf(torch) * torch.ones(2)
    y.grad_fn.register_hook(lambda inputs, outputs: seen.append([g is None for g in inputs]))
    y.sum().backward()
    return seen


@programs.gives([[["pre", [[3.0, 3.0]]]], [60.0, 60.0]])
def a_prehook_gets_and_may_replace_the_gradients_of_the_results(torch):
    seen = []
    x = leaf(torch)
    y = x * 2
    y.grad_fn.register_prehook(noting(seen, "pre", lambda outputs: (outputs[0] * 10,)))
    (3 * y).sum().backward()
    return seen, x.grad


@programs.gives([[2], [[1.0, 1.0], [5.0, 5.0]]])
def prehooks_of_several_results(torch):
    seen = []
    x = torch.ones(2, 2, requires_grad=True)
    first, second = x.unbind()
    first.grad_fn.register_prehook(lambda outputs: seen.append(len(outputs)))
    (first.sum() + 5 * second.sum()).backward()
    return seen, x.grad


@programs.gives(["tensor", "node before", "node", "leaf", "leaf after"])
def the_order_of_all_kinds(torch):
    seen = []
    x = leaf(torch)
    y = x * 2
    y.grad_fn.register_hook(lambda inputs, outputs: seen.append("node"))
    y.grad_fn.register_prehook(lambda outputs: seen.append("node before"))
    y.register_hook(lambda grad: seen.append("tensor"))
    y.retain_grad()
    x.register_hook(lambda grad: seen.append("leaf"))
    x.register_post_accumulate_grad_hook(lambda tensor: seen.append("leaf after"))
    y.sum().backward()
    return seen


@programs.gives([["before", [[2.0, 2.0]]], ["after", [2.0, 2.0]]])
def hooks_of_the_node_that_accumulates(torch):
    seen = []
    x = leaf(torch)
    y = x * 2
    accumulate = y.grad_fn.next_functions[0][0]
    accumulate.register_prehook(noting(seen, "before"))
    accumulate.register_hook(lambda inputs, outputs: seen.append(["after", x.grad.tolist()]))
    y.sum().backward()
    return seen


@programs.gives(["a", "c", "a", "c"])
def node_hooks_in_order_and_removed(torch):
    seen = []
    x = leaf(torch)
    for _ in range(2):
        y = x * 2
        handles = [y.grad_fn.register_hook(lambda inputs, outputs, name=name: seen.append(name)) for name in "abc"]
        handles[1].remove()
        y.sum().backward()
    return seen


@programs.gives(["y"])
def node_hooks_of_a_branch_that_is_not_needed(torch):
    seen = []
    x, w = leaf(torch), leaf(torch)
    y, z = x * 2, w * 3
    y.grad_fn.register_hook(lambda inputs, outputs: seen.append("y"))
    z.grad_fn.register_hook(lambda inputs, outputs: seen.append("z"))
    torch.autograd.grad((y * z).sum(), x)
    return seen


@programs.gives([[3.0, 24.0], [9.0, 36.0]])
def node_hooks_under_create_graph(torch):
    x = leaf(torch)
    y = x**3
    y.grad_fn.register_hook(lambda inputs, outputs: (inputs[0] * x, *tuple(inputs[1:])))
    (gradient,) = torch.autograd.grad(y.sum(), x, create_graph=True)
    (second,) = torch.autograd.grad(gradient.sum(), x)
    return gradient, second


@programs.gives([11.0, 11.0])
def tensor_hooks_come_before_prehooks_of_the_node(torch):
    x = leaf(torch)
    y = x * 1
    y.grad_fn.register_prehook(lambda outputs: (outputs[0] + 1,))
    y.register_hook(lambda grad: grad * 10)
    y.sum().backward()
    return x.grad


@programs.gives([[1.0, 1.0], [2.0, 2.0], [1.0, 1.0]])
def hooks_before_a_node_change_no_gradient_of_its_results(torch):
    x = leaf(torch)
    y = x * 1
    y.retain_grad()
    y.grad_fn.register_prehook(lambda grads: tuple(2 * grad for grad in grads))
    return (*torch.autograd.grad(y.sum(), [y, x]), y.grad)


@programs.gives([[1.0, 1.0], [5.0, 5.0], [7.0, 7.0]])
def what_a_hook_keeps_or_gives_does_not_change_with_the_gradient_of_a_leaf(torch):
    x, w, kept, given = leaf(torch), leaf(torch), [], torch.full((2,), 5.0)
    x.register_hook(kept.append)
    w.register_hook(lambda grad: given)
    y = leaf(torch)
    z, replacement = y.sin(), torch.full((2,), 7.0)
    z.grad_fn.register_hook(lambda inputs, outputs: (replacement,))
    for _ in range(2):
        (x + w + z).sum().backward(retain_graph=True)
    return kept[0], given, replacement


@programs.each
def test_program(program):
    program.check(gradcli)


@pytest.mark.parity
@programs.each
def test_parity(program):
    program.check(pytest.importorskip("torch"))
