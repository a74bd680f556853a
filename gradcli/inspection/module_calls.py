"""The calls of a model's modules while a graph is recorded, one within the other, and which of them made each node."""

from __future__ import annotations

import functools
from collections import Counter
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Any

from gradcli import nn
from gradcli.autograd import Tensor
from gradcli.autograd.graph import Node
from gradcli.autograd.versions import tick


@dataclass(eq=False)
class ModuleCall:
    """One call of a module.

    `module` is its dotted path in the model (empty for the model itself), `type` the name of its class, and `number`
    which of its calls this is, from 1. The nodes made meanwhile have sequence numbers between `begin` and `end`.
    """

    module: str
    type: str
    number: int
    begin: int
    end: int = 0
    takes_gradients: bool = False
    """Whether a gradient could go on to what it was given: false after `detach`, and for the input of the model."""
    records: bool = False
    """Whether its result was recorded: false under `no_grad`."""


@dataclass
class ModuleCalls:
    """The calls in the order in which they ended, so that one within another comes first."""

    calls: list[ModuleCall] = field(default_factory=list)
    counts: Counter[str] = field(default_factory=Counter)
    results: dict[Node, Tensor] = field(default_factory=dict)
    """What the modules gave, by its node; empty unless it was asked for."""
    arguments: dict[Node, Tensor] = field(default_factory=dict)
    """What the modules were given, by its node; empty unless it was asked for."""

    def around(self, node: Node) -> tuple[ModuleCall, ...]:
        """The calls that were going on when the node was made, the outermost first."""
        return tuple(call for call in reversed(self.calls) if call.begin < node.sequence_number < call.end)

    def innermost(self, node: Node) -> ModuleCall | None:
        """The last of these calls; None for a node that was made outside of all."""
        return next((call for call in self.calls if call.begin < node.sequence_number < call.end), None)

    def label(self, call: ModuleCall) -> str:
        """The module's name; with `#1`, `#2` behind it where it was called more than once."""
        name = call.module or "model"
        return f"{name}#{call.number}" if self.counts[call.module] > 1 else name

    def place(self, node: Node) -> str:
        """The label of the innermost call that the node was made in; `loss` for a node that was made outside of all."""
        call = self.innermost(node)
        return "loss" if call is None else self.label(call)

    @contextmanager
    def call(self, module: str, type: str) -> Iterator[ModuleCall]:
        """What is recorded within the `with` block belongs to a call of this module."""
        self.counts[module] += 1
        call = ModuleCall(module, type, self.counts[module], begin=tick())
        try:
            yield call
        finally:
            call.end = tick()
            self.calls.append(call)


@contextmanager
def recorded_module_calls(
    model: nn.Module, *, keep_results: bool = False, keep_arguments: bool = False
) -> Iterator[ModuleCalls]:
    """Note the calls of `model` and of the modules below it as long as the `with` block lasts.

    Each gets a `forward` of its own meanwhile: hooks would tell when a call ends, but not when it begins. A module that
    is shared has its first name. With `keep_results` what the modules give is kept, with `keep_arguments` what they are
    given, to be looked at when the pass is over: whoever looks at a result earlier has it computed earlier, and by
    other means, which may change the last bits of what follows.
    """
    recorded = ModuleCalls()
    modules = dict(model.named_modules())
    before = {name: module.__dict__.get("forward") for name, module in modules.items()}
    try:
        for name, module in modules.items():
            module.__dict__["forward"] = _noting(module, name, recorded, keep_results, keep_arguments)
        yield recorded
    finally:
        for name, module in modules.items():
            if before[name] is None:
                module.__dict__.pop("forward", None)
            else:
                module.__dict__["forward"] = before[name]


def _noting(
    module: nn.Module, name: str, recorded: ModuleCalls, keep_results: bool, keep_arguments: bool
) -> Callable[..., Any]:
    """The module's `forward`, with each call of it noted."""
    forward = module.forward

    @functools.wraps(forward)
    def noting(*args: Any, **kwargs: Any) -> Any:
        with recorded.call(name, type(module).__name__) as call:
            result = forward(*args, **kwargs)
        results, arguments = list(_tensors(result)), list(_tensors((args, kwargs)))
        call.takes_gradients = any(tensor.requires_grad for tensor in arguments)
        call.records = any(tensor.grad_fn is not None for tensor in results)
        if keep_results:
            recorded.results |= {tensor.grad_fn: tensor for tensor in results if tensor.grad_fn is not None}
        if keep_arguments:
            recorded.arguments |= {tensor.grad_fn: tensor for tensor in arguments if tensor.grad_fn is not None}
        return result

    return noting


def _tensors(value: Any) -> Iterator[Tensor]:
    """The tensors in a value that a module takes or gives: alone, or within tuples, lists and dicts."""
    if isinstance(value, Tensor):
        yield value
    elif isinstance(value, tuple | list):
        for item in value:
            yield from _tensors(item)
    elif isinstance(value, Mapping):
        yield from _tensors(tuple(value.values()))
