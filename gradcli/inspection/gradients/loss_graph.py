"""The graph that a loss leads to, down to parameters, and the gradients that backward brought where."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping

import numpy as np

from gradcli.autograd import Tensor
from gradcli.autograd.accumulate_grad import AccumulateGrad
from gradcli.autograd.graph import Node
from gradcli.autograd.hooks import NodeHook


class LossGraph:
    """The nodes that a loss leads to, and how.

    `users` are the nodes whose gradient goes to a node, `towards_loss` the one of them on the shortest way, and
    `leaves` the nodes where the gradients of leaves arrive, by the leaf. `nonfinite` are, after `backward`, the nodes
    that a gradient with NaN or infinity arrived at, in the order of arrival; their values are nothing.
    """

    def __init__(self, loss: Tensor) -> None:
        self.root = loss.grad_fn
        self.users: dict[Node, list[Node]] = {}
        self.towards_loss: dict[Node, Node] = {}
        self.leaves: dict[Tensor, Node] = {}
        self.nonfinite: dict[Node, None] = {}
        self._brought: set[Node] = set()
        nodes = [] if self.root is None else [self.root]
        for node in nodes:  # grows on the way: breadth first
            if isinstance(node, AccumulateGrad):
                self.leaves[node.variable] = node
            for edge in node.edges:
                if edge is None:
                    continue
                if edge.node not in self.users:
                    self.users[edge.node] = []
                    self.towards_loss[edge.node] = node
                    nodes.append(edge.node)
                self.users[edge.node].append(node)
        self.nodes = nodes

    def backward(self, loss: Tensor) -> None:
        """Run backward, and note where nonzero and nonfinite gradients arrive. What the nodes saved is kept."""
        handles = [node.register_prehook(self._observer(node)) for node in self.nodes]
        try:
            loss.backward(retain_graph=True)
        finally:
            for handle in handles:
                handle.remove()

    def is_brought_gradient(self, node: Node) -> bool:
        """Whether a gradient arrived there that is not zero everywhere; NaN is not zero."""
        return node in self._brought

    def way_from_loss(self, node: Node) -> list[Node]:
        """The nodes of the shortest way from the loss to this node, both included."""
        way = [node]
        while way[-1] is not self.root:
            way.append(self.towards_loss[way[-1]])
        return way[::-1]

    def last_reached(
        self, node: Node, is_reached: Callable[[Node], bool]
    ) -> tuple[list[tuple[Node, Node]], list[Node]]:
        """Where the gradient of a node that no gradient of use reaches got lost, on all ways from the loss to there.

        Pairs of a node that is still reached, as `is_reached` has it, and the next one, which is not; the nearest to
        `node` first. And the way from the first of these second nodes to `node`.
        """
        cuts: list[tuple[Node, Node]] = []
        towards_node: dict[Node, Node] = {}
        waiting, seen = [node], {node}
        for current in waiting:
            for user in self.users.get(current, []):
                if is_reached(user):
                    cuts.append((user, current))
                elif user not in seen:
                    seen.add(user)
                    towards_node[user] = current
                    waiting.append(user)
        way = [cuts[0][1]] if cuts else [node]
        while way[-1] is not node:
            way.append(towards_node[way[-1]])
        return cuts, way

    def nodes_leading_to(self, leaves: Iterable[Tensor]) -> set[Node]:
        """The nodes from which backward reaches one of the leaves."""
        leading = {self.leaves[leaf] for leaf in leaves if leaf in self.leaves}
        for node in sorted(self.nodes, key=lambda node: node.sequence_number):  # what a node leads to comes before it
            if any(edge is not None and edge.node in leading for edge in node.edges):
                leading.add(node)
        return leading

    def where_zeros_begin(self, node: Node, only_zeros: Mapping[Node, bool]) -> list[Node]:
        """The nodes whose results are zero everywhere though what they were given is not, on whose zeros `node` builds.

        `only_zeros` tells for some nodes whether their result is zero; that of another is if all that it was given is.
        """
        zero: set[Node] = set()
        for each in sorted(self.nodes, key=lambda each: each.sequence_number):  # what it was given comes before it
            given = [edge.node for edge in each.edges if edge is not None]
            if only_zeros.get(each, bool(given) and zero.issuperset(given)):
                zero.add(each)
        waiting = [node] if node in zero else []
        first = []
        for each in waiting:
            given = [edge.node for edge in each.edges if edge is not None and edge.node in zero]
            waiting += [before for before in given if before not in waiting]
            if not given:
                first.append(each)
        return first

    def _observer(self, node: Node) -> NodeHook:
        def observe(gradients: tuple[Tensor | None, ...]) -> None:
            arrays = [gradient.array for gradient in gradients if gradient is not None]
            if any(np.any(array) for array in arrays):
                self._brought.add(node)
            if not all(np.isfinite(array).all() for array in arrays):
                self.nonfinite[node] = None

        return observe
