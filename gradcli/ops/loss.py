"""Losses. Classes are dim 1 of a batch, dim 0 of a single item."""

from __future__ import annotations

import math
from typing import Any

import numpy as np

from gradcli.autograd.dtypes import Array
from gradcli.autograd.operation import op
from gradcli.autograd.tensor import Tensor
from gradcli.kernels import memory
from gradcli.ops.activation import sigmoid
from gradcli.ops.elementwise import where
from gradcli.ops.promotion import promote_types, require_broadcastable, require_kind
from gradcli.ops.reduction import mean_all, sum, sum_all
from gradcli.ops.shape import permute_dims, view
from gradcli.ops.softmax import log_softmax

__all__ = [
    "binary_cross_entropy_with_logits",
    "cross_entropy",
    "mse_loss",
    "nll_loss",
    "softplus",
]

REDUCTIONS = ("none", "mean", "sum")


# --- reductions -------------------------------------------------------------------------------------------------------


def _reduced(losses: Array, reduction: str) -> Array:
    if reduction == "none":
        return losses
    if reduction == "sum":
        return np.asarray(np.sum(losses))
    if reduction == "mean":
        return np.asarray(np.mean(losses)) if losses.size else np.asarray(math.nan, losses.dtype)
    raise ValueError(f"{reduction} is not a valid value for reduction")


def _spread(grad: Any, count: int, reduction: str) -> Any:
    """The gradient of a reduced loss with respect to each of its `count` losses, before broadcasting."""
    return grad * (1 / count) if reduction == "mean" and count else grad


# --- regression and binary classification -----------------------------------------------------------------------------


@op("MseLossBackward0")
def mse_loss(input: Array, target: Array, reduction: str = "mean") -> Array:
    """Squared difference of input and target, broadcast; averaged, summed, or one by one (`none`)."""
    require_broadcastable(input.shape, target.shape)
    dtype = promote_types(input.dtype, target.dtype)
    if dtype.kind != "f":
        raise NotImplementedError(f"mse_loss not implemented for {dtype.name} tensors")
    return _reduced(np.square(np.subtract(input, target, dtype=dtype)), reduction)


mse_loss.gradient(
    input=lambda grad, input, target, reduction: _mse_gradient(grad, input, target, reduction),
    target=lambda grad, input, target, reduction: _mse_gradient(grad, target, input, reduction),
)


def _mse_gradient(grad: Any, towards: Any, other: Any, reduction: str) -> Any:
    difference = towards - other
    return _spread(grad, math.prod(difference.shape), reduction) * (2 * difference)


@op("BinaryCrossEntropyWithLogitsBackward0")
def binary_cross_entropy_with_logits(
    input: Array,
    target: Array,
    weight: Array | None = None,
    reduction: str = "mean",
    pos_weight: Array | None = None,
) -> Array:
    """-(y log sigmoid(x) + (1 - y) log(1 - sigmoid(x))) for logits x and probabilities y of one shape.

    `pos_weight` scales the first term, `weight` the whole; both broadcast.
    """
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
    return _reduced((losses if weight is None else losses * weight).astype(input.dtype, copy=False), reduction)


@binary_cross_entropy_with_logits.gradients("input", "target")
def _bce_gradients(
    grad: Any, input: Any, target: Any, weight: Any, reduction: str, pos_weight: Any, needs: tuple[bool, bool]
) -> tuple[Any, Any]:
    each = _spread(grad, math.prod(input.shape), reduction)
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
        slope = -input if pos_weight is None else softplus(-input) * pos_weight - softplus(input)
        grad_target = slope * each
    return grad_input, grad_target


@op("SoftplusBackward0")
def softplus(input: Array) -> Array:
    """log(1 + exp(input)), without overflow."""
    require_kind("softplus", input)
    return np.log1p(np.exp(-np.abs(input))) + np.maximum(input, 0)


softplus.gradient(input=lambda grad, input: grad * sigmoid(input))


# --- classification ---------------------------------------------------------------------------------------------------


@op("NllLossBackward0")
def nll_loss_rows(input: Array, target: Array, weight: Array | None, ignore_index: int, reduction: str) -> Array:
    """-input[i, target[i]], weighted by class, of log-probabilities (N, C) for classes (N,); the mean is weighted."""
    require_kind("nll_loss", input)
    if target.dtype not in (np.int64, np.uint8):
        raise RuntimeError(f"expected target dtype to be int64 or uint8, but got {target.dtype.name}")
    if weight is not None and weight.shape != input.shape[1:]:
        raise RuntimeError(
            f"weight tensor should be defined either for all {input.shape[1]} classes or no classes "
            f"but got weight tensor of shape: {list(weight.shape)}"
        )
    if weight is not None and weight.dtype != input.dtype:
        raise RuntimeError(f"expected a weight of {input.dtype.name} as the input, but found {weight.dtype.name}")
    rows, classes, scale = _picked(target, weight, ignore_index, reduction, input.shape[1])
    losses = np.where(scale == 0, 0, -scale * input[rows, classes]).astype(input.dtype)
    if reduction == "none":
        return losses
    return np.asarray(np.sum(losses) if len(rows) or reduction == "sum" else math.nan, input.dtype)


@op("NllLossBackwardBackward0")
def nll_loss_gradient(
    grad_output: Array,
    target: Array,
    weight: Array | None,
    ignore_index: int,
    reduction: str,
    input_shape: tuple[int, int],
) -> Array:
    """The gradient of `nll_loss_rows`: at each row's class, zero elsewhere."""
    rows, classes, scale = _picked(target, weight, ignore_index, reduction, input_shape[1])
    result = memory.zeros(input_shape, grad_output.dtype)
    counted = target != ignore_index  # without any, the mean is nan but its gradient zero, as in PyTorch
    result[rows, classes] = np.where(counted, -scale * grad_output, 0)
    return result


nll_loss_rows.gradient(
    input=lambda grad, target, weight, ignore_index, reduction, input_shape: nll_loss_gradient(
        grad, target, weight, ignore_index, reduction, input_shape
    )
)
nll_loss_gradient.gradient(
    grad_output=lambda grad, target, weight, ignore_index, reduction: nll_loss_rows(
        grad, target, weight, ignore_index, reduction
    )
)


def _picked(
    target: Array, weight: Array | None, ignore_index: int, reduction: str, classes: int
) -> tuple[Array, Array, Array]:
    """Row numbers, classes and the factor of each row's loss; ignored rows have class 0 and factor 0."""
    if reduction not in REDUCTIONS:
        raise ValueError(f"{reduction} is not a valid value for reduction")
    ignored = target == ignore_index
    outside = ~ignored & ((target < 0) | (target >= classes))
    if outside.any():
        raise IndexError(f"Target {target[outside][0]} is out of bounds.")
    chosen = np.where(ignored, 0, target)
    scale = np.ones(len(target), np.float64) if weight is None else weight[chosen].astype(np.float64)
    scale = np.where(ignored, 0, scale)
    if reduction == "mean":
        scale = scale / scale.sum()
    return np.arange(len(target)), chosen, scale


def nll_loss(input: Any, target: Any, weight: Any = None, *, ignore_index: int = -100, reduction: str = "mean") -> Any:
    """Negative log-likelihood of classes target (N, ...) under log-probabilities input (N, C, ...).

    Rows of class `ignore_index` don't count; `weight` (C,) scales by class. As `torch.nn.functional.nll_loss`.
    """
    if input.ndim == 0:
        raise ValueError("Expected 1 or more dimensions (got 0)")
    if input.ndim == 1:
        if math.prod(target.shape) != 1:
            raise ValueError(f"For 1D input, 1D target must have size 1, but got target size: {list(target.shape)}")
        single = nll_loss_rows(view(input, (1, -1)), view(target, (1,)), weight, ignore_index, reduction)
        return view(single, ()) if reduction == "none" else single
    if target.ndim and target.shape[0] != input.shape[0]:
        raise ValueError(
            f"Expected input batch_size ({input.shape[0]}) to match target batch_size ({target.shape[0]})."
        )
    if tuple(target.shape) != (input.shape[0], *input.shape[2:]):
        raise RuntimeError(
            f"Expected target of size {[input.shape[0], *input.shape[2:]]} for input of size {list(input.shape)}, "
            f"got {list(target.shape)}"
        )
    classes = target if target.ndim == 1 else view(target, (-1,))
    losses = nll_loss_rows(_class_rows(input), classes, weight, ignore_index, reduction)
    return view(losses, tuple(target.shape)) if reduction == "none" and target.ndim != 1 else losses


def cross_entropy(
    input: Any,
    target: Any,
    weight: Any = None,
    ignore_index: int = -100,
    reduction: str = "mean",
    label_smoothing: float = 0.0,
) -> Any:
    """Cross-entropy of logits input (N, C, ...) against classes (N, ...) or class probabilities (N, C, ...).

    Label smoothing mixes the target with the uniform distribution over the classes; the mean is over the weights of
    the targets' classes. As `torch.nn.functional.cross_entropy`.
    """
    if not 0 <= label_smoothing <= 1:
        raise RuntimeError(f"label_smoothing must be between 0.0 and 1.0. Got: {label_smoothing}")
    if input.ndim == 0:
        raise RuntimeError("cross_entropy: expected input of 1 or more dimensions (the classes), but got a 0-d tensor")
    class_dim = 0 if input.ndim == 1 else 1
    log_probabilities = log_softmax(input, class_dim)
    if target.is_floating_point():
        if tuple(target.shape) != tuple(input.shape):
            raise RuntimeError(
                f"a target of class probabilities must have the shape of the input {list(input.shape)}, "
                f"but has {list(target.shape)}"
            )
        if ignore_index >= 0:
            raise RuntimeError("ignore_index is not supported for floating point target")
        if weight is not None and tuple(weight.shape) != (input.shape[class_dim],):
            raise RuntimeError(
                f"cross_entropy: weight tensor should be defined either for all {input.shape[class_dim]} classes "
                f"or no classes but got weight tensor of shape: {list(weight.shape)}"
            )
        return _soft_cross_entropy(log_probabilities, target, weight, reduction, label_smoothing, class_dim)
    exact = nll_loss(log_probabilities, target, weight, ignore_index=ignore_index, reduction=reduction)
    if label_smoothing == 0:
        return exact
    classes = input.shape[class_dim]
    weighted = log_probabilities if weight is None else log_probabilities * _along(weight, class_dim, input.ndim)
    counted = target.array != ignore_index
    uniform = where(Tensor(counted), -sum(weighted, class_dim), 0.0)
    if reduction == "sum":
        uniform = sum_all(uniform)
    elif reduction == "mean":
        total = counted.sum() if weight is None else weight.array[target.array[counted]].sum()
        uniform = sum_all(uniform) * (1 / float(total) if total else 0.0)  # `exact` is nan where nothing counts
    return exact * (1 - label_smoothing) + uniform * (label_smoothing / classes)


def _soft_cross_entropy(
    log_probabilities: Any, target: Any, weight: Any, reduction: str, label_smoothing: float, class_dim: int
) -> Any:
    if reduction not in REDUCTIONS:
        raise ValueError(f"{reduction} is not a valid value for reduction")
    classes = log_probabilities.shape[class_dim]
    if label_smoothing:
        target = target * (1 - label_smoothing) + label_smoothing / classes
    products = log_probabilities * target
    if weight is not None:
        products = products * _along(weight, class_dim, log_probabilities.ndim)
    losses = -sum(products, class_dim)
    if reduction == "mean":
        return mean_all(losses)
    return sum_all(losses) if reduction == "sum" else losses


def _class_rows(input: Any) -> Any:
    """(N, C, ...) with classes last, as rows (N * ..., C)."""
    if input.ndim == 2:
        return input
    order = (0, *range(2, input.ndim), 1)
    return view(permute_dims(input, order), (-1, input.shape[1]))


def _along(weight: Any, class_dim: int, ndim: int) -> Any:
    """Class weights (C,) in a shape that broadcasts along the class dim."""
    return view(weight, tuple(-1 if axis == class_dim else 1 for axis in range(ndim)))
