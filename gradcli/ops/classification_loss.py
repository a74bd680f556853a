"""Losses of classification. Classes are dim 1 of a batch, dim 0 of a single item."""

from __future__ import annotations

import math
from typing import Any

import numpy as np

from gradcli.autograd.dtypes import Array
from gradcli.autograd.operation import op
from gradcli.autograd.tensor import Tensor
from gradcli.kernels import memory
from gradcli.ops.arguments import require_kind, require_tensors
from gradcli.ops.choosing import where
from gradcli.ops.loss_reduction import check_reduction, chosen_reduction
from gradcli.ops.reduction import sum, sum_all
from gradcli.ops.shape import view
from gradcli.ops.softmax import log_softmax

__all__ = [
    "cross_entropy",
    "nll_loss",
]


# --- negative log-likelihood ------------------------------------------------------------------------------------------


@op("NllLossBackward0")
def nll_loss_rows(input: Array, target: Array, weight: Array | None, ignore_index: int, reduction: str) -> Array:
    """Losses of classes (N,) under log-probabilities (N, C), or of one class under those of a single item (C,)."""
    return _nll_loss(input, target, weight, ignore_index, reduction)


@op("NllLoss2DBackward0")
def nll_loss_planes(input: Array, target: Array, weight: Array | None, ignore_index: int, reduction: str) -> Array:
    """Losses of classes (N, H, W) under log-probabilities (N, C, H, W)."""
    return _nll_loss(input, target, weight, ignore_index, reduction)


def _nll_loss(input: Array, target: Array, weight: Array | None, ignore_index: int, reduction: str) -> Array:
    """-input at each target's class, weighted by class; the mean is weighted."""
    require_kind("nll_loss", input)
    if target.dtype not in (np.int64, np.uint8):
        raise RuntimeError(f"expected target dtype to be int64 or uint8, but got {target.dtype.name}")
    classes = input.shape[min(input.ndim - 1, 1)]
    if weight is not None and weight.shape != (classes,):
        raise RuntimeError(
            f"weight tensor should be defined either for all {classes} classes or no classes "
            f"but got weight tensor of shape: {list(weight.shape)}"
        )
    if weight is not None and weight.dtype != input.dtype:
        raise RuntimeError(f"expected a weight of {input.dtype.name} as the input, but found {weight.dtype.name}")
    places, scale = _picked(target, weight, ignore_index, reduction, input.shape)
    losses = np.where(scale == 0, 0, -scale * input[places]).astype(input.dtype)
    if reduction == "none":
        return losses
    return np.asarray(np.sum(losses) if losses.size or reduction == "sum" else math.nan, input.dtype)


@op("NllLossBackwardBackward0")
def nll_loss_gradient(
    grad_output: Array,
    target: Array,
    weight: Array | None,
    ignore_index: int,
    reduction: str,
    input_shape: tuple[int, ...],
) -> Array:
    """The gradient of the losses with respect to log-probabilities: at each target's class, zero elsewhere."""
    places, scale = _picked(target, weight, ignore_index, reduction, input_shape)
    result = memory.zeros(input_shape, grad_output.dtype)
    counted = target != ignore_index  # without any, the mean is nan but its gradient zero, as in PyTorch
    result[places] = np.where(counted, -scale * grad_output, 0).reshape(scale.shape)
    return result


for _operation in (nll_loss_rows, nll_loss_planes):
    _operation.gradient(
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
    target: Array, weight: Array | None, ignore_index: int, reduction: str, input_shape: tuple[int, ...]
) -> tuple[tuple[Array, ...], Array]:
    """Where in the input the targets' classes are, and the factor of each loss; ignored ones have class 0, factor 0."""
    check_reduction(reduction)
    if len(input_shape) == 1:
        target = target.reshape(())
    classes = input_shape[min(len(input_shape) - 1, 1)]
    inside = (target >= 0) & (target < classes)
    if weight is None and not 0 <= ignore_index < classes and inside.all():  # all count alike, as nearly always
        chosen = target
        scale = np.full(target.shape, 1 / max(target.size, 1) if reduction == "mean" else 1.0)
    else:
        ignored = target == ignore_index
        outside = ~(inside | ignored)
        if outside.any():
            raise IndexError(f"Target {np.extract(outside, target)[0]} is out of bounds.")
        chosen = np.where(ignored, 0, target)
        scale = np.ones(target.shape, np.float64) if weight is None else weight[chosen].astype(np.float64)
        scale = np.where(ignored, 0, scale)
        if reduction == "mean":
            scale = scale / scale.sum()
    if target.ndim == 1:
        return (np.arange(len(target)), chosen), scale
    grid = np.indices(target.shape, sparse=True)
    return (*grid[:1], chosen, *grid[1:]), scale


def nll_loss(
    input: Any,
    target: Any,
    weight: Any = None,
    size_average: bool | None = None,
    ignore_index: int = -100,
    reduce: bool | None = None,
    reduction: str = "mean",
) -> Any:
    """Negative log-likelihood of classes target (N, ...) under log-probabilities input (N, C, ...), or () under (C,).

    Rows of class `ignore_index` don't count; `weight` (C,) scales by class. As `torch.nn.functional.nll_loss`.
    """
    require_tensors("nll_loss", input=input, target=target)
    reduction = chosen_reduction(size_average, reduce, reduction)
    if input.ndim == 0:
        raise ValueError("Expected 1 or more dimensions (got 0)")
    if input.ndim == 1:
        if math.prod(target.shape) != 1:
            raise ValueError(f"For 1D input, 1D target must have size 1, but got target size: {list(target.shape)}")
        return nll_loss_rows(input, target, weight, ignore_index, reduction)
    if target.ndim and target.shape[0] != input.shape[0]:
        raise ValueError(
            f"Expected input batch_size ({input.shape[0]}) to match target batch_size ({target.shape[0]})."
        )
    if tuple(target.shape) != (input.shape[0], *input.shape[2:]):
        raise RuntimeError(
            f"Expected target of size {[input.shape[0], *input.shape[2:]]} for input of size {list(input.shape)}, "
            f"got {list(target.shape)}"
        )
    if input.ndim == 2:
        return nll_loss_rows(input, target, weight, ignore_index, reduction)
    if input.ndim == 4:
        return nll_loss_planes(input, target, weight, ignore_index, reduction)
    pixels = math.prod(input.shape[2:])
    planes, classes = view(input, (*input.shape[:2], 1, pixels)), view(target, (input.shape[0], 1, pixels))
    losses = nll_loss_planes(planes, classes, weight, ignore_index, reduction)
    return view(losses, tuple(target.shape)) if reduction == "none" else losses


# --- cross-entropy ----------------------------------------------------------------------------------------------------


def cross_entropy(
    input: Any,
    target: Any,
    weight: Any = None,
    size_average: bool | None = None,
    ignore_index: int = -100,
    reduce: bool | None = None,
    reduction: str = "mean",
    label_smoothing: float = 0.0,
) -> Any:
    """Cross-entropy of logits input (N, C, ...) against classes (N, ...) or class probabilities (N, C, ...).

    Label smoothing mixes the target with the uniform distribution over the classes; the mean is over the weights of
    the targets' classes. As `torch.nn.functional.cross_entropy`.
    """
    require_tensors("cross_entropy", input=input, target=target)
    reduction = chosen_reduction(size_average, reduce, reduction)
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
    check_reduction(reduction)
    classes = log_probabilities.shape[class_dim]
    if label_smoothing:
        target = target * (1 - label_smoothing) + label_smoothing / classes
    products = log_probabilities * target
    if weight is not None:
        products = products * _along(weight, class_dim, log_probabilities.ndim)
    if reduction == "none":
        return -sum(products, class_dim)
    total = -sum_all(products)
    items = math.prod(log_probabilities.shape) / classes if classes else math.nan
    return divided(total, items) if reduction == "mean" else total


@op("DivBackward1")
def divided(input: Array, count: float) -> Array:
    """input / count, where count is a number: nan without any."""
    return np.asarray(input / input.dtype.type(count))


divided.gradient(input=lambda grad, count: divided(grad, count))


def _along(weight: Any, class_dim: int, ndim: int) -> Any:
    """Class weights (C,) in a shape that broadcasts along the class dim."""
    return view(weight, tuple(-1 if axis == class_dim else 1 for axis in range(ndim)))
