"""Operations of one's own: a forward and a backward in Python, recorded as one node. As `torch.autograd.Function`.

class Exp(Function):
    @staticmethod
    def forward(ctx, x):
        result = x.exp()
        ctx.save_for_backward(result)
        return result

    @staticmethod
    def backward(ctx, grad):
        (result,) = ctx.saved_tensors
        return grad * result

y = Exp.apply(x)
"""

from __future__ import annotations

import functools
from collections.abc import Callable, Sequence
from collections.abc import Set as AbstractSet
from typing import Any, ClassVar, NamedTuple

import numpy as np

from gradcli.autograd.accumulate_grad import AccumulateGrad, gradient_edge
from gradcli.autograd.anomaly import AnomalyMode, check_forward
from gradcli.autograd.dtypes import Array
from gradcli.autograd.grad_mode import is_recording, no_grad
from gradcli.autograd.graph import Edge, Gradient, Node, sum_to_shape
from gradcli.autograd.in_place import check_view_may_be_changed, replace_history
from gradcli.autograd.operation_node import FREED, joined_tensor, maker_of
from gradcli.autograd.stale_values import check_unchanged
from gradcli.autograd.tensor import Tensor
from gradcli.autograd.versions import tick
from gradcli.autograd.views import View, make_view
from gradcli.deferred import call_users_code, settled


class _Saved(NamedTuple):
    """A tensor that was saved: its values, and where its gradient goes, or which of the node's own results it is."""

    array: Array
    edge: Edge | None
    output_nr: int | None


class FunctionNode(Node):
    """A recorded call of a `Function`: the `ctx` of its forward and backward, which may keep attributes of any name."""

    function: ClassVar[type[Function]]

    def __init__(self) -> None:
        super().__init__()
        self.needs_input_grad: tuple[bool, ...] = ()
        self.output_count = 1
        self._edges: list[Edge | None] = []
        self._to_save: tuple[Tensor | None, ...] = ()
        self._saved: list[_Saved | None] | None = []
        self._without_gradient: tuple[Tensor, ...] = ()
        self._dirty: tuple[Tensor, ...] = ()
        self._materialize = True
        self._results: list[tuple[tuple[int, ...], np.dtype[Any]]] = []  # shapes and types

    # --- for the function's own code ------------------------------------------------------------------------------

    def save_for_backward(self, *tensors: Tensor | None) -> None:
        """Keep inputs, results or other tensors for `backward`, which finds them in `saved_tensors`."""
        for tensor in tensors:
            if tensor is not None and not isinstance(tensor, Tensor):
                raise TypeError(
                    f"save_for_backward can only save variables, but argument is of type {type(tensor).__name__}"
                )
        self._to_save = tensors

    @property
    def saved_tensors(self) -> tuple[Tensor | None, ...]:
        """The tensors that were saved, still part of the graph; RuntimeError if one was changed in place since."""
        if self._saved is None:
            raise RuntimeError(FREED)
        return tuple(None if saved is None else self._restored(saved) for saved in self._saved)

    def _restored(self, saved: _Saved) -> Tensor:
        array, edge, output_nr = saved
        if output_nr is not None:
            edge = Edge(self, output_nr, array.shape, array.dtype)
        check_unchanged(array, self, *maker_of(edge))
        return Tensor(array) if edge is None else joined_tensor(array, edge)

    def mark_non_differentiable(self, *tensors: Tensor) -> None:
        """Say that these results have no gradient; `backward` gets zeros for them."""
        self._without_gradient = tensors

    def mark_dirty(self, *tensors: Tensor) -> None:
        """Say that `forward` changed these inputs in place; each must be returned too."""
        self._dirty = tensors

    def set_materialize_grads(self, value: bool) -> None:
        """Whether `backward` gets zeros, or None, for results that got no gradient; zeros are the default."""
        self._materialize = value

    # --- for the engine -------------------------------------------------------------------------------------------

    @property
    def edges(self) -> Sequence[Edge | None]:
        return self._edges

    def apply(
        self, grad: Gradient, *, create_graph: bool, keep_saved: bool, wanted: AbstractSet[Node] | None = None
    ) -> Sequence[tuple[Edge, Gradient]]:
        arrived = [grad] if self.output_count == 1 else grad
        given = [self._given(share, result) for share, result in zip(arrived, self._results, strict=True)]
        needed = self.needs_input_grad
        if wanted is not None:
            self.needs_input_grad = tuple(edge is not None and edge.node in wanted for edge in self._edges)
        try:
            returned = call_users_code(self.function.backward, self, *given)
        finally:
            self.needs_input_grad = needed
        if not keep_saved:
            self._saved = None
        return [
            (edge, self._fit(share, edge, create_graph))
            for edge, share in zip(self._edges, self._one_for_each_input(returned), strict=True)
            if edge is not None and share is not None and (wanted is None or edge.node in wanted)
        ]

    def _given(self, share: Gradient, result: tuple[tuple[int, ...], np.dtype[Any]]) -> Tensor | None:
        """The gradient of one result as `backward` gets it."""
        if isinstance(share, Tensor):
            return share
        if share is not None:
            return Tensor.from_operation(share, None)
        return Tensor(np.zeros(*result)) if self._materialize else None

    def _one_for_each_input(self, returned: Any) -> list[Any]:
        gradients = list(returned) if isinstance(returned, tuple) else [returned]
        expected = len(self._edges)
        if len(gradients) > expected and all(gradient is None for gradient in gradients[expected:]):
            gradients = gradients[:expected]
        if len(gradients) != expected:
            raise RuntimeError(
                f"function {self.name()} returned an incorrect number of gradients (expected {expected}, got "
                f"{len(gradients)})"
            )
        for position, (edge, gradient) in enumerate(zip(self._edges, gradients, strict=True)):
            if gradient is not None and not isinstance(gradient, Tensor):
                raise RuntimeError(
                    f"function {self.name()} returned {type(gradient).__name__} as gradient {position}, "
                    "where a Tensor or None was expected"
                )
            if gradient is None or edge is None:
                continue
            if gradient.shape != edge.shape and not _is_broadcast_of(gradient.shape, edge.shape):
                raise RuntimeError(
                    f"Function {self.name()} returned an invalid gradient at index {position} - got "
                    f"{list(gradient.shape)} but expected shape compatible with {list(edge.shape)}"
                )
        return gradients

    def _fit(self, share: Tensor, edge: Edge, create_graph: bool) -> Gradient:
        """The gradient with the input's own shape and type, and where a leaf keeps it in memory of its own."""
        if create_graph:
            fitting = share if share.shape == edge.shape else share.sum_to_size(edge.shape)
            return fitting if fitting.array.dtype == edge.dtype else fitting.to(edge.dtype)
        array = settled(share.deferred_array())
        if array.shape != edge.shape:
            array = sum_to_shape(array, edge.shape)
        if array.dtype != edge.dtype:
            return array.astype(edge.dtype)
        return np.array(array, order="K") if isinstance(edge.node, AccumulateGrad) else array

    # --- for `Function.apply` -------------------------------------------------------------------------------------

    def _record(self, results: Sequence[Any], inputs: Sequence[Any]) -> list[Any]:
        """Make the results of the forward this node's, and keep what was to be saved."""
        self.sequence_number = tick()  # after what the forward changed, before what leads here: CopySlices, say
        recorded = []
        differentiable = 0
        tensors = sum(isinstance(result, Tensor) for result in results)
        for result in results:
            if not isinstance(result, Tensor):
                recorded.append(result)
                continue
            output_nr, differentiable = differentiable, differentiable + 1
            has_gradient = result.is_floating_point() and not _is_in(result, self._without_gradient)
            self._results.append((tuple(result.shape), result.array.dtype))
            if tensors > 1 and _is_in(result, self._dirty) and result._is_view():
                raise RuntimeError(
                    "If your Function modifies inplace an input that is a view of another Tensor, your Function cannot "
                    "return more than one Tensor. This is not supported by the current autograd engine. You should "
                    "either make sure the input is not a view (using .clone() for example) or make your Function only "
                    "return one Tensor (potentially splitting it into two Functions: one doing the inplace that "
                    "returns a single Tensor and a second one that does the other operations)."
                )
            recorded.append(self._as_result(result, inputs, output_nr, has_gradient))
        self.output_count = differentiable
        if differentiable == 0:
            return recorded
        own = [result for result in recorded if isinstance(result, Tensor)]
        self._saved = [
            None if tensor is None else self._kept(tensor, [r for r in results if isinstance(r, Tensor)], own)
            for tensor in self._to_save
        ]
        self._to_save = self._without_gradient = self._dirty = ()
        return recorded

    def _as_result(self, result: Tensor, inputs: Sequence[Any], output_nr: int, has_gradient: bool) -> Tensor:
        if not has_gradient:
            return Tensor(result.array) if _is_in(result, inputs) and not _is_in(result, self._dirty) else result
        made = Tensor.from_operation(result.deferred_array(), self)
        made._output_nr = output_nr
        if _is_in(result, self._dirty):
            if result.is_leaf and result.requires_grad:
                raise RuntimeError("a leaf Variable that requires grad has been used in an in-place operation.")
            if isinstance(result._sharing, View):
                check_view_may_be_changed(result, result._sharing)
            replace_history(result, made)
            return result
        shown = result if _is_in(result, inputs) else result._base
        if shown is not None:
            make_view(made, shown, lambda base: base, "function")
        return made

    def _kept(self, tensor: Tensor, results: Sequence[Tensor], recorded: Sequence[Tensor]) -> _Saved:
        for result, made in zip(results, recorded, strict=True):
            if result is tensor and made.grad_fn is self:
                # Not the tensor itself, which holds this node.
                return _Saved(tensor.array, None, made.output_nr)
        return _Saved(tensor.array, gradient_edge(tensor), None)


class Function:
    """Base of operations of one's own: static methods `forward(ctx, *inputs)` and `backward(ctx, *gradients)`.

    `forward` runs without being recorded and returns a tensor or a tuple; `backward` returns one gradient, or None, for
    each input. With a static `setup_context(ctx, inputs, output)`, `forward` is given no `ctx`. Meaning and errors as
    `torch.autograd.Function`.
    """

    _node_type: ClassVar[type[FunctionNode]]

    def __init__(self) -> None:
        raise TypeError(f"{type(self).__name__} is not called as an object; use {type(self).__name__}.apply(...)")

    def __init_subclass__(cls, **options: Any) -> None:
        super().__init_subclass__(**options)
        cls._node_type = type(f"{cls.__name__}Backward", (FunctionNode,), {"function": cls})

    @staticmethod
    def forward(*args: Any, **kwargs: Any) -> Any:
        """The results, given `ctx` and the inputs; every subclass says."""
        raise NotImplementedError("You must implement the forward function for custom autograd.Function.")

    @staticmethod
    def setup_context(ctx: Any, inputs: tuple[Any, ...], output: Any) -> Any:
        """Save what `backward` needs; for functions whose `forward` takes no `ctx`."""
        raise NotImplementedError("setup_context is not implemented.")

    @staticmethod
    def backward(ctx: Any, *grad_outputs: Any) -> Any:
        """The gradients of the inputs, given `ctx` and those of the results; every subclass says."""
        raise NotImplementedError(
            "You must implement either the backward or vjp method for your custom autograd.Function to use it with "
            "backward mode AD."
        )

    @classmethod
    def apply(cls, *inputs: Any) -> Any:
        """Run `forward`, and record that where an input requires gradients."""
        node = cls._node_type()
        node.needs_input_grad = tuple(isinstance(value, Tensor) and value.requires_grad for value in inputs)
        recorded = is_recording() and any(node.needs_input_grad)
        if recorded:  # before the forward, which may change an input's history
            node._edges = [gradient_edge(value) if isinstance(value, Tensor) else None for value in inputs]
        with no_grad():
            if cls.setup_context is Function.setup_context:
                output = call_users_code(cls.forward, node, *inputs)
            else:
                output = call_users_code(cls.forward, *inputs)
                cls.setup_context(node, inputs, output)
        results = output if isinstance(output, tuple) else (output,)
        if not recorded:
            apart = tuple(_apart(result, inputs, node._dirty) for result in results)
            return apart if isinstance(output, tuple) else apart[0]
        made = node._record(results, inputs)
        if AnomalyMode.enabled:
            check_forward(cls.__name__, [result.array for result in made if isinstance(result, Tensor)], inputs, node)
        return tuple(made) if isinstance(output, tuple) else made[0]


Function.__init_subclass__()  # its own apply says what a subclass must implement


def _apart(result: Any, inputs: Sequence[Any], dirty: Sequence[Any]) -> Any:
    """What an unrecorded call returns: inputs as tensors of their own, which require no gradients."""
    if isinstance(result, Tensor) and _is_in(result, inputs) and (result.requires_grad or not _is_in(result, dirty)):
        return result.detach()
    return result


def once_differentiable(backward: Callable[..., Any]) -> Callable[..., Any]:
    """Decorates a `backward` that can't be differentiated itself: its gradients then refuse to be."""

    @functools.wraps(backward)
    def unrecorded(ctx: Any, *grad_outputs: Any) -> Any:
        with no_grad():
            gradients = backward(ctx, *grad_outputs)
        if not (is_recording() and any(isinstance(g, Tensor) and g.requires_grad for g in grad_outputs)):
            return gradients
        refusal = _Refusal([gradient_edge(g) for g in grad_outputs if isinstance(g, Tensor)])
        if isinstance(gradients, tuple):
            return tuple(_refusing(gradient, refusal) for gradient in gradients)
        return _refusing(gradients, refusal)

    return unrecorded


class _Refusal(Node):
    """Stands behind the gradients of a function that is differentiable once only."""

    __slots__ = ("_edges",)

    def __init__(self, edges: Sequence[Edge | None]) -> None:
        super().__init__()
        self._edges = edges

    @property
    def edges(self) -> Sequence[Edge | None]:
        return self._edges

    def name(self) -> str:
        return "Error"

    def apply(
        self, grad: Gradient, *, create_graph: bool, keep_saved: bool, wanted: AbstractSet[Node] | None = None
    ) -> Sequence[tuple[Edge, Gradient]]:
        raise RuntimeError("trying to differentiate twice a function that was marked with @once_differentiable")


def _refusing(gradient: Any, refusal: _Refusal) -> Any:
    return Tensor.from_operation(gradient.array, refusal) if isinstance(gradient, Tensor) else gradient


def _is_in(tensor: Tensor, tensors: Sequence[Any]) -> bool:
    return any(tensor is other for other in tensors)


def _is_broadcast_of(shape: tuple[int, ...], smaller: tuple[int, ...]) -> bool:
    """Whether a gradient of `shape` can be summed to `smaller`."""
    if len(smaller) > len(shape):
        return False
    trailing = shape[len(shape) - len(smaller) :]
    return all(small in (1, size) for size, small in zip(trailing, smaller, strict=True))
