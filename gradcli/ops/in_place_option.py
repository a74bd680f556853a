"""Functions of layers with the option `inplace`: the result overwrites the input, and is that tensor."""

from __future__ import annotations

from typing import Any

from gradcli.ops import activation, rectifiers, smooth_activation

__all__ = [
    "elu",
    "hardtanh",
    "leaky_relu",
    "relu",
    "silu",
]


def relu(input: Any, inplace: bool = False) -> Any:
    """max(input, 0); its gradient at zero is zero."""
    return input.relu_() if inplace else activation.relu(input)


def leaky_relu(input: Any, negative_slope: float = 0.01, inplace: bool = False) -> Any:
    """input above zero, input * negative_slope elsewhere; the gradient at zero is negative_slope."""
    return input.leaky_relu_(negative_slope) if inplace else rectifiers.leaky_relu(input, negative_slope)


def elu(input: Any, alpha: float = 1.0, inplace: bool = False) -> Any:
    """input above zero, alpha * (exp(input) - 1) elsewhere."""
    return input.elu_(alpha) if inplace else rectifiers.elu(input, alpha)


def hardtanh(input: Any, min_val: float = -1.0, max_val: float = 1.0, inplace: bool = False) -> Any:
    """input between min_val and max_val, else the nearer of the two. ValueError where min_val is the larger."""
    if min_val > max_val:
        raise ValueError(f"min_val cannot be greater than max_val, but got {min_val} and {max_val}")
    return input.hardtanh_(min_val, max_val) if inplace else rectifiers.hardtanh(input, min_val, max_val)


def silu(input: Any, inplace: bool = False) -> Any:
    """input * sigmoid(input)."""
    return input.silu_() if inplace else smooth_activation.silu(input)
