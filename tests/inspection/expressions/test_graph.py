"""The graph of an expression: operations in PyTorch's names, variables and results in the expression's."""

from __future__ import annotations

from collections.abc import Sequence

import pytest

from gradcli.autograd.dtypes import float32
from gradcli.errors import UsageError
from gradcli.inspection.expressions import parse_expression, read_variables
from gradcli.inspection.expressions.graph import record_expression_graph
from gradcli.inspection.graphs.recorded import RecordedGraph
from gradcli.ops.random import manual_seed


def graph_of(text: str, given: Sequence[str], no_grad: Sequence[str] = ()) -> RecordedGraph:
    manual_seed(0)
    return record_expression_graph(parse_expression(text), read_variables(given, no_grad, float32), float32)


def test_the_tutorials_picture() -> None:
    graph = graph_of("Q = 3*a**3 - b**2", ["a=2,3", "b=6,4"])
    assert [(node.name, node.variable, node.kind) for node in graph.nodes] == [
        ("AccumulateGrad", "a", "leaf"),
        ("PowBackward0", None, "operation"),
        ("MulBackward0", None, "operation"),
        ("AccumulateGrad", "b", "leaf"),
        ("PowBackward0", None, "operation"),
        ("SubBackward0", "Q", "operation"),
    ]
    assert [(edge.source, edge.target) for edge in graph.edges] == [(0, 1), (1, 2), (3, 4), (2, 5), (4, 5)]
    assert not any(node.skipped or node.frozen for node in graph.nodes)
    assert graph.saved_bytes == 2 * 2 * 4  # a and b, for the gradients of the powers


def test_what_leads_to_a_variable_without_gradient_is_skipped() -> None:
    graph = graph_of("y = b**2; Q = a*y", ["a=2,3", "b=6.,4."], ["b"])
    assert {node.variable: (node.frozen, node.skipped) for node in graph.nodes} == {
        "a": (False, False),
        "b": (True, True),
        "y": (False, True),
        "Q": (False, False),
    }
    assert [edge.skipped for edge in graph.edges if edge.target == graph.nodes[-1].id] == [False, True]


def test_both_recordings_draw_the_same_numbers() -> None:
    assert len(graph_of("m = rand(3) > 0.5; a[m].sum()", ["a=1,2,3", "c=1."], ["c"]).nodes) == 3


@pytest.mark.parametrize(
    ("text", "given", "no_grad"), [("2**10", [], []), ("a > 1", ["a=2"], []), ("a", ["a=2"], ["a"])]
)
def test_without_gradients_there_is_no_graph(text: str, given: list[str], no_grad: list[str]) -> None:
    with pytest.raises(UsageError, match="there is no graph: nothing that the result is computed from requires"):
        graph_of(text, given, no_grad)
