"""Graphs for the tests: of the tutorial's formula, of a network with a residual block, and drawn at random."""

from __future__ import annotations

from typing import Any

import numpy as np

import gradcli
from gradcli import nn
from gradcli.autograd import Tensor
from gradcli.inspection.graphs.layout.places import Arrow, Size
from gradcli.inspection.graphs.recorded import RecordedGraph, recorded_graph
from gradcli.inspection.module_calls import recorded_module_calls


def tutorial_graph() -> RecordedGraph:
    """Q = 3a^3 - b^2."""
    a, b = gradcli.tensor([2.0, 3.0], requires_grad=True), gradcli.tensor([6.0, 4.0], requires_grad=True)
    q = 3 * a**3 - b**2
    return recorded_graph(q, {"a": a, "b": b, "Q": q})


class Block(nn.Module):
    """A residual block that uses one activation twice."""

    def __init__(self) -> None:
        super().__init__()
        self.first = nn.Linear(4, 4)
        self.relu = nn.ReLU()
        self.second = nn.Linear(4, 4)

    def forward(self, x: Tensor) -> Any:
        return self.relu(self.second(self.relu(self.first(x))) + x)


def block_graph() -> RecordedGraph:
    """A linear layer and two residual blocks, on two rows of four numbers; all trains but the first block."""
    model = nn.Sequential(nn.Linear(4, 4), Block(), Block())
    names: dict[str, Tensor] = dict(model.named_parameters())
    rows = Tensor(np.ones((2, 4), np.float32))
    with recorded_module_calls(model) as calls:
        traced = model(rows).sum()
    for name, parameter in names.items():
        parameter.requires_grad = not name.startswith("1.")
    result = model(rows).sum()
    return recorded_graph(result, names, traced=traced, calls=calls)


def random_arrows(seed: int) -> tuple[list[Size], list[Arrow]]:
    """Boxes of any size with arrows between them, from lower to higher numbers, some of them far apart."""
    generator = np.random.default_rng(seed)
    count = int(generator.integers(2, 40))
    boxes = [Size(*map(float, generator.integers(20, 200, 2))) for _ in range(count)]
    pairs = {(int(generator.integers(0, target)), target) for target in range(1, count)}
    pairs |= {tuple(sorted(map(int, generator.choice(count, 2, replace=False)))) for _ in range(count // 2)}
    return boxes, [Arrow(source, target, Size(50.0, 13.0)) for source, target in sorted(pairs)]
