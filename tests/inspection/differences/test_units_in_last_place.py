"""Distances in units in the last place, against counting the numbers in between."""

from __future__ import annotations

import numpy as np
import pytest

from gradcli.checkpoints.dtypes import float32_from_bfloat16_bits
from gradcli.inspection.differences.units_in_last_place import coarser_dtype, ulp_distances


def every_number(dtype: str) -> np.ndarray:
    """All numbers and both infinities of a dtype of 16 bits, as it comes out of a file."""
    bits = np.arange(2**16, dtype=np.uint16)
    numbers = float32_from_bfloat16_bits(bits) if dtype == "bfloat16" else bits.view(np.float16)
    return numbers[~np.isnan(numbers)]


@pytest.mark.parametrize("dtype", ["float16", "bfloat16"])
def test_the_distance_counts_the_numbers_of_16_bits_in_order(dtype: str) -> None:
    numbers = every_number(dtype)
    places = np.searchsorted(np.unique(numbers), numbers)  # both zeros have one place
    generator = np.random.default_rng(0)
    one, other = generator.permutation(numbers.size), generator.permutation(numbers.size)
    expected = np.abs(places[one] - places[other])
    np.testing.assert_array_equal(ulp_distances(numbers[one], numbers[other], dtype), expected)


@pytest.mark.parametrize("dtype", ["float16", "float32", "float64"])
def test_steps_to_the_next_number_count_one_each(dtype: str) -> None:
    for start in (0.0, 1.0, -1.0, float(np.finfo(dtype).smallest_subnormal), -float(np.finfo(dtype).tiny)):
        first = np.array([start], dtype)
        second = first
        for steps in range(1, 5):
            second = np.nextafter(second, np.array(np.inf, dtype))
            assert ulp_distances(first, second, dtype).tolist() == [steps]
            assert ulp_distances(second, first, dtype).tolist() == [steps]


@pytest.mark.parametrize(("dtype", "bits"), [("float32", 0x7F800000), ("float64", 0x7FF0000000000000)])
def test_the_longest_distance_fits(dtype: str, bits: int) -> None:
    infinity = np.array([np.inf], dtype)
    assert ulp_distances(infinity, -infinity, dtype).tolist() == [2 * bits]
    largest = np.array([np.finfo(dtype).max])
    assert ulp_distances(infinity, largest, dtype).tolist() == [1]


@pytest.mark.parametrize("dtype", ["float16", "float32", "float64", "bfloat16"])
def test_the_two_zeros_are_one_number(dtype: str) -> None:
    zero = np.zeros(1, "float32" if dtype == "bfloat16" else dtype)
    assert ulp_distances(zero, -zero, dtype).tolist() == [0]


def test_a_finer_number_is_rounded_first() -> None:
    values = np.random.default_rng(1).normal(size=1000)
    assert not ulp_distances(values, values.astype(np.float32), "float32").any()
    moved = np.nextafter(values.astype(np.float16), np.float16(9))
    assert ulp_distances(values, moved, "float16").tolist() == [1] * 1000


@pytest.mark.parametrize(
    ("dtypes", "coarser"),
    [
        (("float32", "float32"), "float32"),
        (("float64", "float32"), "float32"),
        (("float16", "float32"), "float16"),
        (("float16", "bfloat16"), "bfloat16"),
        (("float32", "int64"), None),
        (("bool", "bool"), None),
    ],
)
def test_the_coarser_dtype(dtypes: tuple[str, str], coarser: str | None) -> None:
    assert coarser_dtype(*dtypes) == coarser_dtype(*dtypes[::-1]) == coarser
