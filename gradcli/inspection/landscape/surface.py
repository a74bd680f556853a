"""The loss of one batch at weights around the given ones."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass

import numpy as np

from gradcli.errors import UsageError
from gradcli.inspection.gradients.collection import collect_gradients
from gradcli.inspection.gradients.statistics import norm_of
from gradcli.inspection.landscape.directions import Direction, downhill, random_direction, slope
from gradcli.training.passes import Pass, check_finite_loss, run_forward


@dataclass(frozen=True, kw_only=True)
class LandscapeSettings:
    """How far, and at how many points from one end to the other; with `grid`, at so many times so many.

    `points` is odd, so that the weights themselves are among them. UsageError for values that make no landscape.
    """

    radius: float = 1.0
    points: int = 41
    grid: bool = False

    def __post_init__(self) -> None:
        if not 0 < self.radius < np.inf:
            raise UsageError(f"--radius {self.radius:g}: expected a finite number above 0")
        if self.points < 3 or self.points % 2 == 0:
            raise UsageError(
                f"--points {self.points}: expected an odd number of at least 3, with the weights in the middle"
            )

    def distances(self) -> list[float]:
        """From -radius to radius, 0 in the middle."""
        half = self.points // 2
        return [self.radius * step / half for step in range(-half, half + 1)]


@dataclass(frozen=True, kw_only=True)
class LandscapePoint:
    """The loss at the weights moved so far down the gradient and in the random direction."""

    gradient: float
    random: float
    loss: float


@dataclass(frozen=True, kw_only=True)
class Landscape:
    """The points, and what holds at the weights themselves.

    `length` is the Euclidean length of 1 of distance, the same in both directions. `lr_per_distance` is the learning
    rate of the step of plain SGD that goes 1 down the gradient (infinite where that is zero). The slopes are the loss's
    derivatives by distance, from backward.
    """

    loss: float
    grad_norm: float
    length: float
    lr_per_distance: float
    slope_gradient: float
    slope_random: float
    distances: tuple[float, ...]
    points: tuple[LandscapePoint, ...]


def landscape(
    run: Pass, settings: LandscapeSettings, on_point: Callable[[int], None] = lambda count: None
) -> Landscape:
    """The loss of the pass's batch along the two directions through its weights, or on the grid between them.

    Without `grid`: first down the gradient, then in the random direction, the weights themselves only once. Afterwards
    parameters and statistics are as before. `on_point` is called with 1 after each. DivergedError where the loss or a
    gradient at the weights is not finite.
    """
    with _restored(run) as base:
        gradients = collect_gradients(run)
        check_finite_loss(gradients.loss, run)
        gradients.check_finite()
        run.model.zero_grad()
        sideways = random_direction(run.model)
        if not sideways:
            raise UsageError(
                "no weights of a convolution or of fc train, so there is no random direction; --unfreeze some"
            )
        length = norm_of(list(sideways.values()))
        down = downhill(gradients.arrays, length)
        grad_norm = norm_of(list(gradients.arrays.values()))
        points = []
        for along, across in _places(settings):
            loss = gradients.loss
            if (along, across) != (0.0, 0.0):
                _move(run, base, ((along, down), (across, sideways)))
                _, tensor, _ = run_forward(run, with_loss=True)
                assert tensor is not None
                loss = tensor.item()
            points.append(LandscapePoint(gradient=along, random=across, loss=loss))
            on_point(1)
    return Landscape(
        loss=gradients.loss,
        grad_norm=grad_norm,
        length=length,
        lr_per_distance=length / grad_norm if grad_norm else float("inf"),
        slope_gradient=slope(gradients.arrays, down),
        slope_random=slope(gradients.arrays, sideways),
        distances=tuple(settings.distances()),
        points=tuple(points),
    )


def point_count(settings: LandscapeSettings) -> int:
    """How many points there will be."""
    return len(_places(settings))


def _places(settings: LandscapeSettings) -> list[tuple[float, float]]:
    distances = settings.distances()
    if settings.grid:
        return [(along, across) for across in distances for along in distances]
    return [(along, 0.0) for along in distances] + [(0.0, across) for across in distances if across]


def _move(run: Pass, base: Direction, moves: Sequence[tuple[float, Direction]]) -> None:
    for name, parameter in run.model.named_parameters():
        value = base[name]
        for distance, direction in moves:
            if distance and name in direction:
                value = value + np.float32(distance) * direction[name]
        if value is not base[name] or not np.array_equal(parameter.array, value):
            parameter.array[...] = value


@contextmanager
def _restored(run: Pass) -> Iterator[Direction]:
    """Gives the values of all parameters, which they and the buffers have again after the block."""
    base = {name: parameter.array.copy() for name, parameter in run.model.named_parameters()}
    buffers = {name: buffer.array.copy() for name, buffer in run.model.named_buffers()}
    try:
        yield base
    finally:
        _move(run, base, ())
        for name, buffer in run.model.named_buffers():
            buffer.array[...] = buffers[name]
