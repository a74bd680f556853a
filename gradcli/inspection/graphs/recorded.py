"""The recorded graph as data: operations and leaves with what they keep for backward, and the tensors between them."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, fields
from typing import Any, Literal, TypeGuard

from gradcli.autograd import Tensor
from gradcli.autograd.accumulate_grad import AccumulateGrad, gradient_edge
from gradcli.autograd.graph import Edge, Node
from gradcli.errors import UsageError
from gradcli.inspection.graphs.saved import SavedTensor, bytes_of_leaves, distinct_bytes, saved_tensors
from gradcli.inspection.module_calls import ModuleCall, ModuleCalls
from gradcli.nn import Parameter

NodeKind = Literal["operation", "leaf", "module"]


@dataclass(frozen=True, kw_only=True)
class GraphNode:
    """An operation, a leaf, or a module that stands for all operations and leaves of one of its calls.

    `name` is that of the recorded node (`ConvolutionBackward0`, `AccumulateGrad`), of a module its class; `variable` is
    what the leaf or result is called. `shapes` are those of its results. `parameters` and `trainable` count numbers. A
    leaf is `frozen` if it requires no gradient, a module if it has parameters and none of them does. Backward does not
    visit what is `skipped`. `saved_bytes` counts saved tensors that share memory once; `saved_bytes_of_leaves` is the
    part of it that is there anyway, because it belongs to a named tensor: a parameter, a buffer or the input.
    """

    id: int
    kind: NodeKind
    name: str
    variable: str | None
    module: str | None
    module_call: int | None
    operations: int
    shapes: tuple[tuple[int, ...], ...]
    dtype: str
    parameters: int
    trainable: int
    frozen: bool
    skipped: bool
    saved_bytes: int
    saved_bytes_of_leaves: int
    saved: tuple[SavedTensor, ...]
    calls: tuple[ModuleCall, ...]

    def record(self) -> dict[str, Any]:
        """Its fields, without the calls that it was recorded in: `module` and `module_call` are the innermost."""
        return {field.name: getattr(self, field.name) for field in fields(self) if field.name != "calls"}


@dataclass(frozen=True, kw_only=True)
class GraphEdge:
    """A tensor on its way: result `output_nr` of the node `source`, taken by the node `target` as input `input_nr`.

    Its gradient goes the other way, unless the edge is `skipped`.
    """

    source: int
    target: int
    output_nr: int
    input_nr: int
    shape: tuple[int, ...]
    dtype: str
    skipped: bool


@dataclass(frozen=True, kw_only=True)
class RecordedGraph:
    """Nodes in the order in which they were recorded, so that every edge leads to a later one; the last is the result.

    The saved bytes count what several nodes save once.
    """

    nodes: tuple[GraphNode, ...]
    edges: tuple[GraphEdge, ...]
    saved_bytes: int
    saved_bytes_of_leaves: int


def recorded_graph(
    output: Tensor,
    names: Mapping[str, Tensor] | None = None,
    *,
    traced: Tensor | None = None,
    calls: ModuleCalls | None = None,
) -> RecordedGraph:
    """The graph that backward from `output` would go through, before it does.

    `names` say what tensors are called, leaves or results. `traced` is the result of the same computation, recorded
    while every leaf required a gradient: with it the graph also has what backward from `output` skips. `calls` tell
    what modules the nodes of `traced`, or without it of `output`, were recorded in. UsageError where nothing was
    recorded at all.
    """
    names = names or {}
    real = gradient_edge(output)
    root = real if traced is None else gradient_edge(traced)
    if root is None:
        raise UsageError("there is no graph: nothing that the result is computed from requires a gradient")
    nodes = _reachable(root.node)
    visited = _visited(root.node, None if real is None else real.node)
    saved = saved_tensors(visited, names)
    variable_of = _variables(nodes, visited, names)
    ids = {node: number for number, node in enumerate(nodes)}
    results = _results(nodes, root)
    calls_of = _calls(nodes, calls or ModuleCalls(), variable_of)
    return RecordedGraph(
        nodes=tuple(
            _graph_node(
                ids[node],
                node,
                results[node],
                variable_of.get(node),
                calls_of[node],
                node in visited,
                saved.get(node, ()),
            )
            for node in nodes
        ),
        edges=tuple(
            GraphEdge(
                source=ids[edge.node],
                target=ids[node],
                output_nr=edge.output_nr,
                input_nr=input_nr,
                shape=tuple(edge.shape),
                dtype=str(edge.dtype),
                skipped=node not in visited or visited[node].edges[input_nr] is None,
            )
            for node in nodes
            for input_nr, edge in enumerate(node.edges)
            if edge is not None
        ),
        saved_bytes=distinct_bytes(tensor for tensors in saved.values() for tensor in tensors),
        saved_bytes_of_leaves=bytes_of_leaves(tensor for tensors in saved.values() for tensor in tensors),
    )


def _reachable(root: Node) -> list[Node]:
    """The nodes that the root leads to, in the order in which they were recorded."""
    reached = {root}
    waiting = [root]
    while waiting:
        for edge in waiting.pop().edges:
            if edge is not None and edge.node not in reached:
                reached.add(edge.node)
                waiting.append(edge.node)
    return sorted(reached, key=lambda node: node.sequence_number)


def _visited(root: Node, real: Node | None) -> dict[Node, Node]:
    """The node that backward visits for each node of the traced graph, without those that it skips.

    Inputs keep their places in a node, whichever of them require gradients; so both graphs are walked side by side.
    """
    visited: dict[Node, Node] = {} if real is None else {root: real}
    waiting = list(visited.items())
    while waiting:
        node, real_node = waiting.pop()
        for edge, real_edge in zip(node.edges, real_node.edges, strict=True):
            if edge is not None and real_edge is not None and edge.node not in visited:
                visited[edge.node] = real_edge.node
                waiting.append((edge.node, real_edge.node))
    return visited


def _variables(nodes: Sequence[Node], visited: Mapping[Node, Node], names: Mapping[str, Tensor]) -> dict[Node, str]:
    """What the leaf, or the result, of each node is called."""
    leaves = {id(tensor): name for name, tensor in names.items()}
    traced_node = {real: node for node, real in visited.items()}
    named: dict[Node, str] = {
        node: leaves[id(node.variable)] for node in nodes if _is_leaf(node) and id(node.variable) in leaves
    }
    for name, tensor in names.items():
        if tensor.grad_fn is not None:
            named.setdefault(traced_node.get(tensor.grad_fn, tensor.grad_fn), name)
    return named


def _is_leaf(node: Node) -> TypeGuard[AccumulateGrad]:
    return isinstance(node, AccumulateGrad)


def _results(nodes: Sequence[Node], root: Edge) -> dict[Node, list[Edge]]:
    """Each node's results, as far as they are used: an edge that one of them is handed on by."""
    results: dict[Node, dict[int, Edge]] = {node: {} for node in nodes}
    for edge in (root, *(edge for node in nodes for edge in node.edges if edge is not None)):
        results[edge.node][edge.output_nr] = edge
    return {node: [edge for _, edge in sorted(found.items())] for node, found in results.items()}


def _calls(
    nodes: Sequence[Node], calls: ModuleCalls, variable_of: Mapping[Node, str]
) -> dict[Node, tuple[ModuleCall, ...]]:
    """The calls below the model's own that each node belongs to: a leaf to its owners', around its first use."""
    around = {node: tuple(call for call in calls.around(node) if call.module) for node in nodes if not _is_leaf(node)}
    for node in list(around):
        for edge in node.edges:
            if edge is not None and edge.node not in around:
                name = variable_of.get(edge.node, "")
                around[edge.node] = tuple(call for call in around[node] if name.startswith(f"{call.module}."))
    return {node: around.get(node, ()) for node in nodes}  # a result that is itself a leaf has no user


def _graph_node(
    number: int,
    node: Node,
    results: Sequence[Edge],
    variable: str | None,
    calls: tuple[ModuleCall, ...],
    visited: bool,
    saved: tuple[SavedTensor, ...],
) -> GraphNode:
    leaf = node.variable if _is_leaf(node) else None
    frozen = leaf is not None and not (visited and leaf.requires_grad)
    parameters = leaf.numel() if isinstance(leaf, Parameter) else 0
    return GraphNode(
        id=number,
        kind="operation" if leaf is None else "leaf",
        name=node.name(),
        variable=variable,
        module=calls[-1].module if calls else None,
        module_call=calls[-1].number if calls else None,
        operations=1 if leaf is None else 0,
        shapes=tuple(tuple(result.shape) for result in results),
        dtype=str(results[0].dtype),
        parameters=parameters,
        trainable=0 if frozen else parameters,
        frozen=frozen,
        skipped=not visited,
        saved_bytes=distinct_bytes(saved),
        saved_bytes_of_leaves=bytes_of_leaves(saved),
        saved=saved,
        calls=calls,
    )
