"""A graph in each of the formats that one may look at."""

from __future__ import annotations

from gradcli.inspection.graphs.recorded import RecordedGraph

LOOKS = ("tree", "dot", "mermaid", "svg", "png")


def rendered(graph: RecordedGraph, format: str, width: int | None = None) -> str | bytes:
    """The graph in one of the formats `LOOKS`: text, or the bytes of a PNG file. A tree may have a `width` to keep to.

    UsageError for a graph that is too large for PNG.
    """
    # Each is imported when it is used: a tree needs no layout, a layout no Pillow.
    if format == "tree":
        from gradcli.inspection.graphs.tree import tree_text

        return tree_text(graph, width)
    if format in ("dot", "mermaid"):
        from gradcli.inspection.graphs.markup import dot_text, mermaid_text

        return dot_text(graph) if format == "dot" else mermaid_text(graph)
    from gradcli.inspection.graphs.drawing import draw

    if format == "svg":
        from gradcli.inspection.graphs.svg import svg_text

        return svg_text(draw(graph))
    if format == "png":
        from gradcli.inspection.graphs.png import png_bytes

        return png_bytes(draw(graph))
    raise ValueError(f"a graph has no form in the format {format!r}")
