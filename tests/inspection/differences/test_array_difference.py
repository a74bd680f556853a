"""Differences of arrays: numbers against plain NumPy, NaN and infinities, integers, dtypes, and where they are."""

from __future__ import annotations

import math
from typing import Any

import numpy as np
import pytest

from gradcli.inspection.differences.array_difference import ArrayDifference, array_difference

NAN, INF = math.nan, math.inf


def compared(a: Any, b: Any) -> ArrayDifference:
    return array_difference(a, b, a.dtype.name, b.dtype.name)


@pytest.mark.parametrize("dtype", ["float16", "float32", "float64"])
@pytest.mark.parametrize("shape", [(7,), (3, 4, 5), (300, 257), ()])
def test_numbers_are_those_of_plain_numpy(dtype: str, shape: tuple[int, ...]) -> None:
    generator = np.random.default_rng(0)
    a = np.asarray(generator.normal(size=shape)).astype(dtype)
    b = np.asarray(a + generator.normal(size=shape) * 1e-2 * (generator.random(shape) < 0.9)).astype(dtype)
    found = compared(a, b)
    wide_a, wide_b = a.astype(np.longdouble), b.astype(np.longdouble)
    absolute = np.abs(wide_a - wide_b)
    assert (found.elements, found.differing, found.unmatched_nonfinite) == (a.size, np.count_nonzero(a != b), 0)
    assert found.max_abs == pytest.approx(float(absolute.max()), rel=1e-15)
    assert found.position == np.unravel_index(absolute.argmax(), shape)
    assert (found.value_a, found.value_b) == (float(a[found.position]), float(b[found.position]))
    assert found.vectors.norm_a == pytest.approx(float(np.linalg.norm(wide_a.astype(float).ravel())), rel=1e-12)
    relative = np.sqrt((absolute**2).sum() / (wide_b**2).sum())
    assert found.vectors.relative == pytest.approx(float(relative), rel=1e-12)
    cosine = (wide_a * wide_b).sum() / np.sqrt((wide_a**2).sum() * (wide_b**2).sum())
    assert found.vectors.cosine == pytest.approx(float(cosine), abs=1e-14)


@pytest.mark.parametrize("dtype", ["float16", "float32", "float64"])
def test_last_place_distances_have_a_maximum_and_a_lower_median(dtype: str) -> None:
    steps = np.array([0, 5, 1, 9, 3, 2])
    b = np.ones(steps.size, dtype)
    bits = f"i{b.itemsize}"
    a = (b.view(bits) + steps.astype(bits)).view(dtype)
    found = compared(a, b)
    assert (found.ulp_max, found.ulp_median, found.position) == (9, 2, (3,))
    assert compared(a[:3], b[:3]).ulp_median == 1
    assert compared(a[[0, 0, 0, 1]], b[:4]).ulp_median == 0


def test_the_largest_difference_is_found_in_any_block() -> None:
    b = np.random.default_rng(0).normal(size=200_000).astype(np.float32)
    for place in (0, 32_767, 32_768, 199_999):
        a = b.copy()
        a[place] += 4
        a[100] += 1
        found = compared(a.reshape(2, -1), b.reshape(2, -1))
        assert found.position == (place // 100_000, place % 100_000)
        assert (found.differing, found.ulp_median) == (2, 0)
    assert compared(b, b).position is None


@pytest.mark.parametrize(
    ("a", "b", "differing", "unmatched", "max_abs", "position"),
    [
        ([NAN, 1.0], [NAN, 1.0], 0, 0, 0.0, None),
        ([INF, -INF, 1.0], [INF, -INF, 1.0], 0, 0, 0.0, None),
        ([NAN, 1.0], [NAN, 1.5], 1, 0, 0.5, (1,)),
        ([1.0, NAN, 9.0], [1.0, 2.0, 0.0], 2, 1, NAN, (1,)),
        ([1.0, 9.0, INF], [1.0, 0.0, 2.0], 2, 1, INF, (2,)),
        ([INF, NAN], [-INF, INF], 2, 2, NAN, (1,)),
        ([0.0], [-0.0], 0, 0, 0.0, None),
    ],
)
@pytest.mark.parametrize("dtype", ["float16", "float32", "float64"])
def test_nan_and_infinity(
    dtype: str, a: Any, b: Any, differing: int, unmatched: int, max_abs: float, position: Any
) -> None:
    found = compared(np.array(a, dtype), np.array(b, dtype))
    assert (found.differing, found.unmatched_nonfinite, found.position) == (differing, unmatched, position)
    assert found.max_abs == pytest.approx(max_abs, nan_ok=True)
    assert (found.ulp_max is None) == math.isnan(max_abs)
    if unmatched:
        assert not found.vectors.relative <= 1e300


def test_a_nan_in_a_late_block_is_the_largest_difference() -> None:
    b = np.zeros(100_000, np.float32)
    a = b.copy()
    a[5], a[70_000] = INF, NAN
    found = compared(a, b)
    assert (found.position, found.differing, found.unmatched_nonfinite) == ((70_000,), 2, 2)
    assert math.isnan(found.max_abs)


def test_nan_of_other_bits_are_equal_and_leave_norms_alone() -> None:
    a = np.array([NAN, 3.0, 4.0, INF], np.float32)
    b = a.copy()
    b.view(np.uint32)[0] ^= 0x80000001
    b[1] = np.nextafter(b[1], np.float32(9))
    found = compared(a, b)
    assert (found.differing, found.ulp_max, found.ulp_median, found.position) == (1, 1, 0, (1,))
    assert (found.vectors.norm_a, compared(a, a).vectors.norm_a) == (5.0, 5.0)


@pytest.mark.parametrize(
    ("a", "b", "differing", "max_abs"),
    [
        (np.array([2**63 - 1, 5]), np.array([-(2**63), 5]), 1, float(2**64)),
        (np.array([2**62 + 1]), np.array([2**62]), 1, 1.0),
        (np.array([250], np.uint8), np.array([255], np.uint8), 1, 5.0),
        (np.array([-128], np.int8), np.array([127], np.int8), 1, 255.0),
        (np.array([True, False]), np.array([True, True]), 1, 1.0),
        (np.array([3], np.int32), np.array([3], np.int64), 0, 0.0),
        (np.array([3], np.int32), np.array([3.5]), 1, 0.5),
        (np.array([2**53 + 1, 7], np.uint64), np.array([2**53, 7]), 1, 1.0),
        (np.array([2**63 - 1, 2**53 + 1]), np.array([2.0**63, 2.0**53]), 2, 1.0),
        (np.array([2**63 - 1]), np.array([np.inf]), 1, np.inf),
        (np.array([2**60]), np.array([2.0**60]), 0, 0.0),
    ],
)
def test_integers_and_truth_values(a: Any, b: Any, differing: int, max_abs: float) -> None:
    found = compared(a, b)
    assert (found.differing, found.max_abs, found.ulp_max) == (differing, max_abs, None)


def test_one_dtype_against_another() -> None:
    wide = np.random.default_rng(2).normal(size=1000)
    found = compared(wide, wide.astype(np.float32))
    assert (found.ulp_max, found.ulp_median) == (0, 0)  # correctly rounded
    assert found.differing > 990
    assert 0 < found.vectors.relative < 6e-8
    near = np.array([1.0, 1.0078125, -2.0], np.float32)
    other = np.array([1.0, 1.015625, -2.015625], np.float32)
    assert array_difference(near, other, "bfloat16", "bfloat16").ulp_max == 1


def test_no_elements_are_equal() -> None:
    found = compared(np.zeros((0, 3)), np.ones((0, 3)))
    assert (found.elements, found.max_abs, found.vectors.relative, found.vectors.cosine) == (0, 0.0, 0.0, 1.0)
    assert (found.ulp_max, found.ulp_median, found.position) == (0, 0, None)


def test_arrays_in_any_memory_order() -> None:
    b = np.random.default_rng(3).normal(size=(4, 5, 6))
    a = np.asfortranarray(b)
    a[3, 1, 2] += 1
    assert compared(a, b).position == (3, 1, 2)
    assert compared(a[:, ::2], b[:, ::2]).differing == 0
