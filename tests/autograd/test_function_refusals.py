"""What `Function` refuses: gradients that do not fit, missing methods, stale or freed values."""

from __future__ import annotations

import pytest
from programs import Programs

import gradcli

programs = Programs()


def leaf(torch, *values):
    return torch.tensor(values or (1.0, 2.0), requires_grad=True)


def custom(torch, forward, backward, **members):
    """A Function with these as its static methods."""
    members |= {"forward": forward, "backward": backward}
    return type(
        "Custom", (torch.autograd.Function,), {name: staticmethod(function) for name, function in members.items()}
    )


def cube(torch):
    """x**3, whose gradient is computed from the saved input."""

    def forward(ctx, x):
        ctx.save_for_backward(x)
        return x**3

    def backward(ctx, grad):
        (x,) = ctx.saved_tensors
        return grad * 3 * x**2

    return custom(torch, forward, backward)


# --- what is refused --------------------------------------------------------------------------------------------------


def gradient_of(torch, forward, backward, *inputs):
    result = custom(torch, forward, backward).apply(*(inputs or (leaf(torch),)))
    result.sum().backward()


def changed_after_saving(torch):
    x = leaf(torch)
    y = x * 1
    z = cube(torch).apply(y)
    y.mul_(2)
    z.sum().backward()


def freed(torch):
    x = leaf(torch)
    y = cube(torch).apply(x)
    y.sum().backward()
    y.sum().backward()


def saved_after_freeing(torch):
    y = cube(torch).apply(leaf(torch))
    y.sum().backward()
    return y.grad_fn.saved_tensors


def fail(ctx, grad):
    raise KeyError("mine")


def forward_only(torch):
    function = type("Custom", (torch.autograd.Function,), {"forward": staticmethod(lambda ctx, x: x * 2)})
    function.apply(leaf(torch)).sum().backward()


def dirty_leaf(torch):
    def forward(ctx, x):
        ctx.mark_dirty(x)
        return x.mul_(2)

    custom(torch, forward, lambda ctx, grad: grad * 2).apply(leaf(torch))


programs.refusals(
    {
        "too few gradients": (
            lambda torch: gradient_of(torch, lambda ctx, x, w: x * w, lambda ctx, g: g, leaf(torch), leaf(torch)),
            RuntimeError,
            r"function CustomBackward returned an incorrect number of gradients \(expected 2, got 1\)",
        ),
        "too many gradients": (
            lambda torch: gradient_of(torch, lambda ctx, x: x * 2, lambda ctx, g: (g, g)),
            RuntimeError,
            r"function CustomBackward returned an incorrect number of gradients \(expected 1, got 2\)",
        ),
        "gradient of another shape": (
            lambda torch: gradient_of(torch, lambda ctx, x: x * 2, lambda ctx, g: torch.ones(3)),
            RuntimeError,
            r"Function CustomBackward returned an invalid gradient at index 0 - got \[3\] but expected shape "
            r"compatible with \[2\]",
        ),
        "gradient that is no tensor": (
            lambda torch: gradient_of(torch, lambda ctx, x: x * 2, lambda ctx, g: 2.0),
            RuntimeError,
            "expected.*float|float.*expected",
        ),
        "an error of the backward": (
            lambda torch: gradient_of(torch, lambda ctx, x: x * 2, fail),
            KeyError,
            "mine",
        ),
        "an error of the forward": (
            lambda torch: gradient_of(torch, lambda ctx, x: fail(ctx, x), fail),
            KeyError,
            "mine",
        ),
        "no forward": (
            lambda torch: torch.autograd.Function.apply(leaf(torch)),
            NotImplementedError,
            "You must implement the forward function for custom autograd.Function",
        ),
        "no backward": (
            forward_only,
            NotImplementedError,
            "You must implement either the backward or vjp method",
        ),
        "saving what is no tensor": (
            lambda torch: gradient_of(torch, lambda ctx, x: (ctx.save_for_backward(2.0), x)[1], lambda ctx, g: g),
            TypeError,
            "save_for_backward can only save variables, but argument .*is of type float",
        ),
        "changed after it was saved": (changed_after_saving, RuntimeError, "modified by an inplace operation"),
        "freed": (freed, RuntimeError, "Trying to backward through the graph a second time"),
        "saved_tensors of a freed node": (saved_after_freeing, RuntimeError, "after they have already been freed"),
        "changing a leaf": (
            dirty_leaf,
            RuntimeError,
            "a leaf Variable that requires grad has been used in an in-place operation",
        ),
    }
)


@programs.gives(True)
def an_error_in_the_backward_leaves_the_mode(torch):
    try:
        gradient_of(torch, lambda ctx, x: x * 2, fail)
    except KeyError:
        return torch.is_grad_enabled()


@programs.each
def test_program(program):
    program.check(gradcli)


@pytest.mark.parity
@programs.each
def test_parity(program):
    program.check(pytest.importorskip("torch"))
