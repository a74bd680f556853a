"""Norms of gradients, and gradients made smaller in place, where low-rank ones stay the products that they are."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from functools import partial

import numpy as np

from gradcli.deferred import DeferredArray, settled
from gradcli.kernels.layout import Array, memory_order
from gradcli.kernels.low_rank import LowRankGradient
from gradcli.kernels.statistics import sum_of_squares
from gradcli.kernels.threads import parallel

BLOCK_ELEMENTS = 1 << 18


def sums_of_squares(gradients: Sequence[Array | DeferredArray]) -> list[float]:
    """The sum of the squared elements of each, in double precision; infinite where it overflows."""
    sums = [0.0] * len(gradients)
    unformed = [number for number, gradient in enumerate(gradients) if _is_unformed(gradient)]

    def multiply_factors(place: int) -> None:
        gradient = gradients[unformed[place]]
        assert isinstance(gradient, LowRankGradient)
        sums[unformed[place]] = gradient.sum_of_squares()

    parallel(multiply_factors, len(unformed))
    for number in set(range(len(gradients))) - set(unformed):
        sums[number] = sum_of_squares(settled(gradients[number]))
    return sums


def scale(gradients: Sequence[Array | DeferredArray], factor: float) -> None:
    """Multiply all elements by a number, in place."""
    formed = []
    for gradient in gradients:
        if isinstance(gradient, LowRankGradient) and not gradient.is_computed:
            gradient.scale(factor)
        else:
            formed.append(settled(gradient))
    _change(formed, lambda block: np.multiply(block, factor, out=block))


def clamp(gradients: Sequence[Array | DeferredArray], limit: float) -> None:
    """Bring all elements into the range from -`limit` to `limit`, in place; NaN stays."""

    def clamp_block(block: Array) -> Array:
        np.maximum(block, -limit, out=block)
        return np.minimum(block, limit, out=block)

    _change([settled(gradient) for gradient in gradients], clamp_block)


def _is_unformed(gradient: Array | DeferredArray) -> bool:
    return isinstance(gradient, LowRankGradient) and not gradient.is_computed


def _change(arrays: Sequence[Array], change: Callable[[Array], object]) -> None:
    """Run `change`, which works in place, on blocks that make up all arrays, in lists of about equal work."""
    pieces: list[list[Callable[[], object]]] = [[]]
    size = 0
    for array in arrays:
        axes = memory_order(array)
        if axes is None:
            blocks = [array]
        else:
            flat = array.transpose(axes).reshape(-1)
            blocks = [flat[first : first + BLOCK_ELEMENTS] for first in range(0, flat.size, BLOCK_ELEMENTS)]
        for block in blocks:
            if size >= BLOCK_ELEMENTS:
                pieces.append([])
                size = 0
            pieces[-1].append(partial(change, block))
            size += block.size

    def run(number: int) -> None:
        for task in pieces[number]:
            task()

    with np.errstate(all="ignore"):  # of this thread; the helpers keep quiet anyway
        parallel(run, len(pieces))
