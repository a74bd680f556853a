"""Activation functions without a kink: what relu becomes when its corner is rounded."""

from __future__ import annotations

import math
from typing import Any

import numpy as np

from gradcli.autograd.dtypes import Array
from gradcli.autograd.operation import op
from gradcli.kernels import error_function
from gradcli.ops.activation import sigmoid, tanh
from gradcli.ops.arguments import require_kind
from gradcli.ops.choosing import where
from gradcli.ops.error_function import erf
from gradcli.ops.exponential import exp

__all__ = [
    "gelu",
    "logsigmoid",
    "softplus",
]


@op("SiluBackward0", in_place=True)
def silu(input: Array) -> Array:
    """input * sigmoid(input) (Hendrycks and Gimpel, 2016)."""
    require_kind("silu", input)
    return np.asarray(input * sigmoid(input))


silu.gradient(input=lambda grad, input: _silu_gradient(grad, input, sigmoid(input)))


def _silu_gradient(grad: Any, input: Any, share: Any) -> Any:
    return grad * (share * (1 + input * (1 - share)))


@op("SoftplusBackward0")
def softplus(input: Array, beta: float = 1, threshold: float = 20) -> Array:
    """log(1 + exp(input * beta)) / beta, without overflow; input itself where input * beta is above the threshold."""
    require_kind("softplus", input)
    scaled = input * beta
    smooth = (np.log1p(np.exp(-np.abs(scaled))) + np.maximum(scaled, 0)) / beta
    return np.where(scaled > threshold, input, smooth)


softplus.gradient(
    input=lambda grad, input, beta, threshold: where(
        input * beta > threshold, grad, grad * sigmoid(where(input * beta > threshold, 0.0, input * beta))
    )
)


@op("LogSigmoidBackward0")
def logsigmoid(input: Array) -> Array:
    """log(sigmoid(input)), without overflow."""
    require_kind("logsigmoid", input)
    return np.asarray(np.minimum(input, 0) - np.log1p(np.exp(-np.abs(input))))


logsigmoid.gradient(input=lambda grad, input: grad * sigmoid(-input))


@op("GeluBackward0")
def gelu(input: Array, approximate: str = "none") -> Array:
    """input times the normal distribution function of it (Hendrycks and Gimpel, 2016); `tanh` approximates that."""
    require_kind("gelu", input)
    if approximate == "tanh":
        return np.asarray(0.5 * input * (1 + np.tanh(_bent(input))))
    if approximate != "none":
        raise RuntimeError(f"approximate argument must be either none or tanh, but got {approximate}")
    return np.asarray(0.5 * input * (1 + error_function.erf(np.asarray(input * math.sqrt(0.5)))))


gelu.gradient(input=lambda grad, input, approximate: _gelu_gradient(grad, input, approximate))


def _gelu_gradient(grad: Any, input: Any, approximate: str) -> Any:
    if approximate == "tanh":
        bent = tanh(_bent(input))
        slope = math.sqrt(2 / math.pi) * (1 + 3 * 0.044715 * (input * input))
        return grad * (0.5 * (1 + bent) + 0.5 * input * ((1 - bent * bent) * slope))
    density = exp(-0.5 * (input * input)) * (1 / math.sqrt(2 * math.pi))
    return grad * (0.5 * (1 + erf(input * math.sqrt(0.5))) + input * density)


def _bent(input: Any) -> Any:
    return math.sqrt(2 / math.pi) * (input + 0.044715 * (input * input * input))
