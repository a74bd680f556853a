"""A graph in which modules stand for what they did: one node for each of their calls, down to a depth."""

from __future__ import annotations

from collections.abc import Hashable, Mapping, Sequence
from dataclasses import replace

from gradcli.inspection.graphs.recorded import GraphEdge, GraphNode, RecordedGraph
from gradcli.inspection.graphs.saved import bytes_of_leaves, distinct_bytes
from gradcli.inspection.module_calls import ModuleCall

Calls = tuple[ModuleCall, ...]


def collapse(graph: RecordedGraph, depth: int) -> RecordedGraph:
    """The graph with the modules at `depth` as nodes: 1 is the model's own children; 0 changes nothing.

    A module above that depth which has no modules inside becomes a node too. What is recorded outside of these, such
    as the addition of a residual block at depth 3, stays as it is. Edges within a module disappear.
    """
    if depth == 0:
        return graph
    containers = {node.calls[:length] for node in graph.nodes for length in range(len(node.calls))}
    members: dict[Hashable, list[GraphNode]] = {}
    for node in graph.nodes:
        members.setdefault(_group(node, depth, containers), []).append(node)
    # Edges lead to later nodes only: the calls of modules take turns, so their operations do, but their leaves may
    # have been recorded before, and are left out here.
    groups = sorted(members, key=lambda group: min(node.id for node in _operations(members[group])))
    number_of = {node.id: number for number, group in enumerate(groups) for node in members[group]}
    edges = _edges_between(graph, number_of)
    return replace(
        graph,
        nodes=tuple(_node(number, group, members[group], edges, graph) for number, group in enumerate(groups)),
        edges=tuple(edges),
    )


def _group(node: GraphNode, depth: int, containers: set[Calls]) -> Hashable:
    """What the node becomes a part of: a module's calls, or itself alone."""
    calls = node.calls[:depth]
    return calls if calls and (len(calls) == depth or calls not in containers) else node.id


def _operations(nodes: Sequence[GraphNode]) -> Sequence[GraphNode]:
    return [node for node in nodes if node.kind == "operation"] or nodes


def _edges_between(graph: RecordedGraph, number_of: Mapping[int, int]) -> list[GraphEdge]:
    """One edge for each tensor and module that takes it, however often it is taken inside."""
    found: dict[tuple[int, int, int], GraphEdge] = {}
    for edge in graph.edges:
        source, target = number_of[edge.source], number_of[edge.target]
        if source == target:
            continue
        key = (edge.source, edge.output_nr, target)
        skipped = edge.skipped and (key not in found or found[key].skipped)
        found[key] = replace(found.get(key, edge), source=source, target=target, skipped=skipped)
    return list(found.values())


def _node(
    number: int, group: Hashable, members: Sequence[GraphNode], edges: Sequence[GraphEdge], graph: RecordedGraph
) -> GraphNode:
    if not isinstance(group, tuple):
        return replace(members[0], id=number)
    call = group[-1]
    leaving = dict.fromkeys(edge.shape for edge in edges if edge.source == number)
    result = members[-1]
    is_result = graph.nodes[-1] in members
    parameters, trainable = sum(node.parameters for node in members), sum(node.trainable for node in members)
    saved = tuple(tensor for node in members for tensor in node.saved)
    return GraphNode(
        id=number,
        kind="module",
        name=call.type,
        variable=result.variable if is_result else None,
        module=call.module,
        module_call=call.number,
        operations=sum(node.operations for node in members),
        shapes=result.shapes if is_result else tuple(leaving),
        dtype=result.dtype,
        parameters=parameters,
        trainable=trainable,
        frozen=parameters > 0 and trainable == 0,
        skipped=all(node.skipped for node in members),
        saved_bytes=distinct_bytes(saved),
        saved_bytes_of_leaves=bytes_of_leaves(saved),
        saved=saved,
        calls=group,
    )
