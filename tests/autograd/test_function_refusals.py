"""What `Function` refuses: gradients that do not fit, missing methods, stale or freed values."""

from __future__ import annotations

import pytest
from custom_functions import cube, custom, leaf
from programs import Programs

import gradcli

programs = Programs()


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


# --- results that share memory with inputs ----------------------------------------------------------------------------


def passing_on(torch):
    """A Function that returns its input as it is."""
    return type(
        "PassingOn",
        (torch.autograd.Function,),
        {"forward": staticmethod(lambda ctx, x: x), "backward": staticmethod(lambda ctx, grad: 5 * grad)},
    )


@programs.raises(
    RuntimeError, "is a view and is being modified inplace. This view was created inside a custom Function"
)
def an_input_returned_as_it_is_cannot_be_changed(torch):
    passing_on(torch).apply(torch.ones(2, requires_grad=True) * 1).mul_(2)


@programs.raises(RuntimeError, "is a view and its base or another view of its base has been modified inplace")
def an_input_cannot_be_changed_once_it_was_returned(torch):
    x = torch.ones(2, requires_grad=True) * 1
    result = passing_on(torch).apply(x)
    x.mul_(2)
    result.sum()


@programs.gives([[5.0, 5.0], True, False])
def it_has_the_functions_gradient(torch):
    x = torch.ones(2, requires_grad=True)
    result = passing_on(torch).apply(x)
    result.sum().backward()
    with torch.no_grad():
        unrecorded = passing_on(torch).apply(x)
    return x.grad, result._is_view(), unrecorded.requires_grad


@programs.gives([False, True, 0])
def what_an_unrecorded_call_returns_is_a_tensor_of_its_own(torch):
    x = torch.ones(2)
    passing_on(torch).apply(x).requires_grad_()
    base = torch.ones(2, requires_grad=True) * 1
    part = base.unbind()[0]
    base.mul_(2)
    with torch.no_grad():
        unrecorded = passing_on(torch).apply(part)  # which couldn't be used outside
    return x.requires_grad, unrecorded.is_leaf, unrecorded.ndim


def tripling(torch):
    """A Function that changes its input in place."""

    def forward(ctx, x, *others):
        x.mul_(3)
        ctx.mark_dirty(x)
        return (x, *(2 * other for other in others)) if others else x

    def backward(ctx, grad, *others):
        return (3 * grad, *(2 * other for other in others))

    return type(
        "Tripling",
        (torch.autograd.Function,),
        {"forward": staticmethod(forward), "backward": staticmethod(backward)},
    )


@programs.raises(RuntimeError, "modifies inplace an input that is a view of another Tensor")
def a_changed_view_beside_other_results_is_refused(torch):
    base = torch.ones(2, requires_grad=True) * 1
    tripling(torch).apply(base[:1], torch.ones(1))


@programs.raises(RuntimeError, "the output of a function that returns multiple views")
def a_changed_view_of_several_is_refused(torch):
    tripling(torch).apply((torch.ones(2, requires_grad=True) * 1).unbind()[0])


@programs.gives([[3.0, 1.0]])
def the_gradient_of_what_a_changed_view_was(torch):
    x = torch.ones(2, requires_grad=True)
    base = x * 1
    tripling(torch).apply(base[:1])
    return torch.autograd.grad(base.sum(), x)


@programs.each
def test_program(program):
    program.check(gradcli)


@pytest.mark.parity
@programs.each
def test_parity(program):
    program.check(pytest.importorskip("torch"))
