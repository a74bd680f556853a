"""Activation layers."""

from __future__ import annotations

from typing import Any

from gradcli.autograd import Tensor
from gradcli.nn.module import Module
from gradcli.ops import activation


class ReLU(Module):
    """max(input, 0). `inplace` is kept for PyTorch's signature and text: the result is always a new tensor."""

    def __init__(self, inplace: bool = False) -> None:
        super().__init__()
        self.inplace = inplace

    def forward(self, input: Tensor) -> Any:
        return activation.relu(input)

    def extra_repr(self) -> str:
        return "inplace=True" if self.inplace else ""


class Sigmoid(Module):
    """1 / (1 + exp(-input))."""

    def forward(self, input: Tensor) -> Any:
        return activation.sigmoid(input)


class Tanh(Module):
    """Hyperbolic tangent."""

    def forward(self, input: Tensor) -> Any:
        return activation.tanh(input)
