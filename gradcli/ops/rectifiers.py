"""Activation functions that are straight lines above zero, like relu, with something of their own below."""

from __future__ import annotations

import numpy as np

from gradcli.autograd.dtypes import Array
from gradcli.autograd.operation import op
from gradcli.ops.arguments import require_kind
from gradcli.ops.choosing import where
from gradcli.ops.exponential import exp
from gradcli.ops.promotion import as_element

__all__: list[str] = []  # nn.functional has these with the option `inplace`


@op("LeakyReluBackward0", in_place=True)
def leaky_relu(input: Array, negative_slope: float = 0.01) -> Array:
    """input above zero, input * negative_slope elsewhere; the gradient at zero is negative_slope."""
    require_kind("leaky_relu", input)
    return np.where(input > 0, input, input * negative_slope)


leaky_relu.gradient(input=lambda grad, input, negative_slope: where(input > 0, grad, grad * negative_slope))


@op("EluBackward0", in_place=True)
def elu(input: Array, alpha: float = 1.0) -> Array:
    """input above zero, alpha * (exp(input) - 1) elsewhere."""
    require_kind("elu", input)
    return np.where(input > 0, input, np.expm1(np.minimum(input, 0)) * alpha)


elu.gradient(
    input=lambda grad, input, alpha: where(input <= 0, grad * (exp(where(input <= 0, input, 0.0)) * alpha), grad)
)


@op("HardtanhBackward0", in_place=True)
def hardtanh(input: Array, min_val: float = -1.0, max_val: float = 1.0) -> Array:
    """input between min_val and max_val, else the nearer of the two; the gradient at both is zero."""
    if input.dtype == np.bool_:
        raise RuntimeError("Bool inputs not supported for hardtanh")
    return np.clip(input, as_element(min_val, input.dtype), as_element(max_val, input.dtype))


hardtanh.gradient(input=lambda grad, input, min_val, max_val: where((input <= min_val) | (input >= max_val), 0.0, grad))
