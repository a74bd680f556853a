"""Collapsed graphs: which modules become nodes, and that nothing is lost or counted twice."""

from __future__ import annotations

import pytest
from inspection.graphs.example_graphs import block_graph

from gradcli.inspection.graphs.collapse import collapse
from gradcli.inspection.graphs.labels import state, title


def test_depth_0_is_the_graph_itself() -> None:
    graph = block_graph()
    assert collapse(graph, 0) is graph


def test_depth_1_has_the_models_own_modules() -> None:
    graph = collapse(block_graph(), 1)
    assert [(title(node), node.name, state(node)) for node in graph.nodes] == [
        ("0", "Linear", ""),
        ("1", "Block", "frozen"),
        ("2", "Block", ""),
        ("SumBackward0", "SumBackward0", ""),
    ]
    assert [(edge.source, edge.target, edge.shape) for edge in graph.edges] == [
        (0, 1, (2, 4)),
        (1, 2, (2, 4)),
        (2, 3, (2, 4)),
    ]
    assert [(node.parameters, node.trainable) for node in graph.nodes] == [(20, 20), (40, 0), (40, 40), (0, 0)]


def test_depth_2_opens_the_blocks_and_tells_calls_of_one_module_apart() -> None:
    graph = collapse(block_graph(), 2)
    titles = [title(node) for node in graph.nodes]
    assert titles[:6] == ["0", "1.first", "1.relu", "1.second", "AddBackward0", "1.relu (call 2)"]
    assert {(titles[edge.source], titles[edge.target]) for edge in graph.edges if edge.target < 6} == {
        ("0", "1.first"),
        ("1.first", "1.relu"),
        ("1.relu", "1.second"),
        ("1.second", "AddBackward0"),
        ("0", "AddBackward0"),
        ("AddBackward0", "1.relu (call 2)"),
    }


@pytest.mark.parametrize("depth", [1, 2, 3, 9])
def test_nothing_is_lost(depth: int) -> None:
    whole = block_graph()
    graph = collapse(whole, depth)
    assert sum(node.operations for node in graph.nodes) == sum(node.operations for node in whole.nodes)
    assert sum(node.parameters for node in graph.nodes) == 100
    assert graph.saved_bytes == whole.saved_bytes <= sum(node.saved_bytes for node in graph.nodes)
    assert [node.id for node in graph.nodes] == list(range(len(graph.nodes)))
    assert all(edge.source < edge.target for edge in graph.edges)


def test_a_module_is_skipped_only_if_all_of_it_is() -> None:
    whole = block_graph()
    skipped = [node.variable for node in whole.nodes if node.skipped]
    assert sorted(filter(None, skipped)) == ["1.first.bias", "1.first.weight", "1.second.bias", "1.second.weight"]
    assert not any(node.skipped for node in collapse(whole, 1).nodes)  # gradients go through it to the layer above
