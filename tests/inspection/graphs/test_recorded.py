"""Recorded graphs: nodes and edges against PyTorch's, saved bytes by hand, skipped nodes against what backward does."""

from __future__ import annotations

import functools
from collections import Counter
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
from inspection.graphs.example_graphs import tutorial_graph

import gradcli
from gradcli import nn
from gradcli.autograd import Tensor
from gradcli.errors import UsageError
from gradcli.inspection.graphs.model_graph import record_model_graph
from gradcli.inspection.graphs.recorded import RecordedGraph, recorded_graph
from gradcli.training.passes import PassSettings, prepare

FORMULAS: list[Callable[[Any, Any, Any], Any]] = [
    lambda torch, a, b: 3 * a**3 - b**2,
    lambda torch, a, b: (a * a + a) * a.exp(),
    lambda torch, a, b: (a @ b).relu().sum(),
    lambda torch, a, b: torch.cat([a, b.t()]).log_softmax(1).mean(),
    lambda torch, a, b: (a[0] * b[:, 1]).sin(),
    lambda torch, a, b: torch.stack(a.split(2, 1)[::-1]).sum(0),
    lambda torch, a, b: a.detach() * b + a.view(-1)[3],
]


def as_nested(graph: RecordedGraph) -> Any:
    """The graph as tuples: a node's name, and what its inputs are."""
    inputs: dict[int, list[Any]] = {node.id: [] for node in graph.nodes}
    nested: dict[int, Any] = {}
    for edge in sorted(graph.edges, key=lambda edge: (edge.target, edge.input_nr)):
        inputs[edge.target].append((edge.source, edge.output_nr))
    for node in graph.nodes:
        nested[node.id] = (node.name, *((nested[source], output_nr) for source, output_nr in inputs[node.id]))
    return nested[graph.nodes[-1].id]


def as_nested_by_pytorch(node: Any) -> Any:
    return (node.name(), *((as_nested_by_pytorch(each), number) for each, number in node.next_functions if each))


@pytest.mark.parity
@pytest.mark.parametrize("number", range(len(FORMULAS)))
def test_nodes_and_edges_are_pytorchs(number: int) -> None:
    torch = pytest.importorskip("torch")
    values = np.random.default_rng(number).random((2, 4, 4), dtype=np.float32)
    ours = [gradcli.tensor(value, requires_grad=True) for value in values]
    theirs = [torch.tensor(value, requires_grad=True) for value in values]
    recorded = as_nested(recorded_graph(FORMULAS[number](gradcli, *ours)))
    expected = as_nested_by_pytorch(FORMULAS[number](torch, *theirs).grad_fn)
    assert str(recorded).replace("torch::autograd::", "") == str(expected).replace("torch::autograd::", "")


def test_the_tutorials_formula() -> None:
    graph = tutorial_graph()
    nodes = {node.id: node for node in graph.nodes}
    assert Counter((node.kind, node.name, node.variable) for node in graph.nodes) == {
        ("leaf", "AccumulateGrad", "a"): 1,
        ("leaf", "AccumulateGrad", "b"): 1,
        ("operation", "PowBackward0", None): 2,
        ("operation", "MulBackward0", None): 1,
        ("operation", "SubBackward0", "Q"): 1,
    }
    assert graph.nodes[-1].variable == "Q"
    assert all(edge.source < edge.target and edge.shape == (2,) and edge.dtype == "float32" for edge in graph.edges)
    assert {(nodes[edge.source].name, nodes[edge.target].name, edge.input_nr) for edge in graph.edges} == {
        ("AccumulateGrad", "PowBackward0", 0),
        ("PowBackward0", "MulBackward0", 0),
        ("MulBackward0", "SubBackward0", 0),
        ("PowBackward0", "SubBackward0", 1),
    }
    # Each power keeps its base, two float32, whose memory is the leaf's own.
    saved = {tensor.memory_of: tensor.bytes for node in graph.nodes for tensor in node.saved}
    assert saved == {"a": 8, "b": 8}
    assert (graph.saved_bytes, graph.saved_bytes_of_leaves) == (16, 16)


def test_what_nodes_share_counts_once() -> None:
    x = gradcli.tensor(np.ones((5, 3), np.float32), requires_grad=True)
    y = x.exp()  # keeps its result
    graph = recorded_graph((y * y[:2].sum()).sum(), {"x": x})  # which the product keeps too, beside a number
    kept = {(node.name, tensor.name): tensor for node in graph.nodes for tensor in node.saved}
    assert kept["ExpBackward0", "out"].storage == kept["MulBackward0", "input"].storage
    assert list(dict.fromkeys(tensor.storage for tensor in kept.values())) == [1, 2]
    assert graph.saved_bytes == 5 * 3 * 4 + 4
    assert graph.saved_bytes_of_leaves == 0


@pytest.mark.parity
@pytest.mark.parametrize("frozen", [(), ("0.weight", "0.bias"), ("2.weight",)])
def test_saved_bytes_beside_leaves_are_pytorchs(frozen: tuple[str, ...]) -> None:
    torch = pytest.importorskip("torch")

    def network(library: Any) -> Any:
        return library.Sequential(library.Linear(6, 8), library.ReLU(), library.Linear(8, 3))

    rows = np.random.default_rng(3).random((5, 6), dtype=np.float32)
    pieces: dict[int, int] = {}

    def keep(tensor: Any) -> Any:
        pieces[tensor.data_ptr()] = tensor.numel() * tensor.element_size()
        return tensor

    theirs = network(torch.nn)
    for name, parameter in theirs.named_parameters():
        parameter.requires_grad = name not in frozen
    data = torch.tensor(rows)
    with torch.autograd.graph.saved_tensors_hooks(keep, lambda tensor: tensor):
        theirs(data).sum()
    model = network(nn)
    named = dict(model.named_parameters())
    for name, parameter in named.items():
        parameter.requires_grad = name not in frozen
    input = Tensor(rows)
    graph = recorded_graph(model(input).sum(), {"input": input, **named})
    leaves = {tensor.data_ptr() for tensor in (data, *theirs.parameters())}
    of_leaves = sum(size for place, size in pieces.items() if place in leaves)
    assert graph.saved_bytes - graph.saved_bytes_of_leaves == sum(pieces.values()) - of_leaves
    # A product of matrices keeps both here, whichever gradient is needed: of leaves, that takes no memory.
    assert graph.saved_bytes_of_leaves >= of_leaves


@pytest.mark.parametrize(
    "freeze",
    [[], [("freeze-backbone", "")], [("freeze", "conv1.*"), ("freeze", "bn1.*"), ("freeze", "layer2.0.*")]],
    ids=["nothing", "backbone", "some"],
)
def test_backward_visits_what_is_not_skipped_and_nothing_else(freeze: list[Any]) -> None:
    run = prepare(PassSettings(weights="random:0", shape=(2, 3, 33, 33), freeze=freeze))
    graph = record_model_graph(run).graph
    loss = run.loss(run.forward())
    visited: list[str] = []

    def note(name: str, gradients: Any) -> None:
        visited.append(name)

    nodes = [loss.grad_fn]
    for node in nodes:  # grows on the way
        nodes += [edge.node for edge in node.edges if edge is not None and edge.node not in nodes]
        node.register_prehook(functools.partial(note, node.name()))
    loss.backward()
    assert Counter(visited) == Counter(node.name for node in graph.nodes if not node.skipped)
    trains = {name for name, parameter in run.model.named_parameters() if parameter.grad is not None}
    leaves = {node.variable: node for node in graph.nodes if node.kind == "leaf"}
    assert {name for name, leaf in leaves.items() if not leaf.frozen} == trains
    assert set(leaves) == {name for name, _ in run.model.named_parameters()} | {"input"}
    assert all(node.saved_bytes == 0 for node in graph.nodes if node.skipped)


def test_recording_leaves_the_model_as_it_was() -> None:
    run = prepare(PassSettings(weights="random:0", shape=(2, 3, 33, 33), freeze=[("freeze", "layer1.*")]))
    before = {name: parameter.requires_grad for name, parameter in run.model.named_parameters()}
    recorded = record_model_graph(run)
    assert {name: parameter.requires_grad for name, parameter in run.model.named_parameters()} == before
    assert not run.data.requires_grad
    assert all("forward" not in module.__dict__ for module in run.model.modules())
    assert run.gradients() == {}
    assert recorded.loss == pytest.approx(run.loss(run.forward()).item(), rel=1e-6)


def test_modules_know_their_operations_and_parameters() -> None:
    run = prepare(PassSettings(weights="random:0", shape=(2, 3, 33, 33)))
    nodes = record_model_graph(run).graph.nodes
    assert [node.name for node in nodes if node.module == "layer2.0.downsample.0"] == [
        "AccumulateGrad",
        "ConvolutionBackward0",
    ]
    assert [(node.name, node.module_call) for node in nodes if node.module == "layer1.0.relu"] == [
        ("ReluBackward0", 1),
        ("ReluBackward0", 2),
    ]
    assert [node.name for node in nodes if node.module == "layer1.0"] == ["AddBackward0"]
    assert [node.name for node in nodes if node.module == "loss"] == ["SubBackward0", "SumBackward0"]
    assert sum(node.parameters for node in nodes) == sum(parameter.numel() for parameter in run.model.parameters())


def test_a_result_without_a_graph_is_refused() -> None:
    with pytest.raises(UsageError, match="there is no graph"):
        recorded_graph(gradcli.tensor([1.0]) * 2)


def test_a_graph_that_backward_has_freed_is_refused() -> None:
    x = gradcli.tensor([1.0], requires_grad=True)
    result = x.exp()
    result.backward()
    with pytest.raises(RuntimeError, match="backward through the graph a second time"):
        recorded_graph(result)


def test_a_leaf_alone_is_a_graph() -> None:
    x = gradcli.tensor([1.0, 2.0], requires_grad=True)
    (node,) = recorded_graph(x, {"x": x}).nodes
    assert (node.kind, node.variable, node.shapes, node.frozen) == ("leaf", "x", ((2,),), False)


def test_functions_of_ones_own_count_what_they_save() -> None:
    class Double(gradcli.autograd.Function):
        @staticmethod
        def forward(ctx: Any, x: Tensor) -> Any:
            ctx.save_for_backward(x, x * 2)
            return x * 2

        @staticmethod
        def backward(ctx: Any, grad: Tensor) -> Any:
            return grad * 2

    x = gradcli.tensor(np.ones(6, np.float64), requires_grad=True)
    node = recorded_graph(Double.apply(x), {"x": x}).nodes[-1]
    assert (node.name, node.saved_bytes, node.saved_bytes_of_leaves) == ("DoubleBackward", 96, 48)
    assert [tensor.name for tensor in node.saved] == ["0", "1"]
