"""`gradcli expr --graph`: every format, and the options that it contradicts."""

from __future__ import annotations

import json
import xml.etree.ElementTree as ElementTree
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from PIL import Image

Run = Callable[..., Any]
COMMAND = ("expr", "Q = 3*a**3 - b**2", "-x", "a=2,3", "-x", "b=6,4", "--graph")
NAMES = ("PowBackward0", "MulBackward0", "SubBackward0", "Q", "a", "b")


def test_json_has_nodes_and_edges(gradcli: Run) -> None:
    document = json.loads(gradcli(*COMMAND, "--json").stdout)
    assert document["schema"] == "gradcli.expr.graph/1"
    assert document["expression"] == COMMAND[1]
    assert {node["variable"] for node in document["nodes"]} == {"a", "b", "Q", None}
    assert {(edge["source"], edge["target"]) for edge in document["edges"]} == {(0, 1), (1, 2), (3, 4), (2, 5), (4, 5)}


@pytest.mark.parametrize("format", ["tree", "dot", "mermaid", "svg"])
def test_texts_name_every_operation_and_variable(format: str, gradcli: Run) -> None:
    result = gradcli(*COMMAND, "--format", format)
    assert (result.exit_code, result.stderr) == (0, "")
    assert all(name in result.stdout for name in NAMES)
    assert (result.stdout == gradcli(*COMMAND).stdout) == (format == "tree")


def test_pictures(gradcli: Run) -> None:
    for name in ("q.svg", "q.png", "q.dot", "q.mmd"):
        assert gradcli(*COMMAND, "-o", name).exit_code == 0
    assert ElementTree.parse("q.svg").getroot().tag.endswith("svg")
    with Image.open("q.png") as picture:
        assert min(picture.size) > 100
    assert Path("q.dot").read_text().startswith("digraph")


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (["a", "--graph", "--check"], "--graph shows the graph alone; leave out the options that ask for derivatives"),
        (["a", "--graph", "--gradient", "1"], "--graph shows the graph alone"),
        (["a", "--graph", "--format", "npz"], "--format npz: this command writes tree, dot, mermaid, svg, png, json"),
        (["a", "--format", "svg"], "--format svg is one of the graph's; add --graph"),
        (["a > 1", "--graph"], "there is no graph: nothing that the result is computed from requires a gradient"),
    ],
)
def test_what_goes_with_no_graph(words: list[str], message: str, gradcli: Run) -> None:
    result = gradcli("expr", *words, "-x", "a=1,2")
    assert (result.exit_code, result.stdout) == (2, "")
    assert message in result.stderr
    assert result.stderr.count("\n") == 1
