"""inference_mode in every form: what is made inside, and what may be done with it outside."""

from __future__ import annotations

import pytest
from programs import Programs

import gradcli

programs = Programs()


def leaf(torch):
    return torch.tensor([1.0, 2.0], requires_grad=True)


def modes(torch):
    return [torch.is_inference_mode_enabled(), torch.is_grad_enabled()]


# --- forms ------------------------------------------------------------------------------------------------------------


@programs.gives([True, False])
def the_names_of_the_package(torch):
    return torch.inference_mode is not None, torch.is_inference_mode_enabled()


@programs.gives([[True, False], [False, True]])
def as_a_context_manager(torch):
    with torch.inference_mode():
        inside = modes(torch)
    return inside, modes(torch)


@programs.gives([[False, True], [True, False], [False, True], [False, True]])
def switched_off_inside(torch):
    with torch.inference_mode():
        with torch.inference_mode(False):
            off = modes(torch)
        inside = modes(torch)
    with torch.inference_mode(mode=False):
        nothing = modes(torch)
    return off, inside, nothing, modes(torch)


@programs.gives([[True, True], [False, True], [True, False], [False, False]])
def with_other_modes_inside(torch):
    seen = []
    with torch.inference_mode():
        with torch.enable_grad():
            seen.append(modes(torch))
        with torch.no_grad(), torch.inference_mode(False):
            seen.append(modes(torch))
    with torch.no_grad():
        with torch.inference_mode():
            seen.append(modes(torch))
        seen.append(modes(torch))
    return seen


@programs.gives(
    [[1, True, False], [2, True, False], [3, False, True], [False, True], "with_parentheses", "Documented."]
)
def as_a_decorator(torch):
    @torch.inference_mode()
    def with_parentheses(value):
        """Documented."""
        return [value, *modes(torch)]

    @torch.inference_mode
    def without(value):
        return [value, *modes(torch)]

    @torch.inference_mode(False)
    def switched_off(value):
        return [value, *modes(torch)]

    with torch.inference_mode():
        off = switched_off(3)
    return with_parentheses(1), without(2), off, modes(torch), with_parentheses.__name__, with_parentheses.__doc__


@programs.gives([[[True, False], [False, True]], [[True, False], [False, True]]])
def of_a_generator(torch):
    @torch.inference_mode()
    def generate():
        yield modes(torch)
        yield modes(torch)

    return [[inside, modes(torch)] for inside in generate()]


@programs.gives([[True, False], [False, True], [True, False], [False, True]])
def one_scope_entered_again(torch):
    scope, seen = torch.inference_mode(), []
    for _ in range(2):
        with scope:
            seen.append(modes(torch))
        seen.append(modes(torch))
    return seen


@programs.gives([False, True])
def the_mode_comes_back_after_an_error(torch):
    try:
        with torch.inference_mode():
            raise KeyError
    except KeyError:
        return modes(torch)


# --- what is made inside ----------------------------------------------------------------------------------------------


@programs.gives(
    [
        [True, False, True, None],
        [True, False, True, None],
        [True, False, True, None],
        [True, False, True, None],
        [True, False, True, None],
    ]
)
def what_is_made_inside(torch):
    x = leaf(torch)
    with torch.inference_mode():
        made = torch.ones(2), x * 2, x.clone(), torch.tensor([1.0]), torch.zeros(2)
    return [(tensor.is_inference(), tensor.requires_grad, tensor.is_leaf, tensor.grad_fn) for tensor in made]


@programs.gives([False, True, True])
def what_was_made_outside(torch):
    x = torch.ones(2)
    with torch.inference_mode():
        return x.is_inference(), (x * 1).is_inference(), x.clone().is_inference()


@programs.gives([False, False, True])
def results_of_what_was_made_inside(torch):
    with torch.inference_mode():
        x = torch.ones(2)
    return (x * 2).is_inference(), x.clone().is_inference(), (x + leaf(torch)).requires_grad


@programs.gives([True, [1.0, 1.0]])
def an_operation_that_need_not_save_it_is_recorded(torch):
    with torch.inference_mode():
        x = torch.ones(2)
    y = leaf(torch)
    z = y + x
    z.sum().backward()
    return z.requires_grad, y.grad


@programs.gives([False, [1.0, 1.0], True])
def a_clone_is_an_ordinary_tensor(torch):
    with torch.inference_mode():
        x = torch.ones(2)
    copy = x.clone()
    y = leaf(torch)
    (y * copy).sum().backward()
    return copy.is_inference(), y.grad, copy.requires_grad_().requires_grad


@programs.gives([5.0, 3.0])
def changed_inside(torch):
    with torch.inference_mode():
        x = torch.ones(2)
        x.mul_(3)
        x[0] = 5.0
        return x


@programs.gives([[3.0, 3.0], False, 1, [3.0, 6.0], True, "MulBackward0"])
def what_was_made_outside_changed_inside(torch):
    x = torch.ones(2)
    y = leaf(torch) * 1
    with torch.inference_mode():
        x.mul_(3)
        y.mul_(3)
    return x, x.is_inference(), x._version, y, y.requires_grad, y.grad_fn


@programs.gives([[3.0, 6.0], True])
def a_leaf_changed_inside(torch):
    x = leaf(torch)
    with torch.inference_mode():
        x.mul_(3)
    return x, x.requires_grad


@programs.gives([False, True, True, False, False])
def views(torch):
    x = torch.ones(2, 2)
    inside = made_inside(torch)
    with torch.inference_mode():
        of_outside = x[0]
        of_inside = inside[0:1]
    return [tensor.is_inference() for tensor in (of_outside, of_inside, inside[0:1], of_outside * 2, of_inside * 2)]


@programs.gives([False, False, True, True, True])
def detached(torch):
    x = leaf(torch)
    inside = made_inside(torch)
    with torch.inference_mode():
        made = x.detach(), x.data, inside.detach()
    return [tensor.is_inference() for tensor in (*made, inside.detach(), inside.data)]


@programs.gives([True, True, True, False])
def a_leaf_made_inside(torch):
    with torch.inference_mode():
        x = torch.ones(2, requires_grad=True)
        y = torch.ones(2).requires_grad_()
        z = x * 2
    return x.requires_grad, x.is_inference(), y.requires_grad, z.requires_grad


programs.refusals(
    {
        "saved for backward": (
            lambda torch: leaf(torch) * made_inside(torch),
            RuntimeError,
            "Inference tensors cannot be saved for backward",
        ),
        "changed outside": (
            lambda torch: made_inside(torch).mul_(2),
            RuntimeError,
            "Inplace update to inference tensor outside InferenceMode is not allowed",
        ),
        "requires_grad outside": (
            lambda torch: made_inside(torch).requires_grad_(),
            RuntimeError,
            "Setting requires_grad=True on inference tensor outside InferenceMode is not allowed",
        ),
        "requires_grad set outside": (
            lambda torch: setattr(made_inside(torch), "requires_grad", True),
            RuntimeError,
            "Setting requires_grad=True on inference tensor outside InferenceMode is not allowed",
        ),
        "version": (
            lambda torch: made_inside(torch)._version,
            RuntimeError,
            "Inference tensors do not track version counter",
        ),
        "backward of what was made inside": (
            lambda torch: made_inside(torch).sum().backward(),
            RuntimeError,
            "does not require grad and does not have a grad_fn",
        ),
        "a view of it": (
            lambda torch: made_inside(torch)[0].mul_(2),
            RuntimeError,
            "Inplace update to inference tensor outside InferenceMode is not allowed",
        ),
        "a matrix product": (
            lambda torch: leaf(torch) @ made_inside(torch),
            RuntimeError,
            "Inference tensors cannot be saved for backward",
        ),
    }
)


def made_inside(torch):
    with torch.inference_mode():
        return torch.ones(2)


@programs.each
def test_program(program):
    program.check(gradcli)


@pytest.mark.parity
@programs.each
def test_parity(program):
    program.check(pytest.importorskip("torch"))
