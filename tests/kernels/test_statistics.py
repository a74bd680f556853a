"""Statistics of arrays against NumPy in double precision, and where numbers are missing or not finite."""

from __future__ import annotations

import dataclasses
import math
from typing import Any

import numpy as np
import pytest

from gradcli.kernels.statistics import (
    BLOCK_ELEMENTS,
    Statistics,
    count_of,
    finite_statistics,
    first_non_finite,
    quantiles,
    statistics,
    sum_of_squares,
)
from gradcli.kernels.threads import get_num_threads, set_num_threads

RANDOM = np.random.default_rng(11)
ARRAYS = {
    "vector": RANDOM.normal(size=100).astype(np.float32),
    "float64": RANDOM.normal(3, 1e-3, size=(7, 9)),
    "several blocks": RANDOM.normal(5, 2, size=(3, BLOCK_ELEMENTS - 1)).astype(np.float32),
    "exactly a block": RANDOM.normal(size=BLOCK_ELEMENTS).astype(np.float32),
    "transposed": RANDOM.normal(size=(40, 50)).astype(np.float32).T,
    "channels last": RANDOM.normal(size=(4, 5, 6, 3)).astype(np.float32).transpose(0, 3, 1, 2),  # NHWC -> NCHW
    "strided": RANDOM.normal(size=(20, 20)).astype(np.float32)[::2, 1::3],
    "far from zero": (1e6 + RANDOM.normal(size=10_000)).astype(np.float32),
    "with zeros": np.array([[0.0, -0.0, 1.0], [2.0, 0.0, -3.0]], np.float32),
    "0-d": np.array(2.5, np.float32),
}


@pytest.mark.parametrize("name", ARRAYS)
def test_statistics_are_numpys_in_double_precision(name: str) -> None:
    array = ARRAYS[name]
    exact = array.astype(np.float64)
    found = statistics(array)
    assert found.norm == pytest.approx(float(np.sqrt((exact**2).sum())), rel=1e-12)
    assert found.mean == pytest.approx(float(exact.mean()), rel=1e-12, abs=1e-15)
    if array.size > 1:
        assert found.std == pytest.approx(float(exact.std(ddof=1)), rel=1e-9)
    else:
        assert math.isnan(found.std)
    assert (found.min, found.max) == (exact.min(), exact.max())
    assert (found.zeros, found.nonfinite) == (int((exact == 0).sum()), 0)
    assert sum_of_squares(array) == pytest.approx(float((exact**2).sum()), rel=1e-12)


@pytest.mark.parametrize("position", [0, BLOCK_ELEMENTS + 5])
def test_a_nan_in_any_block_shows_everywhere(position: int) -> None:
    array = np.ones(BLOCK_ELEMENTS + 10, np.float32)
    array[position] = np.nan
    found = statistics(array)
    assert all(math.isnan(value) for value in (found.norm, found.mean, found.std, found.min, found.max))
    assert (found.zeros, found.nonfinite) == (0, 1)
    assert math.isnan(sum_of_squares(array))


def test_finite_statistics_leave_out_what_is_not_finite() -> None:
    array = np.array([[3.0, np.nan, 0.0], [-4.0, -np.inf, np.nan]], np.float32)
    expected = statistics(np.array([3.0, 0.0, -4.0], np.float32))
    assert finite_statistics(array) == dataclasses.replace(expected, nonfinite=3)
    assert finite_statistics(array[:, :1]) == statistics(array[:, :1])
    none = finite_statistics(array[:, 1:2])
    assert all(math.isnan(value) for value in (none.norm, none.mean, none.std, none.min, none.max))
    assert (none.zeros, none.nonfinite) == (0, 2)


def test_the_first_non_finite_element_in_row_major_order() -> None:
    array = np.zeros((2, 3, 4), np.float32).transpose(1, 2, 0)  # its memory is in another order
    assert first_non_finite(array) is None
    array[2, 0, 0], array[1, 3, 1] = np.nan, -np.inf
    assert first_non_finite(array) == (1, 3, 1)
    assert first_non_finite(np.array(np.inf)) == ()
    assert first_non_finite(np.zeros((0, 3))) is None
    assert first_non_finite(np.array([1, 2])) is None


def test_infinities_show_in_norm_and_extremes() -> None:
    found = statistics(np.array([1.0, np.inf, 0.0, -np.inf], np.float32))
    assert (found.norm, found.min, found.max, found.zeros, found.nonfinite) == (math.inf, -math.inf, math.inf, 1, 2)
    assert math.isnan(found.mean)
    assert math.isnan(found.std)


def test_large_float32_values_do_not_overflow_and_larger_float64_ones_are_infinite() -> None:
    assert statistics(np.full(4, 3e38, np.float32)).norm == pytest.approx(6e38, rel=1e-6)
    assert sum_of_squares(np.full(4, 1e200)) == math.inf


def test_an_empty_array_has_no_statistics() -> None:
    found = statistics(np.empty((0, 3), np.float32))
    assert (found.norm, found.zeros, found.nonfinite) == (0.0, 0, 0)
    assert all(math.isnan(value) for value in (found.mean, found.std, found.min, found.max))
    assert sum_of_squares(np.empty(0)) == 0


SHARES = [0.0, 0.01, 0.25, 0.5, 0.95, 1.0]


@pytest.mark.parametrize("count", [1, 3])
def test_quantiles_lie_between_sorted_elements_as_by_hand(count: int) -> None:
    before = get_num_threads()
    try:
        set_num_threads(count)
        found = quantiles(list(ARRAYS.values()), SHARES)
    finally:
        set_num_threads(before)
    for array, values in zip(ARRAYS.values(), found, strict=True):
        ordered = np.sort(array, axis=None).astype(np.float64)
        for share, value in zip(SHARES, values, strict=True):
            position = share * (ordered.size - 1)
            below, above = ordered[math.floor(position)], ordered[math.ceil(position)]
            assert value == pytest.approx(below + (above - below) * (position - math.floor(position)), rel=1e-12)


@pytest.mark.parametrize("dtype", [np.float16, np.float32, np.float64])
def test_quantiles_between_elements_are_in_double_precision(dtype: type) -> None:
    array = np.random.default_rng(5).standard_normal(1000).astype(dtype)
    (found,) = quantiles([array], SHARES)
    np.testing.assert_allclose(found, np.quantile(array.astype(np.float64), SHARES), rtol=1e-14)


def test_quantiles_between_the_largest_floats_are_finite() -> None:
    largest = np.finfo(np.float32).max
    assert quantiles([np.array([largest, -largest])], [0.25, 0.5]) == [[-0.5 * float(largest), 0.0]]


def test_quantiles_are_those_of_the_finite_elements() -> None:
    array = np.array([np.nan, 3.0, np.inf, 1.0, -np.inf], np.float32)
    before = array.copy()
    (found, none, empty) = quantiles([array, np.full(3, np.nan), np.empty(0)], [0.0, 0.5, 1.0])
    assert found == [1.0, 2.0, 3.0]
    assert np.isnan(none).all()
    assert np.isnan(empty).all()
    np.testing.assert_array_equal(array, before)
    assert quantiles([], [0.5]) == []


@pytest.mark.parity
def test_quantiles_are_torchs() -> None:
    torch = pytest.importorskip("torch")
    array = ARRAYS["vector"].astype(np.float64)
    (found,) = quantiles([array], SHARES)
    expected = torch.quantile(torch.from_numpy(array), torch.tensor(SHARES, dtype=torch.float64))
    np.testing.assert_allclose(found, expected.numpy(), rtol=1e-12)


def test_counting() -> None:
    count: Any = count_of(np.array([[True, False], [True, True]]))
    assert (count, type(count)) == (3, int)


@pytest.mark.parity
def test_the_deviation_is_torchs() -> None:
    torch = pytest.importorskip("torch")
    array = ARRAYS["several blocks"]
    found: Statistics = statistics(array)
    tensor = torch.from_numpy(array)
    assert found.std == pytest.approx(tensor.double().std().item(), rel=1e-9)
    assert found.norm == pytest.approx(tensor.double().norm().item(), rel=1e-9)


@pytest.mark.parametrize("count", [1, 3])
def test_the_number_of_threads_changes_nothing(count: int) -> None:
    array = ARRAYS["several blocks"]
    expected = statistics(array), sum_of_squares(array)
    before = get_num_threads()
    try:
        set_num_threads(count)
        assert (statistics(array), sum_of_squares(array)) == expected
    finally:
        set_num_threads(before)
