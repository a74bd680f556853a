"""The gradient that each image of a batch would have alone, of which the norms, from one pass of them all."""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

import numpy as np

from gradcli import nn
from gradcli.autograd import Tensor, no_grad
from gradcli.errors import UsageError
from gradcli.inspection.gradients.collection import Gradients, collect_gradients
from gradcli.inspection.gradients.grouping import owner_of
from gradcli.kernels.statistics import Array, sum_of_squares
from gradcli.training.losses import LOSSES
from gradcli.training.passes import Pass, overflow_allowed


@dataclass(frozen=True, kw_only=True)
class SampleGradient:
    """One image of a batch: the loss that it has alone, and the Euclidean norms of that loss's gradients.

    `norm` is of all chosen parameters together, `norms` of each of them by name.
    """

    index: int
    image: str
    loss: float
    norm: float
    norms: dict[str, float]


def per_sample_gradients(run: Pass, patterns: Sequence[str] = ()) -> tuple[Gradients, list[SampleGradient]]:
    """The gradients of the batch, as `collect_gradients` has them, and the norms of each image's own.

    An image's own gradient is that of a pass with this image alone. The gradient of a parameter is a product of what
    its layer was given and of the gradient of what the layer gave, summed over images and positions; here each image's
    part of that sum is taken (Goodfellow, "Efficient Per-Example Gradient Computations", 2015). Of a linear layer and
    of a batch norm, and of all biases, that takes one expression for all images; of a convolution a product of matrices
    for each. Where the loss is a mean over the batch, an image's part counts as many times as there are images.

    UsageError where a batch norm takes the batch's own statistics: then no image has a gradient of its own.
    """
    for name, module in run.model.named_modules():
        if isinstance(module, nn.BatchNorm2d) and module.training:
            raise UsageError(
                f"--per-sample: in train mode {name} computes with the statistics of the whole batch, so that no image "
                "has a gradient of its own; add --mode eval"
            )
    with _recorded_layers(run.model) as (layers, predictions):
        gradients = collect_gradients(run, patterns)
    count = len(run.names)
    factor = 1 if run.settings.loss == "sum-difference" else count  # the other losses are means over the images
    squares: dict[str, Array] = {name: np.zeros(count) for name in gradients.parameters}
    with overflow_allowed():
        for layer in layers:
            if layer.gradient is None:
                continue
            for name in gradients.parameters:
                if owner_of(name) == layer.name:
                    squares[name] += factor**2 * _squared_norms(layer, name.rpartition(".")[2])
    (prediction,) = predictions
    samples = []
    for index, image in enumerate(run.names):
        own = {name: float(values[index]) for name, values in squares.items()}
        samples.append(
            SampleGradient(
                index=index,
                image=image,
                loss=_own_loss(run, prediction, index),
                norm=_root(sum(own.values())),
                norms={name: _root(square) for name, square in own.items()},
            )
        )
    return gradients, samples


@dataclass
class _LayerCall:
    """A call of a layer with parameters: what it was given and, after backward, the gradient of what it gave."""

    name: str
    module: nn.Module
    given: Tensor
    gradient: Tensor | None = None

    def take(self, gradient: Tensor) -> None:
        self.gradient = gradient


@contextmanager
def _recorded_layers(model: nn.Module) -> Iterator[tuple[list[_LayerCall], list[Tensor]]]:
    """The calls of layers whose parameters train, and what the model gave, of passes within the `with` block.

    No number is looked at before the pass is over: that would have it computed by other means.
    """
    layers: list[_LayerCall] = []
    predictions: list[Tensor] = []

    def recorder(name: str) -> Any:
        def record(module: nn.Module, args: tuple[Any, ...], result: Tensor) -> None:
            if any(parameter.requires_grad for parameter in module.parameters(recurse=False)):
                layers.append(_LayerCall(name, module, args[0]))
                result.register_hook(layers[-1].take)
            if not name:
                predictions.append(result)

        return record

    handles = [module.register_forward_hook(recorder(name)) for name, module in model.named_modules()]
    try:
        yield layers, predictions
    finally:
        for handle in handles:
            handle.remove()


def _squared_norms(layer: _LayerCall, parameter: str) -> Array:
    """The squared norms (N,) of the images' shares in the gradient of this parameter of the layer.

    TypeError for a layer for which this is not known: the network has none.
    """
    assert layer.gradient is not None
    module, given, gradient = layer.module, layer.given.detach().array, layer.gradient.detach().array
    if parameter == "bias" and isinstance(module, nn.Linear | nn.Conv2d | nn.BatchNorm2d):
        return _squares_by_image(_sum_over_positions(gradient))
    if isinstance(module, nn.Linear):  # of an outer product: the product of the norms
        return _squares_by_image(given) * _squares_by_image(gradient)
    if isinstance(module, nn.BatchNorm2d):
        assert module.running_mean is not None
        assert module.running_var is not None
        deviation = np.sqrt(module.running_var.array.astype(np.float64) + module.eps)
        normalised = (given - module.running_mean.array[:, None, None]) / deviation[:, None, None]
        return _squares_by_image(_sum_over_positions(gradient * normalised))
    if isinstance(module, nn.Conv2d):
        return np.array([_convolution_square(module, *pair) for pair in zip(given, gradient, strict=True)])
    raise TypeError(f"the gradients of single images are not known of {type(module).__name__}")


def _convolution_square(module: nn.Conv2d, image: Array, gradient: Array) -> float:
    """The squared norm of the weight's gradient from an image (C, H, W) and its output's gradient (O, H', W').

    With few positions the products (P, P) of columns and of gradients with themselves tell it at less cost than the
    weight's gradient (O, K): |LR|^2 is the sum of (L^T L) * (R R^T). They are in double precision, as they may cancel.
    """
    (down, across), (step_down, step_across), groups = module.padding, module.stride, module.groups
    dilated = [(size - 1) * step + 1 for size, step in zip(module.kernel_size, module.dilation, strict=True)]
    padded = np.pad(image, ((0, 0), (down, down), (across, across)))
    windows = np.lib.stride_tricks.sliding_window_view(padded, dilated, axis=(1, 2))  # -> (C, y, x, kH, kW)
    windows = windows[:, ::step_down, ::step_across, :: module.dilation[0], :: module.dilation[1]]
    columns = windows.transpose(1, 2, 0, 3, 4)  # (C, H', W', kH, kW) -> (H', W', C, kH, kW)
    positions, depth = math.prod(columns.shape[:2]), math.prod(columns.shape[3:]) * (image.shape[0] // groups)
    by_group = columns.reshape(positions, groups, depth).swapaxes(0, 1)  # (P, G, K) -> (G, P, K)
    filters = gradient.reshape(groups, -1, positions)  # (O, H', W') -> (G, O/G, P)
    if positions * (filters.shape[1] + depth) < filters.shape[1] * depth:
        left, right = filters.astype(np.float64), by_group.astype(np.float64)
        square = ((left.swapaxes(1, 2) @ left) * (right @ right.swapaxes(1, 2))).sum()
        return float(np.maximum(square, 0))  # which keeps NaN, unlike Python's `max`
    return sum_of_squares(filters @ by_group)  # (G, O/G, P) (G, P, K)


def _sum_over_positions(array: Array) -> Array:
    """(N, C, H, W) summed to (N, C), in double precision; (N, C) stays."""
    sums: Array = array.reshape(*array.shape[:2], -1).sum(axis=2, dtype=np.float64)
    return sums


def _squares_by_image(array: Array) -> Array:
    """The squared norm (N,) of each row of (N, D)."""
    squares: Array = np.square(array, dtype=np.float64).sum(axis=1)
    return squares


def _own_loss(run: Pass, prediction: Tensor, index: int) -> float:
    assert run.target is not None
    alone = slice(index, index + 1)
    with no_grad(), overflow_allowed():
        loss = LOSSES[run.settings.loss](Tensor(prediction.detach().array[alone]), Tensor(run.target.array[alone]))
    return float(loss.item())


def _root(square: float) -> float:
    return math.sqrt(square) if square == square else math.nan
