"""The loss of binary classification."""

from __future__ import annotations

import math
from typing import Any

import numpy as np

from gradcli.autograd.dtypes import Array
from gradcli.autograd.operation import op
from gradcli.ops.activation import sigmoid
from gradcli.ops.arguments import require_kind
from gradcli.ops.loss_reduction import chosen_reduction, reduced_array, spread
from gradcli.ops.promotion import require_broadcastable
from gradcli.ops.smooth_activation import logsigmoid

__all__ = [
    "binary_cross_entropy_with_logits",
]


@op("BinaryCrossEntropyWithLogitsBackward0")
def logistic_loss(input: Array, target: Array, weight: Array | None, reduction: str, pos_weight: Array | None) -> Array:
    """-(y log sigmoid(x) + (1 - y) log(1 - sigmoid(x))) for logits x and probabilities y of one shape."""
    if target.shape != input.shape:
        raise ValueError(f"Target size {list(target.shape)} must be the same as input size {list(input.shape)}")
    require_kind("binary_cross_entropy_with_logits", input)
    if target.dtype.kind != "f":
        raise RuntimeError(f"binary_cross_entropy_with_logits: targets are probabilities, not {target.dtype.name}")
    for name, scale in (("weight", weight), ("pos_weight", pos_weight)):
        if scale is not None:
            require_broadcastable(scale.shape, input.shape)
            if scale.ndim > input.ndim or np.broadcast_shapes(scale.shape, input.shape) != input.shape:
                raise RuntimeError(f"{name} of shape {list(scale.shape)} can't be broadcast to {list(input.shape)}")
    tail = np.log1p(np.exp(-np.abs(input))) + np.maximum(-input, 0)  # -log sigmoid(input)
    if pos_weight is None:
        losses = (1 - target) * input + tail
    else:
        losses = (1 - target) * input + (1 + (pos_weight - 1) * target) * tail
    # The type is the target's, as in PyTorch.
    return reduced_array((losses if weight is None else losses * weight).astype(target.dtype, copy=False), reduction)


@logistic_loss.gradients("input", "target")
def _logistic_gradients(
    grad: Any, input: Any, target: Any, weight: Any, reduction: str, pos_weight: Any, needs: tuple[bool, bool]
) -> tuple[Any, Any]:
    each = spread(grad, math.prod(input.shape), reduction)
    if weight is not None:
        each = each * weight
    grad_input = grad_target = None
    if needs[0]:
        if pos_weight is None:
            grad_input = (sigmoid(input) - target) * each
        else:
            positive = target * pos_weight
            grad_input = ((positive + 1 - target) * sigmoid(input) - positive) * each
    if needs[1]:
        slope = -input if pos_weight is None else logsigmoid(-input) - logsigmoid(input) * pos_weight
        grad_target = slope * each
    return grad_input, grad_target


def binary_cross_entropy_with_logits(
    input: Any,
    target: Any,
    weight: Any = None,
    size_average: bool | None = None,
    reduce: bool | None = None,
    reduction: str = "mean",
    pos_weight: Any = None,
) -> Any:
    """-(y log sigmoid(x) + (1 - y) log(1 - sigmoid(x))) for logits x and probabilities y of one shape.

    `pos_weight` scales the first term, `weight` the whole; both broadcast. Averaged, summed, or one by one (`none`). As
    `torch.nn.functional.binary_cross_entropy_with_logits`.
    """
    return logistic_loss(input, target, weight, chosen_reduction(size_average, reduce, reduction), pos_weight)
