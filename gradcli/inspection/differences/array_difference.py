"""What sets two arrays of one shape apart: largest, relative and last-place differences, direction, and where."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Any, Final

import numpy as np

from gradcli.inspection.differences.units_in_last_place import coarser_dtype, distance_dtype, ulp_distances
from gradcli.inspection.differences.vector_difference import VectorDifference, joined, vector_difference

Array = np.ndarray[Any, Any]

_BLOCK_ELEMENTS: Final = 1 << 15  # 256 KB in double precision: all that is made of a block stays in the cache

_EXACT_INTEGERS: Final = 2.0**53  # up to which every integer is a double


@dataclass(frozen=True, kw_only=True)
class ArrayDifference:
    """The difference of arrays A and B.

    Elements are equal if they are the same number (the two zeros are) or infinity, or both NaN. `differing` counts the
    others, and `unmatched_nonfinite` those among them of which one or both are NaN or infinite. `max_abs` is the
    largest |a - b|, NaN where one of two alone is NaN; `position` is the index of the first such element, `value_a` and
    `value_b` are what stands there (None where nothing differs). `vectors` has norms and cosine, for which equal NaN
    and infinities count as zeros. `ulp_max` and `ulp_median` (the lower of two) are distances in units in the last
    place of the coarser dtype; None for integers and truth values, and where one of two alone is NaN.
    """

    elements: int
    differing: int
    unmatched_nonfinite: int
    max_abs: float
    position: tuple[int, ...] | None
    value_a: float | int | bool | None
    value_b: float | int | bool | None
    vectors: VectorDifference
    ulp_max: int | None
    ulp_median: int | None


def array_difference(a: Array, b: Array, dtype_a: str, dtype_b: str) -> ArrayDifference:
    """Compare two arrays of one shape and of any supported dtypes, block by block.

    `dtype_a` and `dtype_b` are PyTorch's names for what the values are in their files: bfloat16 comes as float32
    arrays. Everything is computed in double precision, differences of integers exactly before. Beside some blocks no
    more is in memory than a last-place distance for each element.
    """
    flat_a, flat_b = a.reshape(-1), b.reshape(-1)
    ulp_dtype = coarser_dtype(dtype_a, dtype_b)
    # Zeros to begin with, which take no memory where all blocks are equal.
    distances = np.zeros(flat_a.size, distance_dtype(ulp_dtype)) if ulp_dtype else None
    blocks: list[_BlockDifference] = []
    largest = _NO_DIFFERENCE
    with np.errstate(over="ignore", under="ignore", invalid="ignore"):
        for start in range(0, flat_a.size, _BLOCK_ELEMENTS):
            part_a, part_b = (flat[start : start + _BLOCK_ELEMENTS] for flat in (flat_a, flat_b))
            if _have_equal_bits(part_a, part_b):
                blocks.append(_equal_block(part_a))
                continue
            block = _block_difference(part_a, part_b, start)
            blocks.append(block)
            if block.largest.exceeds(largest):
                largest = block.largest
            if distances is not None and ulp_dtype is not None:
                distances[start : start + _BLOCK_ELEMENTS] = _distances(part_a, part_b, ulp_dtype)
    index = largest.index
    ulp_max, ulp_median = None, None
    if distances is not None and not math.isnan(largest.value):
        ulp_max, ulp_median = _largest_and_median(distances)
    return ArrayDifference(
        elements=flat_a.size,
        differing=sum(block.differing for block in blocks),
        unmatched_nonfinite=sum(block.unmatched_nonfinite for block in blocks),
        max_abs=largest.value,
        position=None if index is None else tuple(int(each) for each in np.unravel_index(index, a.shape)),
        value_a=None if index is None else flat_a[index].item(),
        value_b=None if index is None else flat_b[index].item(),
        vectors=joined([block.vectors for block in blocks]),
        ulp_max=ulp_max,
        ulp_median=ulp_median,
    )


@dataclass(frozen=True, slots=True)
class _Largest:
    """The largest difference so far, and the position of the element that has it, if any has one."""

    value: float
    index: int | None

    def exceeds(self, other: _Largest) -> bool:
        """Whether it is larger; NaN is larger than every number."""
        if self.index is None or math.isnan(other.value):
            return False
        return math.isnan(self.value) or other.index is None or self.value > other.value


_NO_DIFFERENCE: Final = _Largest(0.0, None)


@dataclass(frozen=True, slots=True)
class _BlockDifference:
    differing: int
    unmatched_nonfinite: int
    largest: _Largest
    vectors: VectorDifference


def _have_equal_bits(a: Array, b: Array) -> bool:
    bits = f"u{a.itemsize}"
    return a.dtype == b.dtype and np.array_equal(a.view(bits), b.view(bits))


def _equal_block(values: Array) -> _BlockDifference:
    doubles = values.astype(np.float64)
    if not np.isfinite(doubles).all():
        doubles[~np.isfinite(doubles)] = 0
    return _BlockDifference(0, 0, _NO_DIFFERENCE, vector_difference(doubles, doubles, np.zeros(0)))


def _block_difference(a: Array, b: Array, start: int) -> _BlockDifference:
    """The difference of two blocks that begin at position `start` of their arrays."""
    doubles_a, doubles_b = a.astype(np.float64), b.astype(np.float64)
    unmatched = 0
    if not (np.isfinite(doubles_a).all() and np.isfinite(doubles_b).all()):
        equal = (doubles_a == doubles_b) | (np.isnan(doubles_a) & np.isnan(doubles_b))
        nonfinite = ~(np.isfinite(doubles_a) & np.isfinite(doubles_b))
        doubles_a[equal & nonfinite] = doubles_b[equal & nonfinite] = 0
        unmatched = int(np.count_nonzero(nonfinite & ~equal))
    if a.dtype == b.dtype and a.dtype.kind != "f":
        differences = _integer_distances(a, b)
    else:
        differences = doubles_a - doubles_b
        np.abs(differences, out=differences)
        if a.dtype.kind != "f" or b.dtype.kind != "f":
            _restore_hidden(differences, a, b, doubles_a)
    differing = int(np.count_nonzero(differences))
    index = int(np.argmax(differences))  # the first NaN, where there is one
    return _BlockDifference(
        differing,
        unmatched,
        _Largest(float(differences[index]), start + index) if differing else _NO_DIFFERENCE,
        vector_difference(doubles_a, doubles_b, differences),
    )


def _integer_distances(a: Array, b: Array) -> Array:
    """|a - b| of integers or truth values: exact, then in double precision, where no distance becomes zero."""
    bits = f"u{a.itemsize}"
    if a.dtype.kind == "b":
        a, b = a.view(bits), b.view(bits)
    # The difference may wrap around; read as an unsigned number it is right again.
    return np.subtract(np.maximum(a, b), np.minimum(a, b)).view(bits).astype(np.float64)


def _restore_hidden(differences: Array, a: Array, b: Array, doubles: Array) -> None:
    """Put in the differences between integers and another dtype that are zero only because doubles are rounded."""
    for place in np.flatnonzero((differences == 0) & (np.abs(doubles) >= _EXACT_INTEGERS)):
        differences[place] = abs(int(a[place]) - int(b[place]))


def _distances(a: Array, b: Array, dtype: str) -> Array:
    distances = ulp_distances(a, b, dtype)
    distances[np.isnan(a)] = 0  # two NaN are equal whatever their bits, and beside one alone no distance is told
    return distances


def _largest_and_median(distances: Array) -> tuple[int, int]:
    """The largest, and the lower median, of unsigned integers, whose order is lost."""
    if distances.size == 0:
        return 0, 0
    middle = (distances.size - 1) // 2
    if distances.size - np.count_nonzero(distances) > middle:  # most are zero: nothing to sort
        return int(distances.max()), 0
    largest = int(distances.max())
    distances.partition(middle)
    return largest, int(distances[middle])
