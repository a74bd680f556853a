"""Functions that users attach to tensors and nodes, called with the gradients that pass by."""

from __future__ import annotations

import itertools
import weakref
from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING, Any, Self

import numpy as np

from gradcli.deferred import call_users_code, settled

if TYPE_CHECKING:
    from gradcli.autograd.graph import Node
    from gradcli.autograd.tensor import Tensor

TensorHook = Callable[["Tensor"], Any]
"""Gets a gradient; what it returns, unless None, takes its place."""

NodeHook = Callable[..., Any]
"""Gets the gradients of a node's results, or of its inputs and its results, as tuples; may return others."""


class RemovableHandle:
    """Takes a registered hook off again, by `remove()` or at the end of a `with` block."""

    _next_id = itertools.count()

    def __init__(self, hooks: dict[int, Any]) -> None:
        self.id = next(self._next_id)
        self._hooks = hooks

    def remove(self) -> None:
        """Take the hook off; once is enough."""
        self._hooks.pop(self.id, None)

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *error: object) -> None:
        self.remove()


def register(hooks: dict[int, Any], hook: Callable[..., Any]) -> RemovableHandle:
    """Add a hook to those of one kind, which are called in the order they were added in."""
    handle = RemovableHandle(hooks)
    hooks[handle.id] = hook
    return handle


class NodeHooks:
    """All hooks of one node; `tensor` and `retaining` by the number of the result that they belong to."""

    __slots__ = ("after_accumulation", "post", "pre", "retaining", "tensor")

    def __init__(self) -> None:
        self.tensor: dict[int, dict[int, TensorHook]] = {}
        self.pre: dict[int, NodeHook] = {}
        self.post: dict[int, NodeHook] = {}
        self.after_accumulation: dict[int, TensorHook] = {}
        self.retaining: dict[int, weakref.ref[Tensor]] = {}

    def of_tensor(self, output_nr: int) -> dict[int, TensorHook]:
        """The hooks of the tensor that is this result of the node."""
        return self.tensor.setdefault(output_nr, {})

    def of_tensors(self, gradients: list[Any], wrap: Callable[[Any], Tensor]) -> list[Any]:
        """What the hooks of tensors make of the gradients of a node's results, None where there is none.

        Those that are retained are kept.

        `wrap` makes tensors of what travels through backward, where these are not tensors already.
        """
        gradients = list(gradients)
        for output_nr, hooks in self.tensor.items():
            for hook in list(hooks.values()):
                if gradients[output_nr] is not None:
                    gradients[output_nr] = _call_tensor_hook(hook, gradients[output_nr], wrap)
        for output_nr, reference in list(self.retaining.items()):
            tensor = reference()
            if tensor is not None and gradients[output_nr] is not None:
                _retain(tensor, gradients[output_nr])
        return gradients

    def of_node(self, gradients: list[Any], wrap: Callable[[Any], Tensor]) -> list[Any]:
        """What the hooks before a node make of these gradients then, when it is visited."""
        for hook in list(self.pre.values()):
            given = tuple(None if gradient is None else wrap(gradient) for gradient in gradients)
            gradients = _replaced(gradients, call_users_code(hook, given), "prehook")
        return gradients

    def after(self, inputs: list[Any], outputs: Sequence[Any], wrap: Callable[[Any], Tensor]) -> list[Any]:
        """What the hooks make of the gradients of a node's inputs, None where there is none."""
        for hook in list(self.post.values()):
            given = (tuple(None if g is None else wrap(g) for g in gradients) for gradients in (inputs, outputs))
            inputs = _replaced(inputs, call_users_code(hook, *given), "hook")
        return inputs


def keep_retaining(tensor: Tensor, former: Node | None, former_nr: int) -> None:
    """Let a tensor that kept its gradient keep it, now that it has another node than the `former` one."""
    hooks = None if former is None else former.hooks
    if hooks is None or tensor._grad_fn is None:
        return
    reference = hooks.retaining.get(former_nr)
    if reference is not None and reference() is tensor:
        del hooks.retaining[former_nr]
        tensor._grad_fn.own_hooks().retaining[tensor._output_nr] = reference


def _call_tensor_hook(hook: TensorHook, gradient: Any, wrap: Callable[[Any], Tensor]) -> Any:
    given = wrap(gradient)
    replaced = call_users_code(hook, given)
    if replaced is None:
        return gradient
    name = getattr(hook, "__name__", type(hook).__name__)
    if not isinstance(replaced, type(given)):
        raise TypeError(f"hook '{name}' must return a Tensor or None, but returned {type(replaced).__name__}")
    if replaced.shape != given.shape:
        raise RuntimeError(
            f"hook '{name}' has changed the size of value: {list(given.shape)} became {list(replaced.shape)}"
        )
    return _as_travelling(replaced, gradient)


def _replaced(gradients: list[Any], returned: Any, kind: str) -> list[Any]:
    """The gradients that a node's hook returned instead of those it was given."""
    if returned is None:
        return gradients
    replaced = list(returned) if isinstance(returned, tuple | list) else [returned]
    if len(replaced) != len(gradients):
        raise RuntimeError(f"a node's {kind} returned {len(replaced)} gradients where {len(gradients)} were expected")
    return [None if new is None else _as_travelling(new, old) for new, old in zip(replaced, gradients, strict=True)]


def _as_travelling(tensor: Tensor, example: Any) -> Any:
    """The tensor as it is, or its array where `example` is one."""
    return tensor if hasattr(example, "requires_grad") else tensor.array


def _retain(tensor: Tensor, gradient: Any) -> None:
    """Leave the gradient in the `grad` of the tensor that asked for it with `retain_grad()`."""
    gradient = settled(gradient)
    if isinstance(gradient, np.ndarray):
        gradient = type(tensor).from_operation(gradient.copy(order="K"), None)
    tensor.grad = gradient if tensor.grad is None else tensor.grad + gradient
