"""The gradients of chosen parameters after one forward and backward pass: the arrays, and what they look like."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from typing import Any

import numpy as np

from gradcli.errors import DivergedError, UsageError
from gradcli.kernels.policy import Kernels
from gradcli.kernels.statistics import Array, Statistics, statistics, sum_of_squares
from gradcli.training.freezing import match_names, require_trainable
from gradcli.training.passes import Pass, run_backward

INPUT_NAME = "input"
"""The name under which the input's own gradient appears."""


@dataclass(frozen=True, kw_only=True)
class _Heading:
    name: str
    shape: tuple[int, ...]
    dtype: str


@dataclass(frozen=True, kw_only=True)
class GradientRecord(Statistics, _Heading):  # in this order the name is the first field, and the statistics follow
    """One gradient's name, shape, dtype and statistics."""


@dataclass(frozen=True, kw_only=True)
class Gradients:
    """The gradients by name, in the model's order, and the pass that made them."""

    arrays: dict[str, Array]
    loss: float
    seconds: float
    weights: str
    mode: str
    frozen_batch_norms: int
    kernels: Kernels

    def records(self) -> list[GradientRecord]:
        """The statistics of each."""
        return [gradient_record(name, array) for name, array in self.arrays.items()]

    def check_finite(self) -> None:
        """DivergedError naming the first gradient with NaN or infinity in it."""
        for name, array in self.arrays.items():
            if not np.isfinite(array).all():
                raise DivergedError(f"the gradient of {name} is not finite")


@dataclass(frozen=True, kw_only=True)
class LayerGradient:
    """A layer's gradients together: Euclidean norm, and how many numbers they are."""

    name: str
    norm: float
    numel: int


def gradient_record(name: str, array: Array) -> GradientRecord:
    """The record of one gradient."""
    return GradientRecord(name=name, shape=array.shape, dtype=str(array.dtype), **asdict(statistics(array)))


def collect_gradients(run: Pass, patterns: Sequence[str] = (), *, wrt_input: bool = False) -> Gradients:
    """Gradients of the trainable parameters that any pattern matches (all of them without patterns).

    Only those are computed: backward ends at the earliest of them. `wrt_input` adds the input's gradient, (N, 3, H, W).
    Raises UsageError for a pattern without match and for parameters that are frozen.
    """
    parameters = dict(run.model.named_parameters())
    if patterns:
        chosen = {name for pattern in patterns for name in match_names(pattern, list(parameters), option="--param")}
        frozen = [name for name in parameters if name in chosen and not parameters[name].requires_grad]
        if frozen:
            raise UsageError(f"--param: {frozen[0]} is frozen, so it has no gradient; --unfreeze it")
        for name, parameter in parameters.items():
            parameter.requires_grad = name in chosen
    if not wrt_input:
        require_trainable(run.model, "there is no gradient")
    run.data.requires_grad = wrt_input
    _, loss, seconds = run_backward(run)
    arrays = run.gradients()
    if wrt_input and run.data.grad is not None:
        arrays[INPUT_NAME] = run.data.grad.array
    return Gradients(
        arrays=arrays,
        loss=loss.item(),
        seconds=seconds,
        weights=run.loaded.weights,
        mode=run.mode,
        frozen_batch_norms=run.frozen_batch_norms,
        kernels=run.settings.kernels,
    )


def norms_by_layer(gradients: dict[str, Array]) -> list[LayerGradient]:
    """The gradients' norms, summed up by the layer that owns the parameters, in the model's order."""
    squares: dict[str, float] = {}
    sizes: dict[str, int] = {}
    for name, array in gradients.items():
        layer = name.rpartition(".")[0] or name
        squares[layer] = squares.get(layer, 0.0) + sum_of_squares(array)
        sizes[layer] = sizes.get(layer, 0) + array.size
    return [LayerGradient(name=layer, norm=_root(squares[layer]), numel=sizes[layer]) for layer in squares]


def total_norm(gradients: dict[str, Array]) -> float:
    """Euclidean norm of all gradients together."""
    return _root(sum(sum_of_squares(array) for array in gradients.values()))


def _root(squares: float) -> float:
    return math.sqrt(squares) if squares == squares else math.nan


def flat_values(array: Array) -> list[Any]:
    """The elements in row-major order as Python numbers."""
    values: list[Any] = array.ravel().tolist()
    return values
