"""What `autograd.grad` and `backward(inputs=...)` refuse."""

from __future__ import annotations

import contextlib

import pytest
from programs import Programs

import gradcli

programs = Programs()


def leaf(torch, *values):
    return torch.tensor(values or (1.0, 2.0, 3.0), requires_grad=True)


# --- what is refused --------------------------------------------------------------------------------------------------

programs.refusals(
    {
        "unused input": (
            lambda torch: torch.autograd.grad(leaf(torch).sum(), leaf(torch)),
            RuntimeError,
            "The differentiated Tensor at index 0 appears to not have been used in the graph. Set allow_unused=True",
        ),
        "unused input, refused by name": (
            lambda torch: torch.autograd.grad(leaf(torch).sum(), leaf(torch), allow_unused=False),
            RuntimeError,
            "appears to not have been used in the graph",
        ),
        "zeros for what is refused": (
            lambda torch: torch.autograd.grad(
                leaf(torch).sum(), leaf(torch), allow_unused=False, materialize_grads=True
            ),
            ValueError,
            "Expected allow_unused to be True or not passed when materialize_grads=True, but got: .*False",
        ),
        "input without gradient": (
            lambda torch: torch.autograd.grad(leaf(torch).sum(), torch.ones(3)),
            RuntimeError,
            "One of the differentiated Tensors.* does not require grad",
        ),
        "input without gradient, allowed unused": (
            lambda torch: torch.autograd.grad(leaf(torch).sum(), torch.ones(3), allow_unused=True),
            RuntimeError,
            "One of the differentiated Tensors.* does not require grad",
        ),
        "no inputs": (
            lambda torch: torch.autograd.grad(leaf(torch).sum(), []),
            RuntimeError,
            r"`inputs` argument to `grad\(\)` cannot be empty",
        ),
        "no inputs of backward": (
            lambda torch: leaf(torch).sum().backward(inputs=[]),
            RuntimeError,
            "cannot be empty",
        ),
        "output without gradient": (
            lambda torch: torch.autograd.grad(torch.ones(3).sum(), leaf(torch)),
            RuntimeError,
            "element 0 of tensors does not require grad and does not have a grad_fn",
        ),
        "output of many elements": (
            lambda torch: (lambda x: torch.autograd.grad(x * 2, x))(leaf(torch)),
            RuntimeError,
            "grad can be implicitly created only for scalar outputs",
        ),
        "gradient of another shape": (
            lambda torch: (lambda x: torch.autograd.grad(x * 2, x, torch.ones(2)))(leaf(torch)),
            RuntimeError,
            r"Mismatch in shape: grad_output\[0\] has a shape of .*\[2\].* and output\[0\] has a shape of .*\[3\]",
        ),
        "gradient of another kind": (
            lambda torch: (lambda x: torch.autograd.grad(x.sum(), x, 1.0))(leaf(torch)),
            TypeError,
            "float",
        ),
        "second pass": (
            lambda torch: (lambda x, y: [torch.autograd.grad(y, x) for y in [y, y]])(*twice(torch)),
            RuntimeError,
            "Trying to backward through the graph a second time",
        ),
        "a gradient that was not recorded": (
            lambda torch: (lambda x: torch.autograd.grad(torch.autograd.grad((x * x).sum(), x)[0].sum(), x))(
                leaf(torch)
            ),
            RuntimeError,
            "element 0 of tensors does not require grad and does not have a grad_fn",
        ),
    }
)


def twice(torch):
    x = leaf(torch)
    return x, (x * x).sum()


@programs.gives([[2.0, 4.0, 6.0]])
def a_refused_call_leaves_the_graph(torch):
    x = leaf(torch)
    y = (x * x).sum()
    for inputs in ([], [torch.ones(3)]):
        with contextlib.suppress(RuntimeError, ValueError):
            torch.autograd.grad(y, inputs)
    return torch.autograd.grad(y, x)


@programs.each
def test_program(program):
    program.check(gradcli)


@pytest.mark.parity
@programs.each
def test_parity(program):
    program.check(pytest.importorskip("torch"))
