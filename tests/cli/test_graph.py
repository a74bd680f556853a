"""`gradcli graph`: formats and files, depths, what is frozen and skipped."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any
from xml.etree import ElementTree

import pytest
from terminal import Terminal, needs_terminal

Run = Callable[..., Any]

COMMON = ("-w", "random:0", "--shape", "2,3,33,33")


def test_json_has_every_operation(gradcli_json: Run) -> None:
    document = gradcli_json("graph", *COMMON, "--freeze", "conv1.weight", "--freeze", "layer4.*")
    assert document["schema"] == "gradcli.graph/1"
    assert (document["weights"], document["mode"], document["depth"]) == ("random:0", "train", 0)
    nodes, edges = document["nodes"], document["edges"]
    assert [node["id"] for node in nodes] == list(range(len(nodes)))
    assert sum(node["name"] == "ConvolutionBackward0" for node in nodes) == 20
    assert sum(node["parameters"] for node in nodes) == 11_689_512
    frozen = {node["variable"] for node in nodes if node["frozen"]}
    assert {"input", "conv1.weight", "layer4.0.conv1.weight"} <= frozen
    assert "layer3.0.conv1.weight" not in frozen
    skipped = [node for node in nodes if node["skipped"] and node["kind"] == "operation"]
    assert [(node["name"], node["module"], node["saved_bytes"]) for node in skipped] == [
        ("ConvolutionBackward0", "conv1", 0)
    ]
    into_bn1 = next(edge for edge in edges if edge["source"] == skipped[0]["id"])
    assert (into_bn1["shape"], into_bn1["skipped"]) == ([2, 64, 17, 17], True)
    assert set(nodes[0]) == {
        *("id", "kind", "name", "variable", "module", "module_call", "operations", "shapes", "dtype", "parameters"),
        *("trainable", "frozen", "skipped", "saved_bytes", "saved_bytes_of_leaves", "saved"),
    }
    assert set(edges[0]) == {"source", "target", "output_nr", "input_nr", "shape", "dtype", "skipped"}
    batch_norm = next(node for node in nodes if node["name"] == "NativeBatchNormBackward0")
    kept = {tensor["name"]: tensor for tensor in batch_norm["saved"]}
    assert (kept["input"]["shape"], kept["input"]["bytes"]) == ([2, 64, 17, 17], 4 * 2 * 64 * 17 * 17)
    assert kept["weight"]["memory_of"] == "bn1.weight"


def test_the_tree_shows_blocks_and_ends_with_what_is_saved(gradcli: Run) -> None:
    result = gradcli("graph", *COMMON, "--freeze-backbone")
    assert result.exit_code == 0
    assert result.stderr.startswith("loss ")
    assert result.stderr.endswith(", train mode, exact kernels, 20 frozen batch norms keep their statistics\n")
    heading, *lines, blank, saved = result.stdout.splitlines()
    assert heading.split() == ["kind", "shape", "parameters", "saved", "of", "leaves", "gradients"]
    assert [line.split()[0] for line in lines][:6] == ["loss", "fc", "ViewBackward0", "avgpool", "layer4.1", "layer4.0"]
    assert lines[-1].split() == ["input", "leaf", "2x3x33x33", "no", "gradient"]
    assert lines[4].split() == ["layer4.1", "BasicBlock", "2x512x2x2", "4,720,640", "frozen,", "skipped"]
    assert blank == ""
    # Of the head alone: its input of two rows, and its weights, which both gradients of a product have a use for.
    assert saved == "2.05 MB saved for backward; 2.05 MB of it are leaves, which are there anyway"


@pytest.mark.parametrize(
    ("name", "beginning"),
    [
        ("g.dot", b"digraph "),
        ("g.mmd", b"flowchart TD\n"),
        ("g.svg", b"<svg "),
        ("g.png", b"\x89PNG"),
        ("g.json", b'{"schema": "gradcli.graph/1"'),
        ("g.txt", b"      "),
    ],
)
def test_the_format_follows_the_files_suffix(gradcli: Run, name: str, beginning: bytes) -> None:
    result = gradcli("graph", *COMMON, "--depth", "1", "-o", name)
    assert (result.exit_code, result.stdout) == (0, "")
    assert result.stderr.count("\n") == (name != "g.json")
    assert Path(name).read_bytes().startswith(beginning)


def test_pictures_show_the_modules_of_the_depth(gradcli: Run) -> None:
    assert gradcli("graph", *COMMON, "--depth", "1", "-o", "1.svg").exit_code == 0
    texts = [element.text for element in ElementTree.parse("1.svg").iter("{http://www.w3.org/2000/svg}text")]
    assert {"input", "conv1", "layer1", "layer4", "fc", "loss", "9,408 parameters", "2x64x17x17"} <= set(texts)
    assert not {"layer1.0", "ConvolutionBackward0", "conv1.weight"} & set(texts)


def test_every_parameter_may_be_frozen(gradcli_json: Run) -> None:
    document = gradcli_json("graph", *COMMON, "--freeze", "*", "--mode", "eval")
    assert document["saved_bytes"] == 0
    assert all(node["skipped"] for node in document["nodes"])


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (("--depth", "-1"), "-1 is not in the range x>=0"),
        (("--format", "table"), "'table' is not one of 'tree', 'dot', 'mermaid', 'json', 'svg', 'png'"),
        (("-o", "g.csv"), ".csv is no format of this command"),
        (("--freeze", "layer9.*"), "--freeze 'layer9.*' matches no parameter"),
    ],
)
def test_wrong_usage_is_one_line_and_leaves_no_file(gradcli: Run, arguments: tuple[str, ...], message: str) -> None:
    result = gradcli("graph", *COMMON, *arguments)
    assert (result.exit_code, result.stdout) == (2, "")
    assert message in result.stderr
    assert result.stderr.count("\n") == 1
    assert list(Path().iterdir()) == []


@needs_terminal
def test_a_terminal_gets_the_columns_that_fit() -> None:
    program = ("-m", "gradcli", "graph")
    shown = Terminal(program, (*COMMON, "--depth", "1"), ("stdout",), columns=55).shown.decode()
    heading = shown.splitlines()[0].split()
    assert heading == ["shape", "saved", "gradients"]
    assert max(map(len, shown.splitlines()[:-1])) <= 60
