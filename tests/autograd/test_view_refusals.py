"""Changes in place of views that are refused, and those that are allowed where nothing is recorded."""

from __future__ import annotations

import pytest
from programs import Programs

import gradcli

programs = Programs()

# --- what is refused --------------------------------------------------------------------------------------------------


def non_leaf(torch):
    return torch.ones(2, 3, requires_grad=True) * 1


@programs.raises(RuntimeError, "a view of a leaf Variable that requires grad is being used in an in-place operation")
def a_view_of_a_leaf_is_refused(torch):
    torch.ones(2, requires_grad=True)[0].mul_(2)


@programs.raises(RuntimeError, "a view of a leaf Variable that requires grad is being used in an in-place operation")
def a_view_of_a_leaf_that_is_a_view_itself_is_refused(torch):
    leaf = torch.arange(6.0).reshape(2, 3).requires_grad_()
    leaf[0] = 7.0


@programs.raises(RuntimeError, "is a view and its base or another view of its base has been modified inplace")
def one_of_several_views_after_its_base_was_changed_is_refused(torch):
    base = non_leaf(torch)
    part = base.unbind()[0]
    base.mul_(2)
    part.sum()


@programs.raises(
    RuntimeError, "A view was created in no_grad mode and is being modified inplace with grad mode enabled"
)
def a_view_made_in_no_grad_is_refused(torch):
    base = non_leaf(torch)
    with torch.no_grad():
        view = base[0]
    view.mul_(2)


@programs.gives([[[2.0, 2.0, 2.0], [1.0, 1.0, 1.0]], "MulBackward0", 1])
def a_view_made_in_no_grad_may_be_changed_there(torch):
    base = non_leaf(torch)
    with torch.no_grad():
        base[0].mul_(2)
    return base, base.grad_fn, base._version


@programs.raises(RuntimeError, "more than one element of the written-to tensor refers to a single memory location")
def an_expanded_view_is_refused(torch):
    torch.ones(2, 1).expand(2, 3).mul_(2)


@programs.raises(RuntimeError, "more than one element of the written-to tensor refers to a single memory location")
def an_expanded_view_of_what_requires_grad_is_refused(torch):
    non_leaf(torch)[:, :1].expand(2, 3).mul_(2)


programs.refusals(
    {
        f"one_of_{name}_is_refused": (
            lambda torch, parts=parts: parts(non_leaf(torch))[0].mul_(2),
            RuntimeError,
            "the output of a function that returns multiple views. Such functions do not allow the output views",
        )
        for name, parts in {
            "unbind": lambda base: base.unbind(),
            "split": lambda base: base.split(1),
            "chunk": lambda base: base.chunk(2, 1),
        }.items()
    }
)


@programs.raises(RuntimeError, "Output 1 of Unbind(Backward0)? is a view and is being modified inplace")
def the_refused_output_is_named(torch):
    non_leaf(torch).unbind()[1].mul_(2)


@programs.gives([[1.0, 1.0, 3.0], [2.0, 2.0, 6.0]])
def one_of_several_may_be_changed_where_nothing_is_recorded(torch):
    base = non_leaf(torch)
    with torch.no_grad():
        base.unbind()[1].mul_(2)
        base.split(2, 1)[1].mul_(3)
    return base


@programs.raises(RuntimeError, "the output of a function that returns multiple views")
def a_view_of_one_of_several_is_refused(torch):
    non_leaf(torch).unbind()[1][0:1].mul_(2)


@programs.raises(RuntimeError, "a view of a leaf Variable that requires grad is being used in an in-place operation")
def a_view_becomes_one_of_a_leaf_that_requires_grad(torch):
    base = torch.ones(2)
    view = base[0]
    base.requires_grad_()
    view.mul_(2)


@programs.raises(RuntimeError, "detach views in-place")
def a_view_cannot_be_detached_in_place(torch):
    non_leaf(torch)[0].detach_()


@programs.each
def test_program(program):
    program.check(gradcli)


@pytest.mark.parity
@programs.each
def test_parity(program):
    program.check(pytest.importorskip("torch"))
