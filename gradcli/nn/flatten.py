"""Layers that change the shape only."""

from __future__ import annotations

from typing import Any

from gradcli.autograd import Tensor
from gradcli.nn.module import Module
from gradcli.ops import shape


class Flatten(Module):
    """Dims start_dim to end_dim made one; by default all but the batch."""

    def __init__(self, start_dim: int = 1, end_dim: int = -1) -> None:
        super().__init__()
        self.start_dim = start_dim
        self.end_dim = end_dim

    def forward(self, input: Tensor) -> Any:
        return shape.flatten(input, self.start_dim, self.end_dim)

    def extra_repr(self) -> str:
        return f"start_dim={self.start_dim}, end_dim={self.end_dim}"
