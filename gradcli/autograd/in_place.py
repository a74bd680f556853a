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
from gradcli.autograd.hooks import keep_retaining
from gradcli.autograd.operation_node import FREED, OperationNode
from gradcli.autograd.tensor import Tensor
from gradcli.autograd.versions import memory_owner, record_change
from gradcli.autograd.views import Base, Step, View, refuse_change, replay
from gradcli.deferred import settle_deferred, settled
from gradcli.numpy_settings import quietly

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
    # Counted first: whatever interrupts what follows, backward doesn't take the new values for the old ones.
    if target._sharing is None:
        record_change(memory)
    else:
        target._sharing.record_change(target)
    quietly(np.copyto, memory, values, casting="unsafe")
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
            check_view_may_be_changed(target, target._sharing)
    array = target.array
    repeated = any(stride == 0 and size > 1 for stride, size in zip(array.strides, array.shape, strict=True))
    if repeated and array.size:
        raise RuntimeError(
            "unsupported operation: more than one element of the written-to tensor refers to a single memory "
            "location. Please clone() the tensor before performing the operation."
        )
    if not array.flags.writeable:
        if not memory_owner(array).flags.writeable:
            raise RuntimeError("the memory of this tensor is read-only; clone() the tensor before changing it in place")
        array.flags.writeable = True  # a part of an expanded tensor in which nothing repeats: NumPy marks these too


def check_view_may_be_changed(target: Tensor, view: View) -> None:
    """RuntimeError, as PyTorch's, for a view that can't be changed in place where that is recorded."""
    if view.restriction is not None:
        refuse_change(target, view.restriction, "is being modified inplace")
    # A view may be a leaf, and require gradients, though its base doesn't.
    if (view.base._requires_grad or target._requires_grad) and view.base.is_leaf:
        raise RuntimeError("a view of a leaf Variable that requires grad is being used in an in-place operation.")


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
        if target._grad_fn is not None and target._grad_fn.hooks is not None:
            sharing.refresh(target)  # at once: what it keeps is the gradient of its new values
        return
    former, former_nr, required = target._grad_fn, target._output_nr, target._requires_grad
    target._grad_fn, target._output_nr, target._requires_grad = node, result._output_nr, result._requires_grad
    keep_retaining(target, former, former_nr)
    if isinstance(sharing, Base):
        sharing.replace_history(requires_grad_now=target._requires_grad and not required)


def _replace_part_of_history(view: View, result: Tensor) -> None:
    base = view.base
    former, former_nr, required = base._grad_fn, base._output_nr, base._requires_grad
    base._grad_fn = CopySlices(gradient_edge(base), gradient_edge(result), view.steps, base.array.shape)
    base._output_nr, base._requires_grad = 0, True
    keep_retaining(base, former, former_nr)
    assert isinstance(base._sharing, Base)
    base._sharing.replace_history(requires_grad_now=not required)


class CopySlices(Node):
    """A tensor of which a part was changed in place: the gradient goes to what it was, and to what the part became."""

    __slots__ = ("_edges", "_shape", "_steps")

    def __init__(self, base: Edge | None, part: Edge | None, steps: Sequence[Step], shape: tuple[int, ...]) -> None:
        super().__init__()
        self._edges = (base, part)
        self._steps: Sequence[Step] | None = steps
        self._shape = shape

    @property
    def edges(self) -> Sequence[Edge | None]:
        return self._edges

    def apply(
        self, grad: Gradient, *, create_graph: bool, keep_saved: bool, wanted: AbstractSet[Node] | None = None
    ) -> Sequence[tuple[Edge, Gradient]]:
        steps = self._steps
        if steps is None:
            raise RuntimeError(FREED)
        base, part = self._edges
        grad = settled(grad)
        shares: list[tuple[Edge, Gradient]] = []
        if base is not None and (wanted is None or base.node in wanted):
            changed = self._changed_part(steps)
            kept = grad.masked_fill(Tensor(changed), 0.0) if create_graph else np.where(changed, 0, grad)
            shares.append((base, kept))
        if part is not None and (wanted is None or part.node in wanted):
            shares.append((part, replay(steps, grad)))
        if not keep_saved:
            self._steps = None
        return shares

    def _changed_part(self, steps: Sequence[Step]) -> Array:
        """True where the part is, in the shape of the whole."""
        positions = np.arange(math.prod(self._shape)).reshape(self._shape)
        changed = np.zeros(self._shape, np.bool_)
        changed.ravel()[replay(steps, positions)] = True
        return changed
