"""`autograd.grad`: every argument, what is computed, and what is refused."""

from __future__ import annotations

import pytest
from programs import Programs

import gradcli
from gradcli.autograd.operation_node import OperationNode

programs = Programs()


def leaf(torch, *values):
    return torch.tensor(values or (1.0, 2.0, 3.0), requires_grad=True)


# --- inputs and outputs -----------------------------------------------------------------------------------------------


@programs.gives([True, [[2.0, 4.0, 6.0]], None])
def a_tuple_is_returned_and_no_grad_changes(torch):
    x = leaf(torch)
    result = torch.autograd.grad((x * x).sum(), x)
    return isinstance(result, tuple), result, x.grad


@programs.gives([[6.0], [2.0, 2.0, 2.0]])
def one_gradient_for_each_input(torch):
    x, w = leaf(torch), leaf(torch, 2.0)
    return torch.autograd.grad((x * w).sum(), [w, x])


@programs.gives([[1.0, 1.0, 1.0], [4.0, 8.0, 12.0], [8.0, 16.0, 24.0]])
def inputs_that_are_no_leaves(torch):
    x = leaf(torch)
    y = x * 2
    z = y * y
    return torch.autograd.grad(z.sum(), (z, y, x))


@programs.gives([[[1.0]], [[1.0]]])
def an_output_as_its_own_input(torch):
    x = leaf(torch, 2.0)
    y = x * 3
    return torch.autograd.grad(y, y), torch.autograd.grad(x, x)


@programs.gives([[2.0, 4.0, 6.0], [2.0, 4.0, 6.0]])
def the_same_input_twice(torch):
    x = leaf(torch)
    first, second = torch.autograd.grad((x * x).sum(), [x, x])
    return first, second


@programs.gives(
    [
        [20.214675903320312, 131.3634796142578, 887.19970703125],
        [6.436563491821289, 16.778112411499023, 43.17107391357422],
        [2.7182817459106445, 7.389056205749512, 20.08553695678711],
    ]
)
def an_input_before_another_of_the_inputs(torch):
    x = leaf(torch)
    y = x.exp()
    z = y + x
    return torch.autograd.grad((z * y).sum(), [x, y, z])


@programs.gives([[12.0, 14.0, 16.0]])
def several_outputs(torch):
    x = leaf(torch)
    return torch.autograd.grad([(x * x).sum(), x.sum() * 10], x)


@programs.gives([[[1.0, 1.0], [6.0, 8.0]], [6.0, 8.0]])
def several_outputs_of_one_operation(torch):
    x = torch.tensor([[1.0, 2.0], [3.0, 4.0]], requires_grad=True)
    first, second = x.unbind()
    return torch.autograd.grad([first.sum(), (second * second).sum()], [x, second])


@programs.gives([[1.0, 2.0], [3.0, 4.0]])
def one_of_several_results_as_input(torch):
    x = torch.tensor([[1.0, 2.0], [3.0, 4.0]], requires_grad=True)
    first, second = x.unbind()
    return torch.autograd.grad((first * second).sum(), [second, first])


@programs.gives([[[2.0, 40.0, 600.0]], [[3.0, 41.0, 601.0]], [[2.0, 40.0, 600.0]]])
def gradients_of_the_outputs(torch):
    x = leaf(torch)
    weights = torch.tensor([1.0, 10.0, 100.0])
    return [
        torch.autograd.grad(x * x, x, weights),
        torch.autograd.grad([x * x, x.sum()], x, [weights, None]),
        torch.autograd.grad((x * x,), (x,), grad_outputs=(weights,)),
    ]


@programs.gives([[4.0, 6.0], [1.0, 5.0, 7.0]])
def a_view_as_input_is_not_its_base(torch):
    x = leaf(torch)
    view = x[1:]
    return torch.autograd.grad((view * view).sum() + x.sum(), [view, x])


@programs.gives([["torch.float64", [2], False], ["torch.float32", [1, 1], False]])
def types_and_shapes(torch):
    x = torch.tensor([1.0, 2.0], dtype=torch.float64, requires_grad=True)
    w = torch.tensor([[3.0]], requires_grad=True)
    gradients = torch.autograd.grad((x * w).sum(), [x, w])
    return [(str(g.dtype), list(g.shape), g.requires_grad) for g in gradients]


@programs.gives([[3.0, 12.0, 27.0], False, True])
def under_no_grad(torch):
    x = leaf(torch)
    y = (x**3).sum()
    with torch.no_grad():
        (plain,) = torch.autograd.grad(y, x, retain_graph=True)
        (recorded,) = torch.autograd.grad(y, x, create_graph=True)
    return plain, plain.requires_grad, recorded.requires_grad


# --- unused inputs ----------------------------------------------------------------------------------------------------


@programs.gives([[2.0, 4.0, 6.0], None])
def an_unused_input_gives_none(torch):
    x, other = leaf(torch), leaf(torch)
    return torch.autograd.grad((x * x).sum(), [x, other], allow_unused=True)


@programs.gives([[[2.0, 4.0, 6.0], [[0.0], [0.0]]], "torch.float64", False])
def an_unused_input_gives_zeros_where_asked(torch):
    x, other = leaf(torch), torch.ones(2, 1, dtype=torch.float64, requires_grad=True)
    gradients = torch.autograd.grad((x * x).sum(), [x, other], materialize_grads=True)
    return gradients, str(gradients[1].dtype), gradients[1].requires_grad


@programs.gives([[1.0, 1.0], None])
def one_of_several_results_that_is_unused(torch):
    x = torch.ones(2, 2, requires_grad=True)
    first, second = x.unbind()
    return torch.autograd.grad(first.sum(), [first, second], allow_unused=True)


@programs.gives([None])
def a_result_computed_from_the_input_is_unused(torch):
    x = leaf(torch)
    y = x * 2
    return torch.autograd.grad(x.sum(), [y], allow_unused=True)


# --- graphs -----------------------------------------------------------------------------------------------------------


@programs.gives([[32.0], [48.0], [48.0], [24.0]])
def orders_of_a_power(torch):
    x = leaf(torch, 2.0)
    y, orders = x**4, []
    for _ in range(4):
        (y,) = torch.autograd.grad(y.sum(), x, create_graph=True)
        orders.append(y.tolist())
    return orders


@programs.gives([[16.0, 16.0, 16.0], [144.0]])
def a_mixed_second_derivative(torch):
    x, w = leaf(torch), leaf(torch, 2.0)
    (first,) = torch.autograd.grad((x**2 * w**3).sum(), x, create_graph=True)
    return torch.autograd.grad(first.sum(), [x, w])


@programs.gives([[[2.0, 4.0, 6.0], [2.0, 4.0, 6.0]], [[2.0, 4.0, 6.0]]])
def the_graph_is_kept_where_asked(torch):
    x = leaf(torch)
    y = (x * x).sum()
    return [torch.autograd.grad(y, x, retain_graph=True)[0].tolist() for _ in range(2)], torch.autograd.grad(y, x)


@programs.gives(True)
def create_graph_keeps_it_unless_told_otherwise(torch):
    x = leaf(torch)
    y = (x * x).sum()
    torch.autograd.grad(y, x, create_graph=True)
    torch.autograd.grad(y, x, create_graph=True, retain_graph=False)
    try:
        torch.autograd.grad(y, x)
    except RuntimeError as error:
        return "second time" in str(error)


@programs.gives([[2.0, 4.0, 6.0]])
def only_the_visited_part_is_freed(torch):
    x, w = leaf(torch), leaf(torch)
    y, z = x * x, w * w
    total = y.sum() + z.sum()
    torch.autograd.grad(total, x)
    return torch.autograd.grad(z.sum(), w)


@programs.gives([[2.0, 20.0, 200.0], [2.0, 4.0, 6.0]])
def a_gradient_of_a_gradient_with_weights(torch):
    x, weights = leaf(torch), leaf(torch, 1.0, 10.0, 100.0)
    (first,) = torch.autograd.grad(x**2, x, weights, create_graph=True)
    return torch.autograd.grad(first.sum(), [x, weights])


@programs.gives([[96.0, 102.0, 40.0]])
def a_product_with_the_hessian_by_two_passes(torch):
    x, vector = leaf(torch), torch.tensor([1.0, -1.0, 2.0])
    (first,) = torch.autograd.grad((x[0] * x[1] * x[2]) ** 2, x, create_graph=True)
    return torch.autograd.grad(first, x, vector)


@programs.gives([True, False])
def zeros_for_what_is_unused_are_part_of_a_graph_that_is_made(torch):
    x, other = leaf(torch), leaf(torch)
    return tuple(
        torch.autograd.grad((x * x).sum(), other, create_graph=create_graph, materialize_grads=True)[0].requires_grad
        for create_graph in (True, False)
    )


# --- what is computed -------------------------------------------------------------------------------------------------


@pytest.fixture
def visited(monkeypatch):
    """The names of the nodes of operations that a backward pass visits."""
    names = []
    apply = OperationNode.apply

    def noting_apply(node, grad, **options):
        names.append(node.name())
        return apply(node, grad, **options)

    monkeypatch.setattr(OperationNode, "apply", noting_apply)
    return names


def test_only_what_leads_to_the_inputs_is_visited(visited):
    x, w = leaf(gradcli), leaf(gradcli)
    y = x.exp() + w.sin().cos()
    gradcli.autograd.grad(y.sum(), w)
    assert visited == ["SumBackward0", "AddBackward0", "CosBackward0", "SinBackward0"]


def test_nothing_is_visited_behind_an_input(visited):
    x = leaf(gradcli)
    y = x.exp()
    z = y.sin()
    gradcli.autograd.grad(z.sum(), y)
    assert visited == ["SumBackward0", "SinBackward0"]


def test_nothing_is_visited_for_an_unused_input(visited):
    x = leaf(gradcli)
    assert gradcli.autograd.grad(x.exp().sum(), leaf(gradcli), allow_unused=True) == (None,)
    assert visited == []


def test_a_frozen_branch_is_not_visited(visited):
    x, frozen = leaf(gradcli), gradcli.ones(3)
    (x.sin() * frozen.exp()).sum().backward()
    assert visited == ["SumBackward0", "MulBackward0", "SinBackward0"]


def test_backward_to_some_inputs_visits_what_they_need(visited):
    x, w = leaf(gradcli), leaf(gradcli)
    (x.exp() * w.sin()).sum().backward(inputs=[x])
    assert visited == ["SumBackward0", "MulBackward0", "ExpBackward0"]


def test_the_rule_of_an_input_that_is_not_asked_for_is_not_run(monkeypatch):
    calls = []
    rules = gradcli.mul.operation.rules
    for name, rule in list(rules.items()):

        def counting(*args, name=name, function=rule.function, **options):
            calls.append(name)
            return function(*args, **options)

        monkeypatch.setitem(rules, name, type(rule)(rule.inputs, rule.parameters, counting, rule.joint, rule.fresh))
    monkeypatch.setattr(gradcli.mul.operation.gradient_rules, "_plans", {})
    x, w = leaf(gradcli), leaf(gradcli)
    gradcli.autograd.grad((x * w).sum(), w)
    assert calls == ["other"]
    gradcli.autograd.grad((x * w).sum(), [x, w])
    assert sorted(calls) == ["input", "other", "other"]


def test_gradients_returned_share_no_memory_with_each_other_or_the_graph():
    x, w = leaf(gradcli), leaf(gradcli)
    y = x + w
    first, second, third = gradcli.autograd.grad(y, [x, w, y], gradcli.ones(3))
    first.add_(10)
    assert second.tolist() == third.tolist() == [1.0, 1.0, 1.0]


@programs.each
def test_program(program):
    program.check(gradcli)


@pytest.mark.parity
@programs.each
def test_parity(program):
    program.check(pytest.importorskip("torch"))
