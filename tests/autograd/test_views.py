"""Views: whose memory they share, and what a change in place makes of the history of their base and of other views."""

from __future__ import annotations

import weakref

import numpy as np
import pytest
from programs import Programs

import gradcli

programs = Programs()

# --- what a view is ---------------------------------------------------------------------------------------------------


@programs.gives([True, True, False, None])
def a_view_knows_its_base(torch):
    base = torch.ones(2, 3)
    view = base[0]
    return view._is_view(), view._base is base, base._is_view(), base._base


@programs.gives([True, True])
def the_base_of_a_view_of_a_view_is_the_first(torch):
    base = torch.ones(2, 3)
    return base.t()[1]._base is base, base.view(6)[2:].view(2, 2).diagonal()._base is base


@programs.gives([False, False, False, False, False, False])
def a_result_that_shares_nothing_is_no_view(torch):
    base = torch.ones(2, 3)
    results = base * 1, base.clone(), base[[0, 1]], base[base > 0], base.t().reshape(6), base.detach().clone()
    return [result._is_view() for result in results]


@programs.gives([True, False, False])
def reshape_is_a_view_only_where_it_can_be(torch):
    base = torch.ones(2, 3)
    return base.reshape(6)._is_view(), base.t().reshape(6)._is_view(), base.t().contiguous()._is_view()


@programs.gives([True, False, "SelectBackward0", False])
def views_follow_whether_the_base_requires_grad(torch):
    leaf = torch.ones(2, 2, requires_grad=True)
    view = leaf[0]
    return view.requires_grad, view.is_leaf, view.grad_fn, torch.ones(2)[0].requires_grad


@programs.gives([True, None, True, True])
def a_view_of_a_leaf_made_in_no_grad_has_no_history(torch):
    leaf = torch.ones(2, 2, requires_grad=True)
    with torch.no_grad():
        view = leaf[0]
    return view.is_leaf, view.grad_fn, view._is_view(), view._base is leaf


@programs.gives([[0.0, 1.0, 2.0, 3.0], True])
def a_view_keeps_its_base_alive_but_not_the_other_way(torch):
    base = torch.arange(4.0)
    view = base[1:]
    first = weakref.ref(view)
    del base
    base = view._base
    del view
    return base, first() is None


# --- the base after a change through a view ---------------------------------------------------------------------------


@programs.gives([[2.0, 10.0, 2.0], "CopySlices", True, False])
def the_base_gets_a_node_that_copies_slices(torch):
    base = torch.ones(3, requires_grad=True) * 2
    base[1].mul_(5)
    return base, base.grad_fn, base.requires_grad, base.is_leaf


@programs.gives(True)
def its_first_edge_leads_to_what_it_was(torch):
    base = torch.ones(3, requires_grad=True) * 2
    before = base.grad_fn
    base[1].mul_(5)
    return base.grad_fn.next_functions[0][0] is before


@programs.gives([8.0, 400.0, 24.0])
def the_gradient_of_a_base_with_a_changed_part(torch):
    leaf = torch.tensor([1.0, 2.0, 3.0], requires_grad=True)
    base = leaf * 2
    base[1].mul_(5)
    (base * base).sum().backward()
    return leaf.grad


@programs.gives([[8.0, 10.0, 2.0], [2.0, 2.0]])
def a_changed_part_gets_the_gradient_of_what_was_put_there(torch):
    leaf = torch.ones(3, requires_grad=True)
    weight = torch.tensor([4.0, 5.0], requires_grad=True)
    base = leaf * 2
    base[:2].mul_(weight)
    base.sum().backward()
    return leaf.grad, weight.grad


@programs.gives([[True, False, [True, True, True]], [[0.0, 0.0], [2.0, 3.0]], [2.0, 4.0]])
def a_base_that_required_none_requires_grad_when_a_part_does(torch):
    base = torch.zeros(2, 2)
    views = base[0], base.t(), base.view(4)
    weight = torch.tensor([2.0, 3.0], requires_grad=True)
    base[1].add_(weight)
    flags = base.requires_grad, base.is_leaf, [view.requires_grad for view in views]
    (views[1] * torch.tensor([[1.0, 2.0], [3.0, 4.0]])).sum().backward()
    return flags, base, weight.grad


@programs.gives([[10.0, 20.0], [[10.0, 3.0], [20.0, 4.0]], [20.0, 4.0], [[30.0, 60.0], [2.0, 5.0]]])
def every_view_of_the_base_has_the_new_history(torch):
    leaf = torch.tensor([[1.0, 2.0], [3.0, 4.0]], requires_grad=True)
    base = leaf * 1
    before, transposed, column = base[0], base.t(), base[:, 1]
    base[0].mul_(10)
    (before.sum() + transposed.sum() * 2 + column.sum() * 3).backward()
    return before, transposed, column, leaf.grad


@programs.gives([6.0, [0.0, 36.0]])
def a_view_of_an_unchanged_part_still_leads_through_the_base(torch):
    leaf = torch.tensor([1.0, 2.0], requires_grad=True)
    base = leaf * 3
    other = base[1]
    base[0].mul_(0)
    (other * other).backward()
    return other, leaf.grad


@programs.gives([30.0, True, [0.0, 15.0]])
def a_change_of_the_base_changes_the_history_of_its_views(torch):
    leaf = torch.tensor([1.0, 2.0], requires_grad=True)
    base = leaf * 3
    view = base[1]
    base.mul_(5)
    view.backward()
    return view, view.requires_grad, leaf.grad


@programs.gives([True, False, 2.0, [1.0, 0.0]])
def a_base_without_gradient_changed_with_one_gives_it_to_its_views(torch):
    base = torch.ones(2)
    view = base[0]
    weight = torch.tensor([2.0, 3.0], requires_grad=True)
    base.mul_(weight)
    view.backward()
    return view.requires_grad, view.is_leaf, view, weight.grad


@programs.gives([[3.0, 0.0], [33.0, 0.0]])
def what_was_computed_from_a_view_before_keeps_its_history(torch):
    leaf = torch.tensor([1.0, 2.0], requires_grad=True)
    base = leaf * 3
    earlier = base[0] + 1
    base[0].mul_(10)
    earlier.backward(retain_graph=True)
    first = leaf.grad.tolist()
    base[0].backward()
    return first, leaf.grad


# --- through which views ----------------------------------------------------------------------------------------------


def gradient_after(torch, change):
    """The values after a change of a view of [[0, 1, 2], [3, 4, 5]] + 1, and the gradient of their weighted sum."""
    leaf = (torch.arange(6.0).view(2, 3) + 1).requires_grad_()
    base = leaf * 1
    change(base)
    (base * torch.arange(6.0).view(2, 3)).sum().backward()
    return base, leaf.grad


programs.results(
    {
        name: (lambda torch, change=change: gradient_after(torch, change), expected)
        for name, change, expected in [
            (
                "change_of_a_row",
                lambda base: base[1].mul_(10),
                [[[1.0, 2.0, 3.0], [40.0, 50.0, 60.0]], [[0.0, 1.0, 2.0], [30.0, 40.0, 50.0]]],
            ),
            (
                "change_of_an_element",
                lambda base: base[1][2].mul_(10),
                [[[1.0, 2.0, 3.0], [4.0, 5.0, 60.0]], [[0.0, 1.0, 2.0], [3.0, 4.0, 50.0]]],
            ),
            (
                "change_of_steps",
                lambda base: base[:, ::2].mul_(10),
                [[[10.0, 2.0, 30.0], [40.0, 5.0, 60.0]], [[0.0, 1.0, 20.0], [30.0, 4.0, 50.0]]],
            ),
            (
                "change_of_a_transposed",
                lambda base: base.t()[1:].mul_(10),
                [[[1.0, 20.0, 30.0], [4.0, 50.0, 60.0]], [[0.0, 10.0, 20.0], [3.0, 40.0, 50.0]]],
            ),
            (
                "change_of_a_view_of_a_view",
                lambda base: base.view(6)[2:].view(2, 2)[0].mul_(10),
                [[[1.0, 2.0, 30.0], [40.0, 5.0, 6.0]], [[0.0, 1.0, 20.0], [30.0, 4.0, 5.0]]],
            ),
            (
                "change_of_a_diagonal",
                lambda base: base.diagonal(1).mul_(10),
                [[[1.0, 20.0, 3.0], [4.0, 5.0, 60.0]], [[0.0, 10.0, 2.0], [3.0, 4.0, 50.0]]],
            ),
            (
                "change_of_the_whole",
                lambda base: base.view(3, 2).mul_(10),
                [[[10.0, 20.0, 30.0], [40.0, 50.0, 60.0]], [[0.0, 10.0, 20.0], [30.0, 40.0, 50.0]]],
            ),
            (
                "change_of_nothing",
                lambda base: base[2:].mul_(10),
                [[[1.0, 2.0, 3.0], [4.0, 5.0, 6.0]], [[0.0, 1.0, 2.0], [3.0, 4.0, 5.0]]],
            ),
            (
                "change_of_an_unsqueezed",
                lambda base: base.unsqueeze(0)[0, 1].mul_(10),
                [[[1.0, 2.0, 3.0], [40.0, 50.0, 60.0]], [[0.0, 1.0, 2.0], [30.0, 40.0, 50.0]]],
            ),
            (
                "change_of_overlapping_parts",
                lambda base: (base[:, :2].mul_(10), base[:, 1:].mul_(10)),
                [[[10.0, 200.0, 30.0], [40.0, 500.0, 60.0]], [[0.0, 100.0, 20.0], [30.0, 400.0, 50.0]]],
            ),
            (
                "change_of_a_part_then_of_the_whole",
                lambda base: (base[0].mul_(10), base.mul_(2)),
                [[[20.0, 40.0, 60.0], [8.0, 10.0, 12.0]], [[0.0, 20.0, 40.0], [6.0, 8.0, 10.0]]],
            ),
            (
                "change_of_the_whole_then_of_a_part",
                lambda base: (base.mul_(2), base[0].mul_(10)),
                [[[20.0, 40.0, 60.0], [8.0, 10.0, 12.0]], [[0.0, 20.0, 40.0], [6.0, 8.0, 10.0]]],
            ),
            (
                "change_of_a_part_by_a_copy_of_its_neighbour",
                lambda base: base[0].mul_(base[1].clone()),
                [[[4.0, 10.0, 18.0], [4.0, 5.0, 6.0]], [[0.0, 5.0, 12.0], [3.0, 6.0, 11.0]]],
            ),
            (
                "change_of_a_part_by_a_copy_of_itself",
                lambda base: base[0].mul_(base[0].clone()),
                [[[1.0, 4.0, 9.0], [4.0, 5.0, 6.0]], [[0.0, 4.0, 12.0], [3.0, 4.0, 5.0]]],
            ),
            (
                "change_of_a_part_by_the_whole",
                lambda base: base[0].add_(base.sum()),
                [[[22.0, 23.0, 24.0], [4.0, 5.0, 6.0]], [[3.0, 4.0, 5.0], [6.0, 7.0, 8.0]]],
            ),
        ]
    }
)


CHANGED_SINCE = "one of the variables needed for gradient computation has been modified by an inplace operation"

programs.refusals(
    {
        f"gradient_of_a_part_times_{name}": (
            lambda torch, change=change: gradient_after(torch, change),
            RuntimeError,
            CHANGED_SINCE,
        )
        for name, change in {
            "itself": lambda base: base[0].mul_(base[0]),
            "its_neighbour": lambda base: base[0].mul_(base[1]),
            "its_own_values": lambda base: base[0].mul_(base[1].detach() * 2).mul_(base[1]),
            "the_whole_before": lambda base: (base * base[0], base[1].mul_(base.t()[0:1, 0])),
        }.items()
    }
)


@programs.gives([[2.0, 6.0, 6.0], [8.0, 7.0, 4.0]])
def a_chain_of_changes_of_parts_of_each_other(torch):
    leaf = torch.tensor([1.0, 2.0, 3.0], requires_grad=True)
    base = leaf * 1
    for step in range(3):
        base[step].mul_(base[(step + 1) % 3].clone())
    base.sum().backward()
    return base, leaf.grad


@programs.gives([[34.0, 356.0, 432.0], [98.0, 706.0, 864.0]])
def a_second_gradient_through_a_changed_part(torch):
    leaf = torch.tensor([1.0, 2.0, 3.0], requires_grad=True)
    base = leaf * 1
    base[1:].mul_(base[:2].clone() * leaf[1:])
    (gradient,) = torch.autograd.grad((base**2).sum(), leaf, create_graph=True)
    (second,) = torch.autograd.grad(gradient.sum(), leaf)
    return gradient, second


# --- when its base has another history -------------------------------------------------------------------------------


@programs.gives([[3.0, 3.0], None])
def a_view_keeps_the_gradient_of_its_new_values(torch):
    base = torch.ones(3, requires_grad=True) * 1
    view = base[:2]
    view.retain_grad()
    view.mul_(2)
    (3 * view).sum().backward()
    former = torch.ones(3, requires_grad=True) * 1
    part = former[:2]
    later = part[0]
    part.retain_grad()
    part.mul_(2)
    later.backward()  # this is made of the base by now
    return view.grad, part.grad


@programs.gives([True, [4.0, 2.0, 2.0]])
def a_view_keeps_its_history_when_its_base_is_detached_in_place(torch):
    x = torch.ones(3, requires_grad=True)
    base = x * 2
    view = base[:1]
    view.mul_(2)
    total = base.sum()
    base.detach_()
    required = view.requires_grad and view.grad_fn is not None
    total.backward()
    return required, x.grad


@programs.gives([True, [2.0, 0.0, 0.0]])
def a_view_that_is_looked_at_in_inference_mode_keeps_its_history(torch):
    x = torch.ones(3, requires_grad=True)
    base = x * 1
    view = base[:1]
    base.mul_(2)
    with torch.inference_mode():
        recorded = view.grad_fn is not None
    view.sum().backward()
    return recorded, x.grad


@programs.gives([[2.0, 2.0, 2.0], True, [1.0], 0])
def views_of_data_lead_to_it_and_no_further(torch):
    x, w = torch.ones(3, requires_grad=True), torch.ones(1, requires_grad=True)
    square = x * x
    data = x.data
    data.detach().zero_().add_(1)
    square.sum().backward()  # it isn't told of the change
    data[:1].add_(w)
    data.sum().backward()
    return x.grad, data.grad_fn is not None, w.grad, x._version


@programs.gives([2.0, 6.0, 2.0])
def a_part_of_an_expanded_tensor_in_which_nothing_repeats(torch):
    x = torch.ones(3)
    x.expand(2, 3)[0].mul_(2)
    x[1:2].expand(2, 1)[:1].mul_(3)
    return x


@programs.each
def test_program(program):
    program.check(gradcli)


@pytest.mark.parity
@programs.each
def test_parity(program):
    program.check(pytest.importorskip("torch"))


@pytest.mark.parametrize("count", [1, 5])
def test_views_that_are_gone_are_forgotten(count):
    base = gradcli.ones(3)
    for _ in range(count):
        base[0]
    kept = base[1]
    assert [view() for view in base._sharing.views] == [kept]


def test_views_share_memory_with_numpy_too():
    base = gradcli.ones(2, 2)
    assert np.shares_memory(base.t()[0].numpy(), base.numpy())
