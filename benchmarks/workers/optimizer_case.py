"""What the workers that update all parameters of a ResNet-18 have in common.

For gradcli and PyTorch alike: `framework` is either module.
"""

from __future__ import annotations

import argparse
import json
import sys
import time
from collections.abc import Callable, Iterator
from typing import Any

Shape = tuple[int, ...]
Memory = Callable[[Any], Any]
"""Gives a parameter or gradient the memory order that the framework's own layers have."""

CASES: dict[str, Callable[[Any, list[Any]], Callable[[], Any]]] = {
    "SGD with momentum": lambda framework, members: framework.optim.SGD(members, lr=1e-4, momentum=0.9).step,
    "Adam": lambda framework, members: framework.optim.Adam(members, lr=1e-4).step,
    "AdamW": lambda framework, members: framework.optim.AdamW(members, lr=1e-4).step,
    "AdamW with amsgrad": lambda framework, members: framework.optim.AdamW(members, lr=1e-4, amsgrad=True).step,
    "norm of gradients": lambda framework, members: lambda: framework.nn.utils.clip_grad_norm_(members, 1e9),
    "clipping": lambda framework, members: lambda: framework.nn.utils.clip_grad_norm_(members, 1e-3),
}
"""Makes what is timed, from the framework and parameters that have gradients."""


def resnet18_shapes() -> Iterator[Shape]:
    """The shapes of all parameters, 1000 classes."""

    def convolution(filters: int, channels: int, side: int) -> Iterator[Shape]:
        yield from [(filters, channels, side, side), (filters,), (filters,)]  # and its batch norm

    yield from convolution(64, 3, 7)
    channels = 64
    for filters in (64, 64, 128, 128, 256, 256, 512, 512):
        yield from convolution(filters, channels, 3)
        yield from convolution(filters, filters, 3)
        if filters != channels:
            yield from convolution(filters, channels, 1)
        channels = filters
    yield from [(1000, 512), (1000,)]


def serve_optimizers(library: str, framework: Any, memory: Memory) -> None:
    """Announce `library` (name and version), then time one call for each line, the name of a case."""
    print(json.dumps({"library": library}), flush=True)
    prepared: dict[str, tuple[list[Any], Callable[[], Any]]] = {}
    for line in sys.stdin:
        name = line.strip()
        if name not in prepared:
            members = [framework.nn.Parameter(memory(_values(framework, shape, 0.1))) for shape in resnet18_shapes()]
            for member in members:
                member.grad = memory(_values(framework, tuple(member.shape), 1e-3))
            prepared[name] = members, CASES[name](framework, members)
        members, run = prepared[name]
        start = time.perf_counter()
        run()
        seconds = time.perf_counter() - start
        magnitude = members[0].detach().abs().mean().item() + members[0].grad.abs().mean().item()
        print(json.dumps({"seconds": seconds, "mean_magnitude": magnitude}), flush=True)


def _values(framework: Any, shape: Shape, scale: float) -> Any:
    count = 1
    for length in shape:
        count *= length
    return (framework.arange(count, dtype=framework.float32).sin() * scale).reshape(shape)


def argument_parser() -> argparse.ArgumentParser:
    """The options of both workers."""
    parser = argparse.ArgumentParser()
    parser.add_argument("--threads", type=int, required=True)
    return parser
