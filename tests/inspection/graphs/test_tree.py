"""The tree: its exact text for small graphs."""

from __future__ import annotations

import pytest
from inspection.graphs.example_graphs import block_graph, tutorial_graph

import gradcli
from gradcli import nn
from gradcli.inspection.graphs.collapse import collapse
from gradcli.inspection.graphs.recorded import recorded_graph
from gradcli.inspection.graphs.tree import tree_text
from gradcli.inspection.module_calls import recorded_module_calls

TUTORIAL = """\
                 kind          shape    saved  of leaves
Q                SubBackward0  2
├─ MulBackward0                2
│  PowBackward0                2      8 bytes    8 bytes
│  a             leaf          2
└─ PowBackward0                2      8 bytes    8 bytes
   b             leaf          2

16 bytes saved for backward; 16 bytes of it are leaves, which are there anyway
"""

BLOCKS = """\
SumBackward0
2.relu (call 2)
AddBackward0
├─ 2.second
│  2.relu
│  2.first
│  ↳ 1.relu (call 2)
├─ ↳ 1.relu (call 2)
1.relu (call 2)
AddBackward0
├─ 1.second
│  1.relu
│  1.first
│  ↳ 0
├─ ↳ 0
0
"""


def test_the_tutorials_formula() -> None:
    assert tree_text(tutorial_graph()) == TUTORIAL


def test_paths_meet_below_their_branches() -> None:
    lines = tree_text(collapse(block_graph(), 2)).splitlines()[1:-2]
    end = max(map(len, BLOCKS.splitlines()))
    assert "".join(f"{line[:end].rstrip()}\n" for line in lines) == BLOCKS


def test_parameters_of_a_chain_are_its_only_branches() -> None:
    network = nn.Sequential(nn.Linear(2, 2), nn.ReLU(), nn.Linear(2, 2))
    with recorded_module_calls(network) as calls:
        result = network(gradcli.ones(1, 2)).sum()
    text = tree_text(recorded_graph(result, dict(network.named_parameters()), calls=calls))
    end = text.index("kind")
    assert [line[:end].rstrip() for line in text.splitlines()[1:-2]] == [
        "SumBackward0",
        "AddmmBackward0",
        "├─ 2.bias",
        "├─ TBackward0",
        "│  2.weight",
        "ReluBackward0",
        "AddmmBackward0",
        "├─ 0.bias",
        "└─ TBackward0",
        "   0.weight",
    ]


def test_nodes_of_one_name_are_numbered_where_references_need_it() -> None:
    a = gradcli.tensor([1.0], requires_grad=True)
    first = a.exp()
    second = first.exp()
    text = tree_text(recorded_graph(first * second, {"a": a}))
    assert [line.split("  ")[0] for line in text.splitlines()[1:6]] == [
        "MulBackward0",
        "├─ ↳ ExpBackward0 #1",
        "├─ ExpBackward0",
        "│",
        "ExpBackward0 #1",
    ]


@pytest.mark.parametrize(
    ("width", "columns"),
    [
        (None, ["kind", "shape", "saved", "of leaves"]),
        (60, ["kind", "shape", "saved", "of leaves"]),
        (50, ["kind", "shape", "saved"]),
        (36, ["shape", "saved"]),
        (5, ["shape", "saved"]),
    ],
)
def test_a_narrow_terminal_has_fewer_columns(width: int | None, columns: list[str]) -> None:
    heading, *lines = tree_text(tutorial_graph(), width).splitlines()
    assert [name for name in ("kind", "shape", "saved", "of leaves") if name in heading] == columns
    assert max(map(len, [heading, *lines[:-2]])) <= max(width or 60, 36)


def test_an_expression_nested_deeper_than_python_calls_has_a_tree() -> None:
    a = gradcli.tensor([1.0], requires_grad=True)
    b = gradcli.tensor([1.0], requires_grad=True)
    total = a
    for _ in range(1100):
        total = total * b.sin()
    assert tree_text(recorded_graph(total, {"a": a, "b": b})).count("MulBackward0") == 1100
