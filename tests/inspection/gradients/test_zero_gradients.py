"""Why a node hands only zeros on: the operand at fault, in words."""

from __future__ import annotations

from typing import Any

import pytest

import gradcli
from gradcli.autograd.graph import Node
from gradcli.inspection.gradients.zero_gradients import is_relu, why_zero


def label(node: Node) -> str:
    return node.name()


def receiver_of(node: Any, index: int = 0) -> Node:
    return node.edges[index].node


@pytest.mark.parametrize(
    ("values", "words"),
    [([-1.0, -2.0], "ReluBackward0 gives only zeros"), ([1.0, -2.0], "ReluBackward0 gives zero wherever a gradient")],
)
def test_relu(values: list[float], words: str) -> None:
    node: Any = gradcli.tensor(values, requires_grad=True).relu().grad_fn
    found, zeros = why_zero(node, receiver_of(node), label)
    assert is_relu(node)
    assert found.startswith(words)
    assert zeros is (node if "only" in found else None)


def test_a_factor_that_is_zero_is_named_by_its_origin() -> None:
    a = gradcli.tensor([[1.0, 2.0]], requires_grad=True)
    leaf = gradcli.tensor([[0.0, 0.0]], requires_grad=True)
    node: Any = (a @ leaf.t()).grad_fn
    assert why_zero(node, receiver_of(node), label) == ("AccumulateGrad is all zeros", None)
    computed = leaf.exp() - 1.0
    node = (a * computed).grad_fn
    assert why_zero(node, receiver_of(node), label) == ("the input of MulBackward0 is all zeros", computed.grad_fn)
    node = (a * gradcli.tensor([[0.0, 0.0]])).grad_fn
    assert why_zero(node, receiver_of(node), label) == ("other of MulBackward0 is all zeros", None)


def test_without_such_a_factor_the_node_is_named() -> None:
    node: Any = gradcli.tensor([1.5], requires_grad=True).floor().grad_fn
    assert not is_relu(node)
    assert why_zero(node, receiver_of(node), label) == (
        "the gradient that FloorBackward0 in FloorBackward0 hands on is zero",
        None,
    )
