"""Directions in the space of a model's trainable parameters."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np
from numpy.typing import NDArray

from gradcli.inspection.gradients.statistics import norm_of
from gradcli.nn import Module
from gradcli.ops.random import randn

Direction = Mapping[str, NDArray[Any]]
"""By how much each parameter moves for 1 of distance, by name; those that are missing rest."""


def random_direction(model: Module) -> Direction:
    """A normally distributed direction, each filter of which is as long as the weights' own.

    So weights that batch norm makes indifferent to their size move as far as others do (filter normalisation, Li et
    al., "Visualizing the Loss Landscape of Neural Nets", 2018). A row of a linear layer is a filter. Biases and the
    parameters of batch norms rest, as they do there, and so do frozen parameters. Drawn from the default generator.
    """
    direction = {}
    for name, parameter in model.named_parameters():
        if not parameter.requires_grad or parameter.ndim < 2:
            continue
        noise = randn(tuple(parameter.shape)).array
        # (filters, numbers of each)
        lengths, own = (
            np.linalg.norm(array.reshape(len(array), -1), axis=1).reshape(-1, *(1,) * (parameter.ndim - 1))
            for array in (noise, parameter.array)
        )
        direction[name] = noise * (own / np.maximum(lengths, np.finfo(np.float32).tiny))
    return direction


def downhill(gradients: Direction, length: float) -> Direction:
    """Against the gradients, all of them scaled alike to be of this length together; zero where they are."""
    norm = norm_of(list(gradients.values()))
    scale = length / norm if norm else 0.0
    return {name: gradient * np.float32(-scale) for name, gradient in gradients.items()}


def slope(gradients: Direction, direction: Direction) -> float:
    """The derivative of the loss in a direction, in double precision."""
    return sum(
        float(np.vdot(gradients[name].astype(np.float64), moved.astype(np.float64)))
        for name, moved in direction.items()
        if name in gradients
    )
