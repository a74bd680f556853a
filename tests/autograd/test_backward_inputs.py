"""`backward(inputs=...)`: whose gradients it adds to, and what else it does there."""

from __future__ import annotations

import warnings

import pytest
from programs import Programs

import gradcli

programs = Programs()


def leaf(torch):
    return torch.tensor([1.0, 2.0, 3.0], requires_grad=True)


@programs.gives([None, [1.0, 2.0, 3.0]])
def backward_to_some_leaves_only(torch):
    x, w = leaf(torch), leaf(torch)
    (x * w).sum().backward(inputs=[w])
    return x.grad, w.grad


@programs.gives([[1.0, 2.0, 3.0], None])
def backward_to_one_tensor(torch):
    x, w = leaf(torch), leaf(torch)
    (x * w).sum().backward(inputs=x)
    return x.grad, w.grad


@programs.gives([None, [2.0, 4.0, 6.0]])
def backward_adds_to_what_is_there(torch):
    x, w = leaf(torch), leaf(torch)
    for _ in range(2):
        (x * w).sum().backward(inputs=[w])
    return x.grad, w.grad


@programs.gives([[4.0, 8.0, 12.0], [8.0, 16.0, 24.0]])
def backward_to_a_non_leaf(torch):
    x = leaf(torch)
    y = x * 2
    y.retain_grad()
    (y * y).sum().backward(inputs=[y, x])
    return y.grad, x.grad


@programs.gives([[2.0, 4.0, 6.0], None])
def backward_to_what_is_unused(torch):
    x, other = leaf(torch), leaf(torch)
    (x * x).sum().backward(inputs=[x, other])
    return x.grad, other.grad


@programs.gives([[2.0, 8.0, 18.0], [2.0, 4.0, 6.0], None])
def backward_with_a_graph_to_some_leaves(torch):
    x, w = leaf(torch), leaf(torch)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # PyTorch warns of the cycle that this makes
        torch.autograd.backward((x * w * w).sum(), inputs=[w], create_graph=True)
    first, w.grad = w.grad, None
    first.sum().backward(inputs=[w])
    return first, w.grad, x.grad


@programs.gives([[2.0, 4.0, 6.0], [2.0, 4.0, 6.0]])
def a_leaf_that_is_named_twice_and_one_that_has_a_gradient(torch):
    x, y = leaf(torch), leaf(torch)
    (x * x).sum().backward(inputs=[x, x])
    y.grad = kept = torch.zeros(3)
    (y * y).sum().backward(inputs=y)
    return x.grad, kept  # the sum grows in place


@programs.gives([1, True])
def hooks_after_accumulation_are_called(torch):
    x, other, calls = leaf(torch), leaf(torch), []
    x.register_post_accumulate_grad_hook(calls.append)
    other.register_post_accumulate_grad_hook(calls.append)
    (x * other).sum().backward(inputs=[x])
    return len(calls), calls[0] is x


@programs.gives([True, [8.0, 16.0, 24.0]])
def a_non_leaf_keeps_its_gradient_from_then_on(torch):
    y = leaf(torch) * 2
    (y * y).sum().backward(inputs=[y], retain_graph=True)
    (y * y).sum().backward()
    return y.retains_grad, y.grad


@programs.gives([None, None])
def a_leaf_to_start_from_that_is_none_of_the_inputs(torch):
    x, other = leaf(torch), leaf(torch)
    torch.autograd.backward([x.sum(), x], [None, torch.ones(3)], inputs=[other])
    return x.grad, other.grad


@programs.each
def test_program(program):
    program.check(gradcli)


@pytest.mark.parity
@programs.each
def test_parity(program):
    program.check(pytest.importorskip("torch"))
