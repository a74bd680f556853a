"""Activation functions."""

from __future__ import annotations

import numpy as np

from gradcli.autograd.dtypes import Array
from gradcli.autograd.operation import op
from gradcli.deferred import DeferredArray, settled
from gradcli.kernels import elementwise
from gradcli.kernels.channel_expression import ChannelExpression
from gradcli.ops.promotion import as_floating

__all__ = [
    "relu",
    "sigmoid",
    "tanh",
]


@op("ReluBackward0", method=True, in_place=True, deferred=True)
def relu(input: Array | DeferredArray) -> Array | DeferredArray:
    """max(input, 0); its gradient at zero is zero."""
    if isinstance(input, ChannelExpression) and not input.is_computed:
        return input.rectified()
    values: Array = settled(input)
    if values.dtype == np.bool_:
        raise RuntimeError("Boolean inputs not supported for relu")
    return elementwise.rectify(values)


@op("ThresholdBackwardBackward0", deferred=True)
def threshold_backward(grad: Array | DeferredArray, out: Array | DeferredArray) -> Array | DeferredArray:
    """The gradient of relu: grad where its result `out` is above zero, else zero."""
    if isinstance(out, ChannelExpression):
        return ChannelExpression.of(grad).masked(out)
    return elementwise.masked(settled(grad), settled(out))


relu.gradient(input=lambda grad, out: threshold_backward(grad, out))
threshold_backward.gradient(
    grad=lambda grad, out: threshold_backward(grad, out),
    out=lambda grad: None,  # steps at zero and is flat elsewhere
)


@op("SigmoidBackward0", method=True, in_place=True)
def sigmoid(input: Array) -> Array:
    """1 / (1 + exp(-input)): 0 where the exponential overflows, as it should be."""
    return elementwise.apply(_sigmoid, as_floating(input))


def _sigmoid(input: Array, out: Array | None = None) -> Array:
    result = np.negative(input, out=np.empty_like(input) if out is None else out)
    np.exp(result, out=result)
    result += 1
    return np.reciprocal(result, out=result)


sigmoid.gradient(input=lambda grad, out: grad * ((1 - out) * out))


@op("TanhBackward0", method=True, in_place=True)
def tanh(input: Array) -> Array:
    """Hyperbolic tangent."""
    return elementwise.apply(np.tanh, as_floating(input))


tanh.gradient(input=lambda grad, out: grad * (1 - out * out))
