"""A graph as lines of text: from the result back to the leaves, as backward goes.

A node's only input stands below it without indentation, so that a chain stays a column. Where paths part, each is a
branch; where they meet again, the node that they meet at stands below all of them, and `↳` refers to it.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import NamedTuple

from gradcli.inspection.graphs.labels import bytes_text, saved_text, shapes_text, state, subtitle, title
from gradcli.inspection.graphs.recorded import GraphNode, RecordedGraph

COLUMN_GAP = "  "


class _Column(NamedTuple):
    """A column to the right of the tree; where there is no room, those with the highest number go first."""

    heading: str
    text: Callable[[GraphNode], str]
    is_number: bool = False
    optional: int = 0


COLUMNS = (
    _Column("kind", subtitle, optional=2),
    _Column("shape", lambda node: shapes_text(node.shapes)),
    _Column("parameters", lambda node: f"{node.parameters:,}" if node.parameters else "", True, optional=1),
    _Column("saved", lambda node: bytes_text(node.saved_bytes) if node.saved_bytes else "", True),
    _Column(
        "of leaves",
        lambda node: bytes_text(node.saved_bytes_of_leaves) if node.saved_bytes_of_leaves else "",
        True,
        optional=3,
    ),
    _Column("gradients", state),
)


class _Line(NamedTuple):
    """A node behind what joins it to the tree; a `reference` is to a node that has a line elsewhere."""

    prefix: str
    node: int
    reference: bool


def tree_text(graph: RecordedGraph, width: int | None = None) -> str:
    """The graph as aligned columns: the tree, what each node is, shape, parameters, saved bytes, frozen or skipped.

    A column in which nothing stands is left out, and with a `width` those that the terminal has no room for. The last
    line tells how much is saved in all.
    """
    names = _names(graph)
    lines = list(_lines(graph))
    tree = [line.prefix + ("↳ " if line.reference else "") + names[line.node] for line in lines]
    columns = {
        column: _aligned(column, ["" if line.reference else column.text(graph.nodes[line.node]) for line in lines])
        for column in COLUMNS
    }
    shown = [column for column in COLUMNS if any(text.strip() for text in columns[column][1:])]
    indent = max(map(len, tree))
    for column in sorted((column for column in shown if column.optional), key=lambda column: -column.optional):
        if width is None or indent + sum(len(COLUMN_GAP + columns[each][0]) for each in shown) <= width:
            break
        shown.remove(column)
    rows = zip(["", *tree], *(columns[column] for column in shown), strict=True)
    text = "".join(COLUMN_GAP.join([first.ljust(indent), *cells]).rstrip() + "\n" for first, *cells in rows)
    return f"{text}\n{saved_text(graph)}\n"


def _aligned(column: _Column, texts: Sequence[str]) -> list[str]:
    """The column's heading and texts, all of the same width."""
    width = max(map(len, [column.heading, *texts]))
    return [text.rjust(width) if column.is_number else text.ljust(width) for text in [column.heading, *texts]]


def _names(graph: RecordedGraph) -> list[str]:
    """The nodes' titles, with the number of a node that references could mistake for another."""
    titles = [title(node) for node in graph.nodes]
    counts = Counter(titles)
    users = Counter(source for source, _ in {(edge.source, edge.target) for edge in graph.edges})
    return [
        f"{name} #{node.id}" if counts[name] > 1 and users[node.id] > 1 else name
        for name, node in zip(titles, graph.nodes, strict=True)
    ]


def _lines(graph: RecordedGraph) -> Iterator[_Line]:
    inputs, users = _neighbours(graph)
    gate = _gates(graph, users)
    meeting: dict[int, list[int]] = {}  # by the node below which paths part that meet there again
    for node in reversed(range(len(graph.nodes) - 1)):
        if len(users[node]) > 1:
            meeting.setdefault(gate[node], []).append(node)
    # A stack, as expressions may be nested deeper than Python's functions. With each line the prefix of those below.
    waiting = [(_Line("", len(graph.nodes) - 1, False), "")]
    while waiting:
        line, prefix = waiting.pop()
        yield line
        if line.reference:
            continue
        # Where paths meet, the paths refer to the node: it comes below all of them.
        branches = [(source, len(users[source]) > 1) for source in inputs[line.node]]
        below = [(node, False) for node in meeting.get(line.node, ())]
        apart = [branch for branch in branches if not _is_of_parameters(graph, inputs, branch[0], line.node)]
        if not below and (len(branches) == 1 or len(apart) == 1):
            below = apart or branches
            branches = [branch for branch in branches if branch not in below]
        following = []
        for place, (source, reference) in enumerate(branches, start=1):
            is_last = place == len(branches) and not below
            joint, continued = ("└─ ", "   ") if is_last else ("├─ ", "│  ")
            following.append((_Line(prefix + joint, source, reference), prefix + continued))
        following += [(_Line(prefix, node, reference), prefix) for node, reference in below]
        waiting += reversed(following)


def _is_of_parameters(graph: RecordedGraph, inputs: Mapping[int, list[int]], source: int, user: int) -> bool:
    """Whether it is a parameter of a module, or in the user's own module made of nothing else: transposed, say."""
    node = graph.nodes[source]
    if node.kind == "leaf":
        return node.module is not None
    return node.calls == graph.nodes[user].calls and all(
        graph.nodes[each].kind == "leaf" and graph.nodes[each].module is not None for each in inputs[source]
    )


def _neighbours(graph: RecordedGraph) -> tuple[Mapping[int, list[int]], Mapping[int, list[int]]]:
    """The nodes that each node takes its inputs from, and those that use it, each once."""
    inputs: dict[int, list[int]] = {node.id: [] for node in graph.nodes}
    users: dict[int, list[int]] = {node.id: [] for node in graph.nodes}
    for edge in graph.edges:
        if edge.source not in inputs[edge.target]:
            inputs[edge.target].append(edge.source)
            users[edge.source].append(edge.target)
    return inputs, users


def _gates(graph: RecordedGraph, users: Mapping[int, list[int]]) -> dict[int, int]:
    """For each node but the result the last one that every path from the result to it goes through.

    Dominators, in the words of flow graphs. Users have higher numbers, so each is found from those found before.
    """
    result = len(graph.nodes) - 1
    gate = {result: result}
    steps = {result: 0}  # from gate to gate up to the result
    for node in reversed(range(result)):
        common, *others = users[node]
        for other in others:
            while common != other:
                if steps[common] >= steps[other]:
                    common = gate[common]
                else:
                    other = gate[other]
        gate[node] = common
        steps[node] = steps[common] + 1
    return gate
