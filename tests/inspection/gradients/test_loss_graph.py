"""The graph of a loss: nodes, ways through it, where gradients arrive and where zeros begin."""

from __future__ import annotations

import gradcli
from gradcli.autograd.graph import Node
from gradcli.inspection.gradients.loss_graph import LossGraph


def names(nodes: list[Node]) -> list[str]:
    return [node.name() for node in nodes]


def test_the_shortest_way_to_a_leaf_and_what_uses_a_node() -> None:
    a = gradcli.tensor([1.0, 2.0], requires_grad=True)
    b = gradcli.tensor([3.0, 4.0], requires_grad=True)
    product = a * b
    loss = (product.exp().sin() + product).sum()
    graph = LossGraph(loss)
    assert graph.root is loss.grad_fn
    assert set(graph.leaves) == {a, b}
    assert names(graph.way_from_loss(graph.leaves[a])) == [
        "SumBackward0",
        "AddBackward0",
        "MulBackward0",
        "AccumulateGrad",
    ]
    assert product.grad_fn is not None
    assert sorted(names(graph.users[product.grad_fn])) == ["AddBackward0", "ExpBackward0"]
    assert graph.nodes_leading_to([b]) == set(graph.nodes) - {graph.leaves[a]}


def test_where_gradients_arrive_and_where_they_end() -> None:
    a = gradcli.tensor([1.0, 2.0], requires_grad=True)
    zero = gradcli.tensor([0.0, 0.0])
    inner = a.exp()
    scaled = inner * zero
    loss = (scaled + a * 0.0).sum()
    graph = LossGraph(loss)
    graph.backward(loss)
    leaf = graph.leaves[a]
    assert a.grad is not None
    assert a.grad.tolist() == [0.0, 0.0]
    assert not graph.is_brought_gradient(leaf)
    assert scaled.grad_fn is not None
    assert graph.is_brought_gradient(scaled.grad_fn)
    cuts, way = graph.last_reached(leaf, graph.is_brought_gradient)
    assert {(user.name(), receiver.name()) for user, receiver in cuts} == {
        ("MulBackward0", "AccumulateGrad"),
        ("MulBackward0", "ExpBackward0"),
    }
    assert way == [leaf]  # from the nearest of the cuts
    loss.backward()  # what was saved is still there


def test_gradients_that_are_not_finite_in_the_order_of_arrival() -> None:
    a = gradcli.tensor([1.0, 2.0], requires_grad=True)
    b = gradcli.tensor([1.0, 2.0], requires_grad=True)
    inner = a * 3.0
    loss = (inner * float("inf")).sum() + b.sum()
    graph = LossGraph(loss)
    graph.backward(loss)
    assert list(graph.nonfinite) == [inner.grad_fn, graph.leaves[a]]
    cuts, way = graph.last_reached(graph.leaves[a], lambda node: node not in graph.nonfinite)
    assert [(user.name(), receiver) for user, receiver in cuts] == [("MulBackward0", inner.grad_fn)]
    assert way == [inner.grad_fn, graph.leaves[a]]


def test_hooks_are_gone_after_backward() -> None:
    a = gradcli.tensor([1.0], requires_grad=True)
    loss = (a * 2).sum()
    graph = LossGraph(loss)
    graph.backward(loss)
    assert not any(node.hooks.pre for node in graph.nodes if node.hooks is not None)
    assert a.leaf_hooks is None or not a.leaf_hooks.pre


def test_zeros_begin_where_what_was_given_is_not_zero() -> None:
    a = gradcli.tensor([1.0, 2.0], requires_grad=True)
    dead = (a * -1.0).relu()
    after = dead * 3.0
    alive = after + a
    loss = alive.sum() + (after * 2.0).sum()
    graph = LossGraph(loss)
    assert dead.grad_fn is not None
    assert after.grad_fn is not None
    assert alive.grad_fn is not None
    known = {dead.grad_fn: True, alive.grad_fn: False}
    assert graph.where_zeros_begin(after.grad_fn, known) == [dead.grad_fn]
    assert graph.where_zeros_begin(dead.grad_fn, known) == [dead.grad_fn]
    assert graph.where_zeros_begin(alive.grad_fn, known) == []


def test_a_loss_without_a_graph_has_no_nodes() -> None:
    graph = LossGraph(gradcli.tensor(1.0))
    assert (graph.root, graph.nodes, graph.leaves) == (None, [], {})
