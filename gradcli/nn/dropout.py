"""Dropout layers."""

from __future__ import annotations

from typing import Any

from gradcli.autograd import Tensor
from gradcli.nn.module import Module
from gradcli.ops.dropout import dropout


class Dropout(Module):
    """Zeroes elements with probability p in training and scales the others by 1 / (1 - p).

    `inplace` is kept for PyTorch's signature and text: the result is always a new tensor.
    """

    def __init__(self, p: float = 0.5, inplace: bool = False) -> None:
        super().__init__()
        if not 0 <= p <= 1:
            raise ValueError(f"dropout probability has to be between 0 and 1, but got {p}")
        self.p = p
        self.inplace = inplace

    def forward(self, input: Tensor) -> Any:
        return dropout(input, self.p, self.training)

    def extra_repr(self) -> str:
        return f"p={self.p}, inplace={self.inplace}"
