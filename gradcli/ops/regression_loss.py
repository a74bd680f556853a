"""Losses of regression: squared and absolute differences, and what goes from one to the other."""

from __future__ import annotations

import math
import warnings
from collections.abc import Callable
from typing import Any

import numpy as np

from gradcli.autograd.dtypes import Array
from gradcli.autograd.operation import op
from gradcli.autograd.tensor import Tensor
from gradcli.ops.arguments import require_tensors, values_of
from gradcli.ops.choosing import where
from gradcli.ops.expansion import expand
from gradcli.ops.loss_reduction import check_reduction, chosen_reduction, reduced, reduced_array, spread
from gradcli.ops.promotion import promote_types, require_broadcastable
from gradcli.ops.reduction import sum_all
from gradcli.ops.rounding import abs

__all__ = [
    "huber_loss",
    "l1_loss",
    "mse_loss",
    "smooth_l1_loss",
]


def _difference(operation: str, input: Array, target: Array) -> Array:
    """input - target as floats; NotImplementedError where neither is of a float type."""
    require_broadcastable(input.shape, target.shape)
    dtype = promote_types(input.dtype, target.dtype)
    if dtype.kind != "f":
        raise NotImplementedError(f"{operation} not implemented for {dtype.name} tensors")
    return np.asarray(np.subtract(input, target, dtype=dtype))


@op("MseLossBackward0")
def squared_error(input: Array, target: Array, reduction: str) -> Array:
    """Squared difference of input and target."""
    return reduced_array(np.square(_difference("mse_loss", input, target)), reduction)


squared_error.gradient(
    input=lambda grad, input, target, reduction: _squared_error_gradient(grad, input, target, reduction),
    target=lambda grad, input, target, reduction: _squared_error_gradient(grad, target, input, reduction),
)


def _squared_error_gradient(grad: Any, towards: Any, other: Any, reduction: str) -> Any:
    difference = towards - other
    return spread(grad, math.prod(difference.shape), reduction) * (2 * difference)


@op("SmoothL1LossBackward0")
def smooth_absolute_error(input: Array, target: Array, reduction: str, beta: float) -> Array:
    """Absolute difference of input and target, less beta / 2; below beta, its square over 2 beta."""
    difference = np.abs(_difference("smooth_l1_loss", input, target))
    return reduced_array(
        np.where(difference < beta, 0.5 * difference * difference / beta, difference - 0.5 * beta), reduction
    )


smooth_absolute_error.gradient(
    input=lambda grad, input, target, reduction, beta: _smooth_gradient(grad, input, target, reduction, beta, 1),
    target=lambda grad, input, target, reduction, beta: _smooth_gradient(grad, target, input, reduction, beta, 1),
)


@op("HuberLossBackward0")
def huber_error(input: Array, target: Array, reduction: str, delta: float) -> Array:
    """Half of the squared difference up to delta; from there on, delta times the difference less delta / 2."""
    difference = np.abs(_difference("huber_loss", input, target))
    return reduced_array(
        np.where(difference <= delta, 0.5 * difference * difference, delta * (difference - 0.5 * delta)), reduction
    )


huber_error.gradient(
    input=lambda grad, input, target, reduction, delta: _smooth_gradient(grad, input, target, reduction, delta, delta),
    target=lambda grad, input, target, reduction, delta: _smooth_gradient(grad, target, input, reduction, delta, delta),
)


def _smooth_gradient(grad: Any, towards: Any, other: Any, reduction: str, width: float, slope: float) -> Any:
    """The gradient of what is quadratic up to a difference of `width`, and has this slope beyond."""
    difference = towards - other
    values = values_of(difference)
    inside: Any = np.abs(values) < width
    outside: Any = np.where(np.isnan(values), values, np.copysign(values.dtype.type(slope), values))
    if isinstance(difference, Tensor):
        inside, outside = Tensor(inside), Tensor(outside)
    return spread(grad, math.prod(difference.shape), reduction) * where(inside, difference * (slope / width), outside)


# --- as PyTorch has them ----------------------------------------------------------------------------------------------


def mse_loss(
    input: Any,
    target: Any,
    size_average: bool | None = None,
    reduce: bool | None = None,
    reduction: str = "mean",
    weight: Any = None,
) -> Any:
    """Squared difference of input and target; averaged, summed, or one by one (`none`). UserWarning if shapes differ.

    `weight`, of the input's shape, scales each; the mean is then over the weights. As `torch.nn.functional.mse_loss`.
    """
    input, target = _broadcast("mse_loss", input, target)
    reduction = chosen_reduction(size_average, reduce, reduction)
    if weight is None:
        return squared_error(input, target, reduction)
    return _weighted(lambda: (input - target) ** 2, input, weight, reduction)


def l1_loss(
    input: Any,
    target: Any,
    size_average: bool | None = None,
    reduce: bool | None = None,
    reduction: str = "mean",
    weight: Any = None,
) -> Any:
    """Absolute difference of input and target, with the options of `mse_loss`. As `torch.nn.functional.l1_loss`."""
    input, target = _broadcast("l1_loss", input, target)
    reduction = chosen_reduction(size_average, reduce, reduction)
    if weight is None:
        check_reduction(reduction)
        return reduced(abs(input - target), reduction)
    return _weighted(lambda: abs(input - target), input, weight, reduction)


def smooth_l1_loss(
    input: Any,
    target: Any,
    size_average: bool | None = None,
    reduce: bool | None = None,
    reduction: str = "mean",
    beta: float = 1.0,
) -> Any:
    """Absolute difference of input and target less beta / 2; below beta, its square over 2 beta.

    With beta 0 that is `l1_loss`. RuntimeError for a negative beta. As `torch.nn.functional.smooth_l1_loss`.
    """
    input, target = _broadcast("smooth_l1_loss", input, target)
    reduction = chosen_reduction(size_average, reduce, reduction)
    check_reduction(reduction)
    if beta < 0:
        raise RuntimeError(f"smooth_l1_loss does not support negative values for beta, but got {beta}")
    if beta == 0:
        return reduced(abs(input - target), reduction)
    return smooth_absolute_error(input, target, reduction, beta)


def huber_loss(input: Any, target: Any, reduction: str = "mean", delta: float = 1.0, weight: Any = None) -> Any:
    """Half of the squared difference up to delta; from there on, delta times the difference less delta / 2.

    `weight`, of the input's shape, scales each; the mean stays that over the elements. RuntimeError unless delta is
    above zero. As `torch.nn.functional.huber_loss`.
    """
    input, target = _broadcast("huber_loss", input, target)
    check_reduction(reduction)
    if delta <= 0:
        raise RuntimeError(f"huber_loss does not support non-positive values for delta, but got {delta}")
    if weight is None:
        return huber_error(input, target, reduction, delta)
    _check_weight(input, weight)
    return reduced(huber_error(input, target, "none", delta) * weight, reduction)


def _broadcast(function: str, input: Any, target: Any) -> tuple[Any, Any]:
    """Both in their common shape; RuntimeError where there is none, TypeError for what is no tensor."""
    require_tensors(function, input=input, target=target)
    shapes = tuple(input.shape), tuple(target.shape)
    if shapes[0] == shapes[1]:
        return input, target
    warnings.warn(
        f"Using a target size ({list(shapes[1])}) that is different to the input size ({list(shapes[0])}): both are "
        "broadcast, which is seldom meant",
        stacklevel=3,
    )
    require_broadcastable(*shapes)
    common = np.broadcast_shapes(*shapes)
    return tuple(x if shape == common else expand(x, common) for x, shape in zip((input, target), shapes, strict=True))


def _weighted(losses: Callable[[], Any], input: Any, weight: Any, reduction: str) -> Any:
    """`losses` times weight; their mean is over the weights."""
    _check_weight(input, weight)
    check_reduction(reduction)
    weighted = losses() * weight
    if reduction == "none":
        return weighted
    return sum_all(weighted) / sum_all(weight) if reduction == "mean" else sum_all(weighted)


def _check_weight(input: Any, weight: Any) -> None:
    if tuple(weight.shape) != tuple(input.shape):
        raise ValueError(
            f"Weights and input must have the same size, but got {list(weight.shape)} and {list(input.shape)}"
        )
