"""What a model is made of: layers, output shapes, parameters, multiply-adds."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Any

from gradcli import nn
from gradcli.autograd import Tensor, no_grad
from gradcli.ops.creation import zeros
from gradcli.training.freezing import count_parameters


@dataclass(frozen=True, kw_only=True)
class LayerSummary:
    """One layer: its own parameters (numbers, and how many of them train), and what one pass costs it."""

    name: str
    type: str
    output_shape: tuple[int, ...]
    parameters: int
    trainable: int
    multiply_adds: int


@dataclass(frozen=True, kw_only=True)
class ModelSummary:
    """The layers in the order in which a pass meets them, and their totals."""

    layers: list[LayerSummary]
    input_shape: tuple[int, ...]
    parameters: int
    trainable: int
    multiply_adds: int


def summarize(model: nn.Module, input_shape: tuple[int, ...]) -> ModelSummary:
    """Run one pass over zeros of `input_shape` (N, C, H, W) in evaluation mode and note what each layer gives.

    Multiply-adds count convolutions and linear layers for the whole batch; the rest is small beside them.
    """
    layers: list[LayerSummary] = []
    handles = []
    for name, module in model.named_modules():
        if not any(True for _ in module.children()):
            handles.append(module.register_forward_hook(_recorder(name, layers)))
    modes = {module: module.training for module in model.modules()}
    try:
        with no_grad():
            model.eval()(zeros(input_shape))
    finally:
        for handle in handles:
            handle.remove()
        for module, training in modes.items():
            module.training = training
    count = count_parameters(model.parameters())
    return ModelSummary(
        layers=layers,
        input_shape=input_shape,
        parameters=count.total,
        trainable=count.trainable,
        multiply_adds=sum(layer.multiply_adds for layer in layers),
    )


def _recorder(name: str, layers: list[LayerSummary]) -> Any:
    called = 0

    def record(module: nn.Module, args: tuple[Any, ...], result: Tensor) -> None:
        nonlocal called
        called += 1
        own = count_parameters(module.parameters() if called == 1 else ())  # used twice, it has its parameters once
        layers.append(
            LayerSummary(
                name=name,
                type=type(module).__name__,
                output_shape=tuple(result.shape),
                parameters=own.total,
                trainable=own.trainable,
                multiply_adds=_multiply_adds(module, result),
            )
        )

    return record


def _multiply_adds(module: nn.Module, result: Tensor) -> int:
    if isinstance(module, nn.Conv2d):
        return result.numel() * math.prod(module.weight.shape[1:])
    if isinstance(module, nn.Linear):
        return result.numel() * module.in_features
    return 0
