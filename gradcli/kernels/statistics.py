"""Statistics of an array, accumulated in double precision, in blocks that need little memory."""

from __future__ import annotations

import math
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import numpy as np

Array = np.ndarray[Any, Any]

BLOCK_ELEMENTS = 1 << 16


@dataclass(frozen=True, kw_only=True)
class Statistics:
    """Of all elements: Euclidean norm, mean, standard deviation (of a sample, as `torch.std`), extremes, and how many
    are zero or not finite. NaN where an array has too few elements, or NaN among them."""

    norm: float
    mean: float
    std: float
    min: float
    max: float
    zeros: int
    nonfinite: int


def statistics(array: Array) -> Statistics:
    """Compute the statistics of a real array of any shape, in two passes for an exact deviation."""
    count = array.size
    total = squares = 0.0
    lowest, highest = math.inf, -math.inf
    zeros = nonfinite = 0
    with np.errstate(over="ignore", invalid="ignore"):
        for block in _blocks(array):
            total += float(block.sum())
            squares += float(np.dot(block, block))
            lowest, highest = float(np.minimum(lowest, block.min())), float(np.maximum(highest, block.max()))
            zeros += count_of(block == 0)
            nonfinite += count_of(~np.isfinite(block))
        mean = total / count if count else math.nan
        deviations = sum(float(np.square(block - mean).sum()) for block in _blocks(array))
    return Statistics(
        norm=math.sqrt(squares) if squares == squares else math.nan,
        mean=mean,
        std=math.sqrt(deviations / (count - 1)) if count > 1 and deviations == deviations else math.nan,
        min=lowest if count else math.nan,
        max=highest if count else math.nan,
        zeros=zeros,
        nonfinite=nonfinite,
    )


def sum_of_squares(array: Array) -> float:
    """The sum of the squared elements, in double precision; infinite where it overflows."""
    with np.errstate(over="ignore", invalid="ignore"):
        return sum(float(np.dot(block, block)) for block in _blocks(array))


def count_of(mask: Array) -> int:
    """The number of true elements."""
    return int(np.count_nonzero(mask))


def _blocks(array: Array) -> Iterator[Array]:
    """The elements in memory order, a block at a time, as float64."""
    flat = array.ravel(order="K")
    for start in range(0, flat.size, BLOCK_ELEMENTS):
        yield flat[start : start + BLOCK_ELEMENTS].astype(np.float64)
