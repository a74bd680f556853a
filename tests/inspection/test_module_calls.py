"""The calls of modules, and the nodes that were made in each."""

from __future__ import annotations

from typing import Any

import numpy as np

from gradcli import nn, no_grad
from gradcli.autograd import Tensor
from gradcli.inspection.module_calls import recorded_module_calls


class Block(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.linear = nn.Linear(3, 3)
        self.relu = nn.ReLU()

    def forward(self, x: Tensor) -> Any:
        return self.relu(self.relu(self.linear(x)) + x) * 2


class Network(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.block = Block()
        self.head = nn.Linear(3, 2)

    def forward(self, x: Tensor) -> Any:
        x = self.block(x)
        with no_grad():
            self.head(x)
        return {"scores": [self.head(x.detach()), self.head(x)]}


def test_nodes_belong_to_the_innermost_call() -> None:
    model = Network()
    with recorded_module_calls(model, keep_results=True) as calls:
        scores = model(Tensor(np.ones((2, 3), np.float32)))["scores"]
    assert [calls.label(call) for call in calls.calls] == [
        "block.linear",
        "block.relu#1",
        "block.relu#2",
        "block",
        "head#1",
        "head#2",
        "head#3",
        "model",
    ]
    assert [(call.takes_gradients, call.records) for call in calls.calls[-4:-1]] == [
        (True, False),
        (False, True),
        (True, True),
    ]
    assert calls.calls[0].takes_gradients is False
    node, way = scores[1].grad_fn, []
    while node is not None:
        way.append((node.name(), calls.place(node)))
        following = [edge.node for edge in node.edges if edge is not None and edge.node.edges]
        node = following[0] if following else None
        if node is not None and node.name() == "TBackward0":
            node = following[1] if len(following) > 1 else None
    assert way == [
        ("AddmmBackward0", "head#3"),
        ("MulBackward0", "block"),
        ("ReluBackward0", "block.relu#2"),
        ("AddBackward0", "block"),
        ("ReluBackward0", "block.relu#1"),
        ("AddmmBackward0", "block.linear"),
    ]
    np.testing.assert_array_equal(calls.results[scores[0].grad_fn].array, scores[0].array)


def test_what_modules_are_given_is_kept_if_asked_for() -> None:
    model = Network()
    with recorded_module_calls(model, keep_arguments=True) as calls:
        scores = model(Tensor(np.ones((2, 3), np.float32)))["scores"]
    assert calls.results == {}
    places = [(node.name(), calls.place(node)) for node in calls.arguments]
    assert places == [("AddmmBackward0", "block.linear"), ("AddBackward0", "block"), ("MulBackward0", "block")]
    total = list(calls.arguments.values())[1]
    block = list(calls.arguments.values())[2]
    np.testing.assert_array_equal(block.array, np.maximum(total.array, 0) * 2)
    assert scores[1].grad_fn is not None


def test_calls_are_one_within_the_other() -> None:
    model = Network()
    with recorded_module_calls(model) as calls:
        scores = model(Tensor(np.ones((2, 3), np.float32)))["scores"]
        with calls.call("loss", "sum"):
            loss = scores[1].sum()
    last = model.block.relu(scores[1])
    assert [call.module for call in calls.around(scores[1].grad_fn)] == ["", "head"]
    assert [(call.module, call.type, call.number) for call in calls.around(loss.grad_fn)] == [("loss", "sum", 1)]
    (product,) = (edge.node for edge in scores[1].grad_fn.edges if edge is not None and edge.node.name()[:3] == "Mul")
    relu = product.edges[0].node
    assert [(call.module, call.type, call.number) for call in calls.around(relu)] == [
        ("", "Network", 1),
        ("block", "Block", 1),
        ("block.relu", "ReLU", 2),
    ]
    assert calls.innermost(relu) is calls.around(relu)[-1]
    assert calls.around(last.grad_fn) == ()
    assert calls.innermost(last.grad_fn) is None
    assert calls.place(last.grad_fn) == "loss"


def test_modules_are_as_before_afterwards_and_results_are_kept_on_demand_only() -> None:
    model = Network()
    model.head.__dict__["forward"] = own_forward = model.head.forward
    with recorded_module_calls(model) as calls:
        model(Tensor(np.ones((2, 3), np.float32)))
    assert calls.results == {}
    assert model.head.__dict__["forward"] is own_forward
    assert not any("forward" in module.__dict__ for module in model.modules() if module is not model.head)
    before = len(calls.calls)
    model(Tensor(np.ones((2, 3), np.float32)))
    assert len(calls.calls) == before
