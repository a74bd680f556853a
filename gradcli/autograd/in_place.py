"""Operations in place: new values in the same memory, and a history that says so.

An operation in place is that operation, its result written over the tensor, and the tensor's history replaced by the
result's. Where that is recorded, the operation reads a copy, so that what its gradient needs is not overwritten. For a
view, the history of its base is replaced: by what the base was elsewhere, and the result where the view is.
"""

from __future__ import annotations

import functools
import math
from collections.abc import Callable, Sequence
from collections.abc import Set as AbstractSet
from typing import Any

import numpy as np

from gradcli.autograd.accumulate_grad import gradient_edge
from gradcli.autograd.dtypes import TYPE_NAMES, Array
from gradcli.autograd.grad_mode import is_inference_mode_enabled, is_recording
from gradcli.autograd.graph import Edge, Gradient, Node
from gradcli.autograd.operation_node import OperationNode
from gradcli.autograd.tensor import Tensor
from gradcli.autograd.versions import record_change
from gradcli.autograd.views import Base, Step, View, replay
from gradcli.deferred import settle_deferred, settled
from gradcli.floating_point import quietly

_CATEGORY = {"b": 0, "i": 1, "u": 1, "f": 2}  # of NumPy's kinds; a higher one doesn't go into a lower one


def in_place(function: Callable[..., Any], name: str) -> Callable[..., Tensor]:
    """The method `name` that does in place what `function` does of a tensor and further arguments."""

    @functools.wraps(function)
    def method(self: Tensor, *args: Any, **kwargs: Any) -> Tensor:
        return call_in_place(function, self, args, kwargs)

    method.__name__ = name
    method.__doc__ = f"In place: {function.__doc__}"
    return method


def call_in_place(function: Callable[..., Any], target: Tensor, args: Sequence[Any], kwargs: dict[str, Any]) -> Tensor:
    """Write function(target, *args, **kwargs) over `target`, which is returned.

    Raises RuntimeError, as PyTorch does, for a leaf that requires gradients (outside `no_grad`), memory in which
    elements repeat, and results whose shape or type doesn't fit.
    """
    shown = target._sharing.base if isinstance(target._sharing, View) else None  # a view may have no history of it
    recorded = is_recording() and any(
        isinstance(value, Tensor) and value._requires_grad for value in (target, shown, *args, *kwargs.values())
    )
    _check_may_be_changed(target, recorded)
    settle_deferred()  # what was put off may read the memory
    memory = target.array
    result = function(_stand_in(target) if recorded else target, *args, **kwargs)
    values = result.array
    _check_fits(values, memory)
    quietly(np.copyto, memory, values, casting="unsafe")
    if target._sharing is None:
        record_change(memory)
    else:
        target._sharing.record_change(target)
    if recorded:
        replace_history(target, result)
    return target


def _check_may_be_changed(target: Tensor, recorded: bool) -> None:
    if target.is_inference() and not is_inference_mode_enabled():
        raise RuntimeError(
            "Inplace update to inference tensor outside InferenceMode is not allowed. You can make a clone to get a "
            "normal tensor before doing inplace update."
        )
    if recorded:
        if target._requires_grad and target.is_leaf:
            raise RuntimeError("a leaf Variable that requires grad is being used in an in-place operation.")
        if isinstance(target._sharing, View):
            _check_view_may_be_changed(target, target._sharing)
    array = target.array
    repeated = any(stride == 0 and size > 1 for stride, size in zip(array.strides, array.shape, strict=True))
    if repeated and array.size:
        raise RuntimeError(
            "unsupported operation: more than one element of the written-to tensor refers to a single memory "
            "location. Please clone() the tensor before performing the operation."
        )


def _check_view_may_be_changed(target: Tensor, view: View) -> None:
    if view.base._requires_grad and view.base.is_leaf:
        raise RuntimeError("a view of a leaf Variable that requires grad is being used in an in-place operation.")
    if view.restriction == "several":
        made_by = "an operation" if target.grad_fn is None else target.grad_fn.name()
        raise RuntimeError(
            f"Output {target._output_nr} of {made_by} is a view and is being modified inplace. This view is the "
            "output of a function that returns multiple views. Such functions do not allow the output views to be "
            "modified inplace. You should replace the inplace operation by an out-of-place one."
        )
    if view.restriction == "no_grad":
        raise RuntimeError(
            "A view was created in no_grad mode and is being modified inplace with grad mode enabled. Move both the "
            "view and the inplace either inside the no_grad block (not to track the change) or outside (to track it)."
        )


def _check_fits(values: Array, memory: Array) -> None:
    if values.shape != memory.shape:
        raise RuntimeError(
            f"output with shape {list(memory.shape)} doesn't match the broadcast shape {list(values.shape)}"
        )
    if _CATEGORY[values.dtype.kind] > _CATEGORY[memory.dtype.kind]:
        raise RuntimeError(
            f"result type {TYPE_NAMES[values.dtype.name]} can't be cast to the desired output type "
            f"{TYPE_NAMES[memory.dtype.name]}"
        )


def _stand_in(target: Tensor) -> Tensor:
    """A copy of the values with the same history, for what is recorded to keep."""
    copy = Tensor.from_operation(np.array(target.array, order="K"), target.grad_fn)
    copy._output_nr = target._output_nr
    return copy


def replace_history(target: Tensor, result: Tensor) -> None:
    """Give `target` the history of `result`, whose values it has by now."""
    node = result.grad_fn
    if isinstance(node, OperationNode):
        node.take_over_result(result.array, target.array)
    sharing = target._sharing
    if isinstance(sharing, View):
        _replace_part_of_history(sharing, result)
        return
    _keep_retaining(target, node)
    required = target._requires_grad
    target._grad_fn, target._output_nr, target._requires_grad = node, result._output_nr, result._requires_grad
    if isinstance(sharing, Base):
        sharing.replace_history(requires_grad_now=target._requires_grad and not required)


def _replace_part_of_history(view: View, result: Tensor) -> None:
    base = view.base
    required = base._requires_grad
    node = CopySlices(gradient_edge(base), gradient_edge(result), view.steps, base.array.shape)
    _keep_retaining(base, node)
    base._grad_fn, base._output_nr, base._requires_grad = node, 0, True
    assert isinstance(base._sharing, Base)
    base._sharing.replace_history(requires_grad_now=not required)


def _keep_retaining(tensor: Tensor, node: Node | None) -> None:
    """A tensor that keeps its gradient keeps that of its new values."""
    if node is not None and tensor.retains_grad and tensor.grad_fn is not None:
        retaining = tensor.grad_fn.own_hooks().retaining
        node.own_hooks().retaining[0] = retaining.pop(tensor._output_nr)


class CopySlices(Node):
    """A tensor of which a part was changed in place: the gradient goes to what it was, and to what the part became."""

    __slots__ = ("_edges", "_shape", "_steps")

    def __init__(self, base: Edge | None, part: Edge | None, steps: Sequence[Step], shape: tuple[int, ...]) -> None:
        super().__init__()
        self._edges = (base, part)
        self._steps = steps
        self._shape = shape

    @property
    def edges(self) -> Sequence[Edge | None]:
        return self._edges

    def apply(
        self, grad: Gradient, *, create_graph: bool, keep_saved: bool, wanted: AbstractSet[Node] | None = None
    ) -> Sequence[tuple[Edge, Gradient]]:
        base, part = self._edges
        grad = settled(grad)
        shares: list[tuple[Edge, Gradient]] = []
        if base is not None and (wanted is None or base.node in wanted):
            changed = self._changed_part()
            kept = grad.masked_fill(Tensor(changed), 0.0) if create_graph else np.where(changed, 0, grad)
            shares.append((base, kept))
        if part is not None and (wanted is None or part.node in wanted):
            shares.append((part, replay(self._steps, grad)))
        return shares

    def _changed_part(self) -> Array:
        """True where the part is, in the shape of the whole."""
        positions = np.arange(math.prod(self._shape)).reshape(self._shape)
        changed = np.zeros(self._shape, np.bool_)
        changed.ravel()[replay(self._steps, positions)] = True
        return changed
