"""A graph in the languages of programs that draw graphs: DOT for Graphviz, and Mermaid for Markdown pages."""

from __future__ import annotations

from gradcli.inspection.graphs.labels import LEGEND, Style, details, edge_text, style, title
from gradcli.inspection.graphs.palette import LIGHT
from gradcli.inspection.graphs.recorded import RecordedGraph


def dot_text(graph: RecordedGraph) -> str:
    """The graph in DOT, for `dot -Tsvg` and the like: from the leaves down to the result."""
    lines = [
        "digraph graph_of_gradients {",
        '  node [shape=box, style="rounded,filled", fontname="Helvetica", fontsize=11];',
        '  edge [fontname="Helvetica", fontsize=9];',
    ]
    for node in graph.nodes:
        kind = style(node, graph)
        text = "\\n".join(_dot_escaped(line) for line in [title(node), *details(node)])
        dashes = ', style="rounded,filled,dashed"' if kind == "skipped" else ""
        lines.append(
            f'  n{node.id} [label="{text}", fillcolor="{LIGHT[kind].fill}", color="{LIGHT[kind].line}"{dashes}];'
        )
    for edge in graph.edges:
        dashes = ", style=dashed" if edge.skipped else ""
        lines.append(f'  n{edge.source} -> n{edge.target} [label="{edge_text(edge)}"{dashes}];')
    return "\n".join([*lines, "}"]) + "\n"


def mermaid_text(graph: RecordedGraph) -> str:
    """The graph as a Mermaid flowchart, from the leaves down to the result."""
    lines = ["flowchart TD"]
    used: set[Style] = set()
    for node in graph.nodes:
        kind = style(node, graph)
        used.add(kind)
        text = "<br/>".join(_mermaid_escaped(line) for line in [title(node), *details(node)])
        lines.append(f'  n{node.id}["{text}"]:::{kind}')
    for edge in graph.edges:
        arrow = "-.->" if edge.skipped else "-->"
        lines.append(f'  n{edge.source} {arrow}|"{edge_text(edge)}"| n{edge.target}')
    for kind in LEGEND:
        if kind in used:
            colors = LIGHT[kind]
            dashes = ",stroke-dasharray:4" if kind == "skipped" else ""
            lines.append(f"  classDef {kind} fill:{colors.fill},stroke:{colors.line},color:{colors.text}{dashes}")
    return "\n".join(lines) + "\n"


def _dot_escaped(text: str) -> str:
    return text.replace("\\", "\\\\").replace('"', '\\"')


def _mermaid_escaped(text: str) -> str:
    # Mermaid takes `#` for the beginning of a character's code, and HTML for HTML.
    for character, code in (("#", "#35;"), ("&", "#amp;"), ('"', "#quot;"), ("<", "#lt;"), (">", "#gt;")):
        text = text.replace(character, code)
    return text
