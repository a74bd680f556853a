"""Norms of gradients, and gradients made smaller in place, where low-rank ones stay the products that they are."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from functools import partial
from typing import TypeVar

import numpy as np

from gradcli.deferred import DeferredArray, settled
from gradcli.kernels import memory
from gradcli.kernels.layout import Array, memory_order
from gradcli.kernels.low_rank import LowRankGradient
from gradcli.kernels.threads import parallel

T = TypeVar("T")

BLOCK_ELEMENTS = 1 << 18  # worked on at a time


def sums_of_squares(gradients: Sequence[Array | DeferredArray]) -> list[float]:
    """The sum of the squared elements of each, in double precision; infinite where it overflows."""
    owners: list[int] = []
    tasks: list[tuple[int, Callable[[], float]]] = []
    for number, gradient in enumerate(gradients):
        if isinstance(gradient, LowRankGradient) and not gradient.is_computed:
            some = [(BLOCK_ELEMENTS, gradient.sum_of_squares)]
        else:
            some = [(block.size, partial(_squares, block)) for block in _blocks(settled(gradient))]
        tasks += some
        owners += [number] * len(some)
    sums = [0.0] * len(gradients)
    for number, squares in zip(owners, _results(tasks), strict=True):
        sums[number] += squares
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


def _squares(block: Array) -> float:
    values = memory.scratch("clipping.block", block.shape, np.float64)
    np.copyto(values, block)
    values = values.reshape(-1)
    return float(np.dot(values, values))


def _change(arrays: Sequence[Array], change: Callable[[Array], object]) -> None:
    """Run `change`, which works in place, on all of the arrays."""
    _results([(block.size, partial(change, block)) for array in arrays for block in _blocks(array)])


def _blocks(array: Array) -> list[Array]:
    """Views that make up the array, of one axis and few elements where its memory has no gaps."""
    axes = memory_order(array)
    if axes is None:
        return [array]
    flat = array.transpose(axes).reshape(-1)
    return [flat[first : first + BLOCK_ELEMENTS] for first in range(0, flat.size, BLOCK_ELEMENTS)]


def _results(tasks: Sequence[tuple[int, Callable[[], T]]]) -> list[T]:
    """What the tasks return, each given with the number of its elements; the threads share them in equal parts."""
    pieces: list[list[int]] = [[]]
    size = 0
    for number, (elements, _) in enumerate(tasks):
        if size >= BLOCK_ELEMENTS:
            pieces.append([])
            size = 0
        pieces[-1].append(number)
        size += elements
    results: dict[int, T] = {}

    def run(piece: int) -> None:
        for number in pieces[piece]:
            results[number] = tasks[number][1]()

    with np.errstate(all="ignore"):  # of this thread; the helpers keep quiet anyway
        parallel(run, len(pieces))
    return [results[number] for number in range(len(tasks))]
