"""Statistics of an array, accumulated in double precision, in blocks that need little memory.

The threads share the blocks. What is summed over them is added up in order, so that results don't depend on who
computed what.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from typing import Any, TypeVar

import numpy as np

from gradcli.kernels import memory
from gradcli.kernels.threads import parallel

Array = np.ndarray[Any, Any]

T = TypeVar("T")

BLOCK_ELEMENTS = 1 << 17  # 1 MB in double precision


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
    if array.size == 0:
        return Statistics(norm=0.0, mean=math.nan, std=math.nan, min=math.nan, max=math.nan, zeros=0, nonfinite=0)
    blocks = _of_blocks(_block_statistics, array)
    squares = sum(block.squares for block in blocks)
    mean = sum(block.total for block in blocks) / array.size

    def squared_deviations(block: Array) -> float:
        deviations = _as_double(block)
        np.subtract(deviations, mean, out=deviations)
        return float(np.dot(deviations, deviations))

    deviations = sum(_of_blocks(squared_deviations, array))
    return Statistics(
        norm=math.sqrt(squares) if squares == squares else math.nan,
        mean=mean,
        std=math.sqrt(deviations / (array.size - 1)) if array.size > 1 and deviations == deviations else math.nan,
        min=float(np.min([block.lowest for block in blocks])),  # NaN where there is one, unlike Python's `min`
        max=float(np.max([block.highest for block in blocks])),
        zeros=sum(block.zeros for block in blocks),
        nonfinite=sum(block.nonfinite for block in blocks),
    )


def finite_statistics(array: Array) -> Statistics:
    """The statistics of the finite elements; `nonfinite` counts the others. NaN where no element is finite."""
    finite = np.isfinite(array)
    count = array.size - count_of(finite)
    if not count:
        return statistics(array)
    found = statistics(array[finite])
    return replace(found, norm=found.norm if count < array.size else math.nan, nonfinite=count)


def first_non_finite(array: Array) -> tuple[int, ...] | None:
    """The index of the first NaN or infinity in row-major order; None where all elements are finite."""
    finite = np.isfinite(array)
    if finite.all():
        return None
    return tuple(int(place) for place in np.unravel_index(np.argmin(finite), array.shape))


def sum_of_squares(array: Array) -> float:
    """The sum of the squared elements, in double precision; infinite where it overflows."""
    return float(sum(_of_blocks(_squares, array)))


def quantiles(arrays: Sequence[Array], shares: Sequence[float]) -> list[list[float]]:
    """The quantiles of each array's finite elements, below which the given shares (0 to 1) of them lie.

    Exact: elements themselves, or between two neighbours the straight line, as `numpy.quantile` and `torch.quantile`
    have it, in double precision. NaN for an array without finite elements. The threads share the arrays.
    """
    results: list[list[float]] = [[math.nan] * len(shares) for _ in arrays]
    wanted = np.asarray(shares, np.float64)

    def compute(number: int) -> None:
        values = arrays[number].ravel(order="K")
        finite = np.isfinite(values)
        values = values.copy() if finite.all() else values[finite]
        if values.size:
            # Not `numpy.quantile`, which subtracts neighbours in their own precision: the result is off, or infinite.
            below, above = (rounded(wanted * (values.size - 1)).astype(np.intp) for rounded in (np.floor, np.ceil))
            values.partition(np.union1d(below, above))
            fractions = wanted * (values.size - 1) - below
            low, high = values[below].astype(np.float64), values[above].astype(np.float64)
            results[number] = (low + (high - low) * fractions).tolist()

    if arrays:
        parallel(compute, len(arrays))
    return results


def count_of(mask: Array) -> int:
    """The number of true elements."""
    return int(np.count_nonzero(mask))


@dataclass(frozen=True, slots=True)
class _BlockStatistics:
    total: float
    squares: float
    lowest: float
    highest: float
    zeros: int
    nonfinite: int


def _block_statistics(block: Array) -> _BlockStatistics:
    values = _as_double(block)
    squares = float(np.dot(values, values))
    return _BlockStatistics(
        total=float(values.sum()),
        squares=squares,
        lowest=float(block.min()),
        highest=float(block.max()),
        zeros=block.size - count_of(block),
        nonfinite=0 if math.isfinite(squares) else block.size - count_of(np.isfinite(block)),
    )


def _squares(block: Array) -> float:
    values = _as_double(block)
    return float(np.dot(values, values))


def _as_double(block: Array) -> Array:
    """The block in double precision, in memory that is this thread's own until it asks again."""
    values = memory.scratch("statistics.block", block.shape, np.dtype(np.float64))
    np.copyto(values, block)
    return values


def _of_blocks(function: Callable[[Array], T], array: Array) -> list[T]:
    """What `function` gives for each block of elements, in memory order. It may overflow without a word."""
    flat = array.ravel(order="K")
    count = -(-flat.size // BLOCK_ELEMENTS)
    results: list[Any] = [None] * count

    def compute(number: int) -> None:
        results[number] = function(flat[number * BLOCK_ELEMENTS : (number + 1) * BLOCK_ELEMENTS])

    with np.errstate(over="ignore", invalid="ignore"):  # of this thread; the helpers keep quiet anyway
        parallel(compute, count)
    return results
