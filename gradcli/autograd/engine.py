"""The backward pass: walks the recorded graph from results to leaves."""

from __future__ import annotations

import heapq
from collections.abc import Sequence

import numpy as np

from gradcli.autograd.accumulate_grad import gradient_edge
from gradcli.autograd.dtypes import Size
from gradcli.autograd.grad_mode import set_grad_enabled
from gradcli.autograd.graph import Gradient, Node
from gradcli.autograd.operation import tensor_method
from gradcli.autograd.tensor import Tensor
from gradcli.floating_point import quietly


def backward(
    tensors: Tensor | Sequence[Tensor],
    grad_tensors: Tensor | Sequence[Tensor | None] | None = None,
    retain_graph: bool | None = None,
    create_graph: bool = False,
) -> None:
    """Add to the `grad` of every leaf the gradient of `tensors`, weighted by `grad_tensors` (vector-Jacobian product).

    `grad_tensors` have the shapes of `tensors`; for a scalar it may be left out and is 1. The graph is freed on the
    way unless `retain_graph`, which is on by default with `create_graph`; that records the gradients themselves, so
    that they can be differentiated again. Meaning and errors as `torch.autograd.backward`.
    """
    roots = [tensors] if isinstance(tensors, Tensor) else list(tensors)
    if grad_tensors is None or isinstance(grad_tensors, Tensor):
        weights: list[Tensor | None] = [grad_tensors] * len(roots) if grad_tensors is None else [grad_tensors]
    else:
        weights = list(grad_tensors)
    if len(weights) != len(roots):
        raise RuntimeError(f"got {len(roots)} tensors and {len(weights)} gradients")
    start = []
    for index, (root, weight) in enumerate(zip(roots, weights, strict=True)):
        node = gradient_edge(root)
        if node is None:
            raise RuntimeError(f"element {index} of tensors does not require grad and does not have a grad_fn")
        grad = _initial_gradient(root, weight, index)
        start.append((node, grad if create_graph else grad.array.copy(order="K")))
    run_backward(start, retain_graph=create_graph if retain_graph is None else retain_graph, create_graph=create_graph)


@tensor_method("backward")
def _tensor_backward(
    self: Tensor, gradient: Tensor | None = None, retain_graph: bool | None = None, create_graph: bool = False
) -> None:
    """Add to the `grad` of every leaf the gradient of this tensor.

    For a tensor of more than one element, `gradient` is the vector v of the vector-Jacobian product, in this tensor's
    shape. The graph is freed unless `retain_graph`. See `gradcli.autograd.backward`.
    """
    backward([self], [gradient], retain_graph, create_graph)


def run_backward(start: Sequence[tuple[Node, Gradient]], *, retain_graph: bool, create_graph: bool) -> None:
    """Visit every node that `start` leads to once, users before what they used, handing gradients on.

    A node's number is higher than those of the nodes it leads to, so a heap on these numbers is all the order needed:
    no recursion, and no counting of paths beforehand.
    """
    with set_grad_enabled(create_graph):
        quietly(_visit, start, retain_graph, create_graph)


def _visit(start: Sequence[tuple[Node, Gradient]], retain_graph: bool, create_graph: bool) -> None:
    pending: dict[Node, Gradient] = {}
    queue: list[tuple[int, Node]] = []

    def hand_over(shares: Sequence[tuple[Node, Gradient]]) -> None:
        for node, share in shares:
            waiting = pending.get(node)
            if waiting is None:
                pending[node] = share
                heapq.heappush(queue, (-node.sequence_number, node))
            else:
                total = waiting + share
                pending[node] = np.asarray(total) if isinstance(total, np.generic) else total  # scalars for 0-d

    hand_over(start)
    while queue:
        _, node = heapq.heappop(queue)
        grad = pending.pop(node)
        if node.retaining_tensor is not None:
            node.deposit_retained(grad)
        hand_over(node.apply(grad, create_graph=create_graph, keep_saved=retain_graph))


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
