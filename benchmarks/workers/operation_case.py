"""The small operations that the workers measure: how often each is called, on what, and how long that takes.

For gradcli and PyTorch alike: `framework` is either module.
"""

from __future__ import annotations

import argparse
import json
import sys
import time
from collections.abc import Callable
from dataclasses import dataclass
from statistics import median
from typing import Any

CALLS = 100
"""Of the operation, in what is timed as a whole."""

Step = Callable[[Any, Any], Any]


@dataclass(frozen=True)
class OperationCase:
    """An operation of two tensors that require gradients, of `shape`; those that take one leave the other alone.

    In a chain each call takes the result of the one before as its first tensor; otherwise all take the same. `calls`
    are followed by one backward pass from the end of the chain, or from all results.
    """

    step: Step
    shape: tuple[int, ...] = (4,)
    chain: bool = True
    calls: int = CALLS

    def inputs(self, framework: Any) -> tuple[Any, Any]:
        """Two leaves. Their numbers are near one (matrices: near the unit matrix), where chains stay near, too."""
        if len(self.shape) == 2 and self.shape[0] == self.shape[1]:
            first = framework.eye(self.shape[0])
        else:
            first = framework.ones(self.shape)
        count = first.numel()
        spread = framework.arange(count, dtype=framework.float32).reshape(self.shape) * (0.01 / count)
        return (first + spread).requires_grad_(), (first - spread).requires_grad_()

    def results(self, first: Any, second: Any) -> list[Any]:
        """What is there after all calls: the end of the chain, or every result."""
        step = self.step
        if not self.chain:
            return [step(first, second) for _ in range(self.calls)]
        for _ in range(self.calls):
            first = step(first, second)
        return [first]


def _views(x: Any, _: Any) -> Any:
    return x.view(2, 2) if x.ndim == 1 else x.view(4)


CASES = {
    "add": OperationCase(lambda x, y: x + y),
    "sub": OperationCase(lambda x, y: x - y),
    "mul": OperationCase(lambda x, y: x * y),
    "mul by number": OperationCase(lambda x, _: x * 0.99),
    "div": OperationCase(lambda x, y: x / y),
    "pow": OperationCase(lambda x, _: x**1.01),
    "exp": OperationCase(lambda x, _: x.exp(), chain=False),  # a chain of them would overflow
    "sin": OperationCase(lambda x, _: x.sin()),
    "relu": OperationCase(lambda x, _: x.relu()),
    "sum": OperationCase(lambda x, _: x.sum(0, keepdim=True), shape=(1, 4)),
    "view": OperationCase(_views),
    "select": OperationCase(lambda x, _: x[0], shape=(2, 4), chain=False),
    "matmul 8x8": OperationCase(lambda x, y: x @ y, shape=(8, 8)),
    "a single mul": OperationCase(lambda x, y: x * y, calls=1),
}


@dataclass(frozen=True)
class Timing:
    """Seconds per call of the operation, without and with the backward pass; the mean magnitude of the gradients."""

    forward: float
    both: float
    mean_magnitude: float


def measure(framework: Any, case: OperationCase, repetitions: int) -> Timing:
    """The medians of so many repetitions, after one that is not measured."""
    first, second = case.inputs(framework)
    weights = [framework.ones_like(result) for result in case.results(first, second)]
    backward = framework.autograd.backward
    forward, both = [], []
    for repetition in range(repetitions + 1):
        first.grad = second.grad = None
        start = time.perf_counter()
        results = case.results(first, second)
        middle = time.perf_counter()
        backward(results, weights)
        end = time.perf_counter()
        del results
        if repetition:
            forward.append((middle - start) / case.calls)
            both.append((end - start) / case.calls)
    gradients = [leaf.grad.abs().mean().item() for leaf in (first, second) if leaf.grad is not None]
    return Timing(median(forward), median(both), sum(gradients))


def serve_operations(library: str, framework: Any) -> None:
    """Announce `library` (name and version), then answer every line, an operation's name and repetitions as JSON."""
    print(json.dumps({"library": library}), flush=True)
    for line in sys.stdin:
        name, repetitions = json.loads(line)
        print(json.dumps(vars(measure(framework, CASES[name], repetitions))), flush=True)


def argument_parser() -> argparse.ArgumentParser:
    """The options of both workers."""
    parser = argparse.ArgumentParser()
    parser.add_argument("--threads", type=int, required=True)
    return parser
