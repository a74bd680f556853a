"""What pictures and trees write about a node: its title, details, state, and sizes in words."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Literal

from gradcli.inspection.graphs.recorded import GraphEdge, GraphNode, RecordedGraph

Style = Literal["leaf", "frozen", "operation", "module", "result", "skipped"]

LEGEND: dict[Style, str] = {
    "result": "result",
    "module": "module",
    "operation": "operation",
    "leaf": "leaf that gets a gradient",
    "frozen": "leaf without gradient",
    "skipped": "backward skips it",
}


def title(node: GraphNode) -> str:
    """What the node is called: the name of its leaf or result, its module's path, or its operation."""
    if node.kind == "module":
        again = "" if node.module_call in (None, 1) else f" (call {node.module_call})"
        return f"{node.module}{again}"
    return node.variable or ("leaf" if node.kind == "leaf" else node.name)


def subtitle(node: GraphNode) -> str:
    """What the node is, as far as its title does not say so: a module's class, a named result's operation."""
    if node.kind == "leaf":
        return "parameter" if node.parameters else "leaf"
    return "" if title(node) == node.name else node.name


def shapes_text(shapes: Sequence[tuple[int, ...]]) -> str:
    """Shapes such as `1x64x32x32`; that of a single number is `scalar`."""
    return ", ".join("x".join(map(str, shape)) or "scalar" for shape in shapes)


def bytes_text(count: int) -> str:
    """A number of bytes in words, such as `2.36 MB`."""
    if count < 1000:
        return f"{count} bytes"
    value, unit = count / 1e3, "kB"
    for larger in ("MB", "GB"):
        if value >= 999.5:
            value, unit = value / 1e3, larger
    return f"{value:.3g} {unit}"


def state(node: GraphNode) -> str:
    """Whether the node is frozen, in part or whole, and whether backward skips it."""
    words = []
    if node.frozen:
        words.append("frozen" if node.parameters else "no gradient")
    elif node.trainable < node.parameters:
        words.append(f"{node.parameters - node.trainable:,} frozen")
    if node.skipped and not (node.frozen and node.kind == "leaf"):
        words.append("skipped")
    return ", ".join(words)


def details(node: GraphNode) -> list[str]:
    """The lines below a node's title in a picture."""
    lines = [subtitle(node)] if node.kind != "leaf" else [shapes_text(node.shapes)]
    if node.kind == "module" and node.parameters:
        lines.append(f"{node.parameters:,} parameters")
    if node.saved_bytes:
        lines.append(f"saves {bytes_text(node.saved_bytes)}")
    lines.append(state(node))
    return [line for line in lines if line]


def style(node: GraphNode, graph: RecordedGraph) -> Style:
    """How a picture shows the node."""
    if node.kind == "leaf":
        return "frozen" if node.frozen else "leaf"
    if node.skipped:
        return "skipped"
    if node.id == graph.nodes[-1].id:
        return "result"
    return "module" if node.kind == "module" else "operation"


def edge_text(edge: GraphEdge) -> str:
    """What stands at an edge: the tensor's shape."""
    return shapes_text([edge.shape])


def saved_text(graph: RecordedGraph) -> str:
    """How much is kept for backward, in words."""
    text = f"{bytes_text(graph.saved_bytes)} saved for backward"
    if graph.saved_bytes_of_leaves:
        text += f"; {bytes_text(graph.saved_bytes_of_leaves)} of it are leaves, which are there anyway"
    return text
