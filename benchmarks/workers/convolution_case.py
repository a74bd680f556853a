"""One convolution that the workers measure, and how they measure: in turns, each time with cold caches.

NumPy is imported by the function that needs it, so that the benchmark's parent process can stay small.
"""

from __future__ import annotations

import argparse
import json
import sys
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

SWEPT_BYTES = 64 << 20
"""Read before every measured call: more than the caches hold, as a whole network comes between a layer's turns."""


@dataclass(frozen=True)
class Convolution:
    """A convolution of square images and how often ResNet-18 has it, in `layers`; the first layer's images need no
    gradient.
    """

    layers: tuple[str, ...]
    batch: int
    side: int
    channels: int
    out_channels: int
    kernel: int
    stride: int
    padding: int

    @property
    def out_side(self) -> int:
        return (self.side + 2 * self.padding - self.kernel) // self.stride + 1

    @property
    def needs_image_gradient(self) -> bool:
        return self.layers != ("conv1",)

    @property
    def multiply_adds(self) -> int:
        """Of one result for the whole batch, counted for direct convolution; each gradient takes as many."""
        return self.batch * self.out_side**2 * self.kernel**2 * self.channels * self.out_channels

    @classmethod
    def from_fields(cls, fields: Mapping[str, Any]) -> Convolution:
        """From what `asdict` gives, which may have been JSON meanwhile."""
        return cls(**{**fields, "layers": tuple(fields["layers"])})


@dataclass(frozen=True)
class Task:
    """What is timed of one way to compute a convolution: `forward`, whose result goes to `gradients`."""

    forward: Callable[[], Any]
    gradients: Callable[[Any], Any]


def measure(tasks: Mapping[str, Task], rounds: int) -> dict[str, dict[str, list[float]]]:
    """The seconds of every task's forward and gradients in each round; one round that is not measured comes first."""
    import numpy as np

    swept = np.ones(SWEPT_BYTES // 8)
    seconds: dict[str, dict[str, list[float]]] = {name: {"forward": [], "gradients": []} for name in tasks}
    for round_number in range(rounds + 1):
        for name, task in tasks.items():
            swept.sum()
            start = time.perf_counter()
            kept = task.forward()
            forward = time.perf_counter() - start
            swept.sum()
            start = time.perf_counter()
            result = task.gradients(kept)
            gradients = time.perf_counter() - start
            del kept, result
            if round_number:
                seconds[name]["forward"].append(forward)
                seconds[name]["gradients"].append(gradients)
    return seconds


def serve_convolutions(library: str, tasks_of: Callable[[Convolution], Mapping[str, Task]], rounds: int) -> None:
    """Announce `library` (name and version), then measure the tasks of every convolution on standard input."""
    print(json.dumps({"library": library}), flush=True)
    for line in sys.stdin:
        print(json.dumps(measure(tasks_of(Convolution.from_fields(json.loads(line))), rounds)), flush=True)


def argument_parser() -> argparse.ArgumentParser:
    """The options of both workers."""
    parser = argparse.ArgumentParser()
    parser.add_argument("--threads", type=int, required=True)
    parser.add_argument("--rounds", type=int, required=True)
    return parser
