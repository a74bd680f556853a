"""The gradients of chosen parameters after one forward and backward pass."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from gradcli.errors import DivergedError, UsageError
from gradcli.kernels.policy import Kernels
from gradcli.kernels.statistics import Array
from gradcli.training.freezing import match_names, require_trainable
from gradcli.training.passes import Pass, run_backward

INPUT_NAME = "input"
"""The name under which the input's own gradient appears."""


@dataclass(frozen=True, kw_only=True)
class Gradients:
    """The gradients by name, in the model's order, and the pass that made them."""

    arrays: dict[str, Array]
    """Of parameters and the input; or other arrays of the pass, under names of their own."""
    parameters: dict[str, Array]
    """The values of the parameters that have gradients: the very arrays of the model."""
    unreached: list[str]
    """Parameters that were asked for and train, but that no gradient reached."""
    loss: float
    seconds: float
    weights: str
    mode: str
    kernels: Kernels

    def check_finite(self) -> None:
        """DivergedError naming the first gradient with NaN or infinity in it."""
        for name, array in self.arrays.items():
            if not np.isfinite(array).all():
                is_gradient = name in self.parameters or name == INPUT_NAME
                raise DivergedError(f"{'the gradient of ' if is_gradient else ''}{name} is not finite")


def collect_gradients(run: Pass, patterns: Sequence[str] = (), *, wrt_input: bool = False) -> Gradients:
    """Gradients of the trainable parameters that any pattern matches (all of them without patterns).

    Only those are computed: backward ends at the earliest of them. `wrt_input` adds the input's gradient, (N, 3, H, W).
    Raises UsageError for a pattern without match and for parameters that are frozen.
    """
    parameters = dict(run.model.named_parameters())
    if patterns:
        chosen = matched_parameters(run, patterns)
        frozen = [name for name in chosen if not parameters[name].requires_grad]
        if frozen:
            raise UsageError(f"--param: {frozen[0]} is frozen, so it has no gradient; --unfreeze it")
        for name, parameter in parameters.items():
            parameter.requires_grad = name in chosen
    if not wrt_input:
        require_trainable(run.model, "there is no gradient")
    run.data.requires_grad = wrt_input
    _, loss, seconds = run_backward(run)
    return gradients_of_pass(run, loss.item(), seconds)


def matched_parameters(run: Pass, patterns: Sequence[str]) -> list[str]:
    """The names of the parameters that any pattern matches, in the model's order; all without patterns.

    UsageError for a pattern without match.
    """
    names = [name for name, _ in run.model.named_parameters()]
    if not patterns:
        return names
    chosen = {name for pattern in patterns for name in match_names(pattern, names, option="--param")}
    return [name for name in names if name in chosen]


def gradients_of_pass(run: Pass, loss: float, seconds: float, names: Sequence[str] | None = None) -> Gradients:
    """The gradients that backward left on the trainable parameters, of these `names` only, and on the input."""
    trainable = {
        name: parameter
        for name, parameter in run.model.named_parameters()
        if parameter.requires_grad and (names is None or name in names)
    }
    arrays = {name: array for name, array in run.gradients().items() if name in trainable}
    values = {name: trainable[name].array for name in arrays}
    if run.data.grad is not None:
        arrays[INPUT_NAME] = run.data.grad.array
    return Gradients(
        arrays=arrays,
        parameters=values,
        unreached=[name for name in trainable if name not in arrays],
        loss=loss,
        seconds=seconds,
        weights=run.loaded.weights,
        mode=run.mode,
        kernels=run.settings.kernels,
    )


def flat_values(array: Array) -> list[Any]:
    """The elements in row-major order as Python numbers."""
    values: list[Any] = array.ravel().tolist()
    return values
