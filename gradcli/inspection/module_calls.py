"""Which call of which module recorded each node of a graph."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Any

from gradcli import nn
from gradcli.autograd import Tensor
from gradcli.autograd.graph import Node


@dataclass(frozen=True, eq=False)
class ModuleCall:
    """One call of a module: the module's dotted name (empty for the model itself), and which of its calls it was."""

    module: str
    number: int
    takes_gradients: bool
    """Whether a gradient could go on to what it was given: false after `detach`, and for the input of the model."""
    records: bool
    """Whether its result was recorded: false under `no_grad`."""


@dataclass
class ModuleCalls:
    """The calls in the order in which they ended, and the nodes that each recorded itself."""

    calls: list[ModuleCall] = field(default_factory=list)
    of_node: dict[Node, ModuleCall] = field(default_factory=dict)
    """Nodes within a module belong to the innermost one. The nodes are kept alive, and with them what they saved."""
    counts: Counter[str] = field(default_factory=Counter)
    results: dict[Node, Tensor] = field(default_factory=dict)
    """What the modules gave, by its node; empty unless it was asked for."""

    def label(self, call: ModuleCall) -> str:
        """The module's name; with `#1`, `#2` behind it where it was called more than once."""
        name = call.module or "model"
        return f"{name}#{call.number}" if self.counts[call.module] > 1 else name


@contextmanager
def recorded_module_calls(model: nn.Module, *, keep_results: bool = False) -> Iterator[ModuleCalls]:
    """Note the calls of `model` and of the modules below it as long as the `with` block lasts.

    By forward hooks, so that passes outside of the block cost nothing. A module that is shared has its first name.
    With `keep_results` what the modules give is kept, to be looked at when the pass is over: whoever looks at a result
    earlier has it computed earlier, and by other means, which may change the last bits of what follows.
    """
    recorded = ModuleCalls()
    handles = [
        module.register_forward_hook(_recorder(name, recorded, keep_results)) for name, module in model.named_modules()
    ]
    try:
        yield recorded
    finally:
        for handle in handles:
            handle.remove()


def _recorder(name: str, recorded: ModuleCalls, keep_results: bool) -> Any:
    def record(module: nn.Module, args: tuple[Any, ...], result: Any) -> None:
        given, results = list(_tensors(args)), list(_tensors(result))
        recorded.counts[name] += 1
        call = ModuleCall(
            name,
            recorded.counts[name],
            takes_gradients=any(tensor.requires_grad for tensor in given),
            records=any(tensor.grad_fn is not None for tensor in results),
        )
        recorded.calls.append(call)
        if keep_results:
            recorded.results |= {tensor.grad_fn: tensor for tensor in results if tensor.grad_fn is not None}
        # What it was given is older than the call; what its children recorded is theirs already.
        seen: set[Node | None] = {None, *(tensor.grad_fn for tensor in given)}
        waiting = [tensor.grad_fn for tensor in results]
        while waiting:
            node = waiting.pop()
            if node is None or node in seen:
                continue
            seen.add(node)
            recorded.of_node.setdefault(node, call)
            waiting += [edge.node for edge in node.edges if edge is not None]

    return record


def _tensors(value: Any) -> Iterator[Tensor]:
    """The tensors in a value that a module takes or gives: alone, or within tuples, lists and dicts."""
    if isinstance(value, Tensor):
        yield value
    elif isinstance(value, tuple | list):
        for item in value:
            yield from _tensors(item)
    elif isinstance(value, Mapping):
        yield from _tensors(tuple(value.values()))
