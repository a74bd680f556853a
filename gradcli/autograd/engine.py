"""The backward pass: walks the recorded graph from results to leaves."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from collections.abc import Set as AbstractSet
from heapq import heappop, heappush
from typing import Any

import numpy as np

from gradcli.autograd.accumulate_grad import AccumulateGrad, gradient_edge
from gradcli.autograd.anomaly import AnomalyMode, check_gradients
from gradcli.autograd.dtypes import Size
from gradcli.autograd.grad_mode import set_grad_enabled
from gradcli.autograd.graph import Edge, Gradient, Node
from gradcli.autograd.operation import tensor_method
from gradcli.autograd.tensor import Tensor
from gradcli.deferred import settled
from gradcli.numpy_settings import quietly

Tensors = Tensor | Sequence[Tensor]
Place = tuple[Node, int]
"""A node and the number of one of its results: what a gradient belongs to."""


def backward(
    tensors: Tensors,
    grad_tensors: Tensor | Sequence[Tensor | None] | None = None,
    retain_graph: bool | None = None,
    create_graph: bool = False,
    inputs: Tensors | None = None,
) -> None:
    """Add to the `grad` of every leaf the gradient of `tensors`, weighted by `grad_tensors` (vector-Jacobian product).

    `grad_tensors` have the shapes of `tensors`; for a scalar it may be left out and is 1. The graph is freed on the
    way unless `retain_graph`, which is on by default with `create_graph`; that records the gradients themselves, so
    that they can be differentiated again. With `inputs`, only their `grad` is added to, leaves or not, and only what
    they need is computed. Meaning and errors as `torch.autograd.backward`.
    """
    roots = _listed(tensors)
    start = _start(roots, _weights(grad_tensors, len(roots)), create_graph)
    retain = create_graph if retain_graph is None else retain_graph
    if inputs is None:
        run_backward(start, retain_graph=retain, create_graph=create_graph)
        return
    chosen = _listed(inputs)
    if not chosen:
        raise RuntimeError("`inputs` argument to `backward()` cannot be empty.")
    places = _places(chosen)
    for tensor in chosen:
        if not tensor.is_leaf:
            tensor.retain_grad()  # and from now on, as in PyTorch
    run_backward(start, retain_graph=retain, create_graph=create_graph, places=set(places), accumulate=True)


@tensor_method("backward")
def _tensor_backward(
    self: Tensor,
    gradient: Tensor | None = None,
    retain_graph: bool | None = None,
    create_graph: bool = False,
    inputs: Tensors | None = None,
) -> None:
    """Add to the `grad` of every leaf the gradient of this tensor.

    For a tensor of more than one element, `gradient` is the vector v of the vector-Jacobian product, in this tensor's
    shape. The graph is freed unless `retain_graph`. See `gradcli.autograd.backward`.
    """
    backward([self], [gradient], retain_graph, create_graph, inputs)


def grad(
    outputs: Tensors,
    inputs: Tensors,
    grad_outputs: Tensor | Sequence[Tensor | None] | None = None,
    retain_graph: bool | None = None,
    create_graph: bool = False,
    allow_unused: bool | None = None,
    materialize_grads: bool = False,
) -> tuple[Tensor | None, ...]:
    """The gradients of `outputs`, weighted by `grad_outputs`, with respect to `inputs`, and no `grad` changes.

    Only what the inputs need is computed. An input that the outputs don't depend on is refused unless `allow_unused`,
    and then gives None, or zeros with `materialize_grads`. Meaning and errors as `torch.autograd.grad`.
    """
    if materialize_grads and allow_unused is False:
        raise ValueError(
            "Expected allow_unused to be True or not passed when materialize_grads=True, but got: allow_unused=False."
        )
    roots, chosen = _listed(outputs), _listed(inputs)
    if not chosen:
        raise RuntimeError("`inputs` argument to `grad()` cannot be empty.")
    start = _start(roots, _weights(grad_outputs, len(roots)), create_graph)
    retain = create_graph if retain_graph is None else retain_graph
    gradients = _gradients_at(start, chosen, retain_graph=retain, create_graph=create_graph)
    for index, gradient in enumerate(gradients):
        if gradient is None:
            if materialize_grads:
                gradients[index] = Tensor(np.zeros_like(chosen[index].array), requires_grad=create_graph)
            elif not allow_unused:
                raise RuntimeError(
                    f"The differentiated Tensor at index {index} appears to not have been used in the graph. Set "
                    "allow_unused=True if this is the desired behavior."
                )
    return tuple(gradients)


def run_backward(
    start: Sequence[tuple[Edge, Gradient]],
    *,
    retain_graph: bool,
    create_graph: bool,
    places: AbstractSet[Place] = frozenset(),
    accumulate: bool = False,
) -> Mapping[Place, Gradient]:
    """Visit every node that `start` leads to once, users before what they used, handing gradients on.

    A node's number is higher than those of the nodes it leads to, so a heap on these numbers is all the order needed:
    no recursion, and no counting of paths beforehand. With `places`, the gradients that arrive there are returned,
    instead of being added to leaves (unless `accumulate`), and only nodes on the way to one of them are visited.
    """
    wanted = _nodes_towards({node for node, _ in places}, [edge.node for edge, _ in start]) if places else None
    with set_grad_enabled(create_graph):
        return quietly(_visit, start, retain_graph, create_graph, wanted, places, accumulate)


def _visit(
    start: Sequence[tuple[Edge, Gradient]],
    retain_graph: bool,
    create_graph: bool,
    wanted: AbstractSet[Node] | None,
    places: AbstractSet[Place],
    accumulate: bool,
) -> Mapping[Place, Gradient]:
    pending: dict[Node, Gradient] = {}
    queue: list[tuple[int, Node]] = []
    found: dict[Place, Gradient] = {}

    def hand_over(shares: Sequence[tuple[Edge, Gradient]]) -> None:
        for (node, output_nr, _, _), share in shares:
            waiting = pending.get(node)
            if waiting is None:
                pending[node] = share if node.output_count == 1 else _only(share, output_nr, node.output_count)
                heappush(queue, (-node.sequence_number, node))
            elif node.output_count == 1:
                pending[node] = _sum(waiting, share)
            else:
                waiting[output_nr] = share if waiting[output_nr] is None else _sum(waiting[output_nr], share)

    hand_over(start if wanted is None else [(edge, share) for edge, share in start if edge.node in wanted])
    places_of = _places_by_node(places)
    while queue:
        _, node = heappop(queue)
        grad = pending.pop(node)
        hooks = node.hooks
        if hooks is not None:
            grad = _after_hooks(node, grad, hooks.of_tensors)
        if wanted is not None:
            for output_nr in places_of.get(node, ()):
                arrived = grad if node.output_count == 1 else grad[output_nr]
                if arrived is not None:
                    found[node, output_nr] = arrived
            leads_on = any(edge is not None and edge.node in wanted for edge in node.edges)
            if not leads_on and not (accumulate and isinstance(node, AccumulateGrad)):
                continue
        if hooks is not None and hooks.pre:
            grad = _after_hooks(node, grad, hooks.of_node)
        shares = node.apply(grad, create_graph=create_graph, keep_saved=retain_graph, wanted=wanted)
        if AnomalyMode.enabled:
            check_gradients(node, shares, grad)
        if hooks is not None and hooks.post:
            shares = _shares_after_hooks(node, shares, grad)
        hand_over(shares)
    return found


def _sum(first: Gradient, second: Gradient) -> Gradient:
    total = first + second
    if type(total) is np.ndarray:
        return total
    return np.asarray(total) if isinstance(total, np.generic) else total  # NumPy turns 0-d results into scalars


def _only(share: Gradient, output_nr: int, count: int) -> list[Gradient]:
    """The gradients of several results, of which one has got any so far."""
    gradients: list[Gradient] = [None] * count
    gradients[output_nr] = share
    return gradients


def _as_tensor(gradient: Gradient) -> Tensor:
    return gradient if isinstance(gradient, Tensor) else Tensor.from_operation(gradient, None)


def _after_hooks(node: Node, grad: Gradient, hooks: Callable[..., list[Gradient]]) -> Gradient:
    """The gradient of a node's results after some of its hooks."""
    return hooks([grad], _as_tensor)[0] if node.output_count == 1 else hooks(grad, _as_tensor)


def _shares_after_hooks(
    node: Node, shares: Sequence[tuple[Edge, Gradient]], grad: Gradient
) -> Sequence[tuple[Edge, Gradient]]:
    """The gradients of a node's inputs after its hooks."""
    assert node.hooks is not None
    edges = node.edges
    inputs: list[Gradient] = [None] * len(edges)
    for edge, share in shares:
        inputs[next(index for index, own in enumerate(edges) if own is edge)] = share
    replaced = node.hooks.after(inputs, [grad] if node.output_count == 1 else grad, _as_tensor)
    # A leaf keeps what it is given, and so may a hook: each has its own.
    return [
        (edge, np.array(share, order="K") if type(share) is np.ndarray else share)
        for edge, share in zip(edges, replaced, strict=True)
        if edge is not None and share is not None
    ]


def _places_by_node(places: AbstractSet[Place]) -> dict[Node, list[int]]:
    by_node: dict[Node, list[int]] = {}
    for node, output_nr in places:
        by_node.setdefault(node, []).append(output_nr)
    return by_node


def _nodes_towards(targets: AbstractSet[Node], roots: Sequence[Node]) -> AbstractSet[Node]:
    """The nodes from which one of the targets can be reached, among those that the roots lead to."""
    reached = set(roots)
    waiting = list(reached)
    while waiting:
        for edge in waiting.pop().edges:
            if edge is not None and edge.node not in reached:
                reached.add(edge.node)
                waiting.append(edge.node)
    towards: set[Node] = set()
    for node in sorted(reached, key=lambda node: node.sequence_number):  # what a node leads to comes before it
        if node in targets or any(edge is not None and edge.node in towards for edge in node.edges):
            towards.add(node)
    return towards


def _gradients_at(
    start: Sequence[tuple[Edge, Gradient]], inputs: Sequence[Tensor], *, retain_graph: bool, create_graph: bool
) -> list[Tensor | None]:
    """The gradients that arrive at the inputs, None where none does."""
    places = _places(inputs)
    found = run_backward(start, retain_graph=retain_graph, create_graph=create_graph, places=set(places))
    gradients: list[Tensor | None] = []
    for place in places:
        arrived = found.get(place)
        if arrived is not None and not isinstance(arrived, Tensor):
            arrived = Tensor(np.array(settled(arrived), order="K"))  # others may hold the very same array
        gradients.append(arrived)
    return gradients


def _places(inputs: Sequence[Tensor]) -> list[Place]:
    """Where the gradients of the inputs arrive; RuntimeError for one that requires none."""
    places: list[Place] = []
    for index, tensor in enumerate(inputs):
        edge = gradient_edge(tensor)
        if edge is None:
            raise RuntimeError(f"One of the differentiated Tensors (number {index} of inputs) does not require grad")
        places.append((edge.node, edge.output_nr))
    return places


def _listed(tensors: Tensors) -> list[Tensor]:
    return [tensors] if isinstance(tensors, Tensor) else list(tensors)


def _weights(given: Tensor | Sequence[Tensor | None] | None, count: int) -> list[Tensor | None]:
    """One gradient, or None, for each root."""
    if given is None:
        return [None] * count
    weights: list[Tensor | None] = [given] if isinstance(given, Tensor) else list(given)
    if len(weights) != count:
        raise RuntimeError(f"got {count} tensors and {len(weights)} gradients")
    return weights


def _start(
    roots: Sequence[Tensor], weights: Sequence[Tensor | None], create_graph: bool
) -> list[tuple[Edge, Gradient]]:
    """Where the pass begins, and with which gradients."""
    start: list[tuple[Edge, Any]] = []
    for index, (root, weight) in enumerate(zip(roots, weights, strict=True)):
        edge = gradient_edge(root)
        if edge is None:
            raise RuntimeError(f"element {index} of tensors does not require grad and does not have a grad_fn")
        gradient = _initial_gradient(root, weight, index)
        start.append((edge, gradient if create_graph else gradient.array.copy(order="K")))
    return start


def _initial_gradient(root: Tensor, weight: Tensor | None, index: int) -> Tensor:
    if weight is None:
        if root.numel() != 1:
            raise RuntimeError("grad can be implicitly created only for scalar outputs")
        return Tensor(np.ones_like(root.array))
    if not isinstance(weight, Tensor):
        raise TypeError(f"gradients can be either Tensors or None, but got {type(weight).__name__}")
    if weight.shape != root.shape:
        raise RuntimeError(
            f"Mismatch in shape: grad_output[{index}] has a shape of {Size(weight.shape)} "
            f"and output[{index}] has a shape of {Size(root.shape)}."
        )
    return weight if weight.array.dtype == root.array.dtype else Tensor(weight.array.astype(root.array.dtype))
