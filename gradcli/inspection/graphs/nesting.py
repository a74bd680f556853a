"""The calls of modules that each node was recorded in, one within the other."""

from __future__ import annotations

import contextlib
import functools
from collections.abc import Callable, Iterator
from typing import Any, NamedTuple

from gradcli.autograd.graph import Node
from gradcli.autograd.versions import tick
from gradcli.nn import Module


class NestedCall(NamedTuple):
    """One call of a module: its path in the model, the name of its class, and which of its calls this is, from 1."""

    path: str
    type: str
    number: int


class NestedCalls:
    """The calls of modules while a graph was recorded, each with the span of sequence numbers that nodes got then."""

    def __init__(self) -> None:
        self._spans: list[tuple[int, int, NestedCall]] = []
        self._counts: dict[str, int] = {}

    def around(self, node: Node) -> tuple[NestedCall, ...]:
        """The calls that were going on when the node was made, the outermost first."""
        spans = [span for span in self._spans if span[0] < node.sequence_number < span[1]]
        return tuple(call for _, _, call in sorted(spans, key=lambda span: span[0]))

    @contextlib.contextmanager
    def call(self, path: str, type: str) -> Iterator[None]:
        """What is recorded inside belongs to a call of the module at `path`."""
        number = self._counts[path] = self._counts.get(path, 0) + 1
        start = tick()
        try:
            yield
        finally:
            self._spans.append((start, tick(), NestedCall(path, type, number)))

    @contextlib.contextmanager
    def noted(self, model: Module) -> Iterator[None]:
        """Note the calls of all modules below `model`.

        Each gets a `forward` of its own meanwhile: hooks would tell when a call ends, but not when it begins.
        """
        modules = {path: module for path, module in model.named_modules() if path}
        before = {path: module.__dict__.get("forward") for path, module in modules.items()}
        try:
            for path, module in modules.items():
                module.__dict__["forward"] = self._noting(module.forward, path, type(module).__name__)
            yield
        finally:
            for path, module in modules.items():
                if before[path] is None:
                    module.__dict__.pop("forward", None)
                else:
                    module.__dict__["forward"] = before[path]

    def _noting(self, forward: Callable[..., Any], path: str, type: str) -> Callable[..., Any]:
        @functools.wraps(forward)
        def noting(*args: Any, **kwargs: Any) -> Any:
            with self.call(path, type):
                return forward(*args, **kwargs)

        return noting
