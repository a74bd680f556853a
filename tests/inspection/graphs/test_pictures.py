"""Pictures and markup of graphs: everything in them, well-formed, and safe with any name."""

from __future__ import annotations

import io
import itertools
import re
from xml.etree import ElementTree

import numpy as np
import pytest
from inspection.graphs.example_graphs import block_graph, tutorial_graph
from PIL import Image

import gradcli
from gradcli.errors import UsageError
from gradcli.inspection.graphs.collapse import collapse
from gradcli.inspection.graphs.drawing import draw
from gradcli.inspection.graphs.labels import bytes_text
from gradcli.inspection.graphs.markup import dot_text, mermaid_text
from gradcli.inspection.graphs.palette import LIGHT, LIGHT_PAPER
from gradcli.inspection.graphs.png import png_bytes
from gradcli.inspection.graphs.recorded import RecordedGraph, recorded_graph
from gradcli.inspection.graphs.rendering import LOOKS, rendered
from gradcli.inspection.graphs.svg import svg_text

SVG = "{http://www.w3.org/2000/svg}"


def oddly_named_graph() -> RecordedGraph:
    a = gradcli.tensor(2.0, requires_grad=True)
    return recorded_graph(a * 3, {'a<b>&"#\\n;': a})


def pixels(graph: RecordedGraph) -> np.ndarray:
    return np.asarray(Image.open(io.BytesIO(png_bytes(draw(graph)))))


def color(text: str) -> list[int]:
    return [int(text[start : start + 2], 16) for start in (1, 3, 5)]


def test_dot() -> None:
    text = dot_text(tutorial_graph())
    assert text.startswith("digraph ")
    assert len(re.findall(r"^  n\d+ \[", text, re.MULTILINE)) == 6
    assert len(re.findall(r"^  n\d+ -> n\d+ \[label=\"2\"\];$", text, re.MULTILINE)) == 5
    assert r'label="Q\nSubBackward0"' in text


def test_mermaid() -> None:
    text = mermaid_text(collapse(block_graph(), 1))
    assert text.splitlines()[0] == "flowchart TD"
    assert '  n1["1<br/>Block<br/>40 parameters<br/>' in text
    assert '  n0 -->|"2x4"| n1' in text
    assert "classDef module fill:" in text
    assert "-.->" in mermaid_text(block_graph())  # to what backward skips


@pytest.mark.parametrize("name", LOOKS)
def test_any_name_of_a_leaf_is_shown_as_it_is(name: str) -> None:
    graph = oddly_named_graph()
    content = rendered(graph, name)
    if name == "dot":
        assert r"a<b>&\"#\\n;" in content
    elif name == "mermaid":
        assert r"a#lt;b#gt;#amp;#quot;#35;\n;" in content
    elif name == "svg":
        assert 'a<b>&"#\\n;' in [element.text for element in ElementTree.fromstring(content).iter(f"{SVG}text")]
    elif name == "png":
        assert content.startswith(b"\x89PNG")
    else:
        assert 'a<b>&"#\\n;' in content


def test_svg_has_every_node_and_edge() -> None:
    graph = collapse(block_graph(), 2)
    root = ElementTree.fromstring(svg_text(draw(graph)))
    texts = [element.text for element in root.iter(f"{SVG}text")]
    assert texts.count("1.relu (call 2)") == 1
    assert texts.count("2x4") == len(graph.edges)
    assert len(list(root.iter(f"{SVG}path"))) == len(graph.edges) + 1  # and the arrow's head
    assert not list(root.iter(f"{SVG}image"))
    assert not list(root.iter(f"{SVG}script"))
    # A path that ended where it stands would leave the direction of its head open.
    for path in root.iter(f"{SVG}path"):
        pieces = re.findall(r"[VC][^VCM]*", path.get("d", ""))
        ends = [piece.split(" ")[-1].strip("VC") for piece in pieces]
        assert all(before != after for before, after in itertools.pairwise(ends))


def test_png_has_the_colours_of_what_it_shows() -> None:
    shown = pixels(block_graph()).copy()
    for part in (LIGHT["leaf"].fill, LIGHT["frozen"].fill, LIGHT["skipped"].fill, LIGHT["result"].fill):
        assert (shown == color(part)).all(axis=2).any()
    assert (shown[0] == color(LIGHT_PAPER.background)).all()
    assert (pixels(tutorial_graph()) != color(LIGHT["frozen"].fill)).any(axis=2).all()


def test_png_is_twice_as_large_as_the_drawing() -> None:
    drawing = draw(tutorial_graph())
    image = Image.open(io.BytesIO(png_bytes(drawing)))
    assert image.size == tuple(int(np.ceil(2 * length)) for length in drawing.size)


def test_a_graph_too_large_for_pixels_is_refused() -> None:
    drawing = draw(tutorial_graph())
    with pytest.raises(UsageError, match="too large for png; take svg, or a smaller --depth"):
        png_bytes(drawing._replace(size=drawing.size._replace(height=1e6)))


def test_texts_lie_within_their_boxes() -> None:
    drawing = draw(block_graph())
    for text in drawing.texts:
        if text.style is not None:
            assert any(
                box.style == text.style
                and box.corner.x < text.place.x < box.corner.x + box.size.width
                and box.corner.y + text.size / 2 < text.place.y < box.corner.y + box.size.height - text.size / 2
                for box in drawing.boxes
            )


@pytest.mark.parametrize(
    ("count", "text"),
    [(0, "0 bytes"), (999, "999 bytes"), (1000, "1 kB"), (999_499, "999 kB"), (999_500, "1 MB"), (2.36e9, "2.36 GB")],
)
def test_sizes_in_words(count: int, text: str) -> None:
    assert bytes_text(count) == text
