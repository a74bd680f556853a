"""The error function and its complement against those of C's library, for every number of elements and precision."""

from __future__ import annotations

import math

import numpy as np
import pytest

from gradcli.kernels import error_function
from gradcli.kernels.error_function import FARTHEST, POINTS_PER_UNIT, erf, erfc

ULPS = 2.5  # the series is off by less than two units in the last place, C's library by less than one


def one_by_one(function, x):
    return np.array([function(value) for value in x.ravel().tolist()]).reshape(x.shape)


def assert_exact_to_rounding(result, expected, dtype):
    assert result.dtype == dtype
    rounded = expected.astype(dtype)
    units = np.spacing(np.abs(rounded)).astype(np.float64)
    assert np.all(np.abs(result.astype(np.float64) - expected) <= ULPS * units)


def numbers(dtype):
    """Every magnitude: between the points of the tables, on them, halfway, far out and next to nothing."""
    generator = np.random.RandomState(0)
    points = np.arange(0, FARTHEST + 1, 1 / (2 * POINTS_PER_UNIT))
    tiny = np.exp(generator.uniform(math.log(np.finfo(dtype).smallest_normal), 0, 2000))
    magnitudes = np.concatenate([points, tiny, generator.uniform(0, 1, 2000), generator.uniform(0, 8, 4000)])
    return (magnitudes * generator.choice([-1, 1], magnitudes.size)).astype(dtype)


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
def test_erf_is_exact_to_rounding(dtype):
    x = numbers(dtype)
    assert_exact_to_rounding(erf(x), one_by_one(math.erf, x), dtype)


def test_erf_of_half_precision_is_that_of_single_precision_rounded():
    x = numbers(np.float32).astype(np.float16)
    np.testing.assert_array_equal(erf(x), erf(x.astype(np.float32)).astype(np.float16))


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
def test_erfc_is_exact_where_it_is_nearly_zero(dtype):
    x = np.linspace(-7, 8, 300).astype(dtype)
    assert_exact_to_rounding(erfc(x), one_by_one(math.erfc, x), dtype)


@pytest.mark.parametrize("count", [1, 100])
def test_special_values(count):
    x = np.array([0.0, math.inf, -math.inf, math.nan, 100.0, -1e300] * count)
    np.testing.assert_array_equal(erf(x), [0.0, 1.0, -1.0, math.nan, 1.0, -1.0] * count)
    np.testing.assert_array_equal(erfc(x), [1.0, 0.0, 2.0, math.nan, 0.0, 2.0] * count)
    zeros = np.full(count, -0.0)
    assert np.signbit(erf(zeros)).all()


@pytest.mark.parametrize("shape", [(), (0,), (0, 3), (1,), (2, 3), (129,), (7, 5, 11), (1 << 19,), (2, 1 << 18)])
def test_every_shape_and_memory_order(shape):
    x = np.asarray(np.random.RandomState(1).standard_normal(shape))
    flat = erf(x.ravel()[:200])
    for array in (x, np.array(x, order="F"), np.repeat(x[..., None], 2, axis=-1)[..., 0]):
        before = array.copy()
        result = erf(array)
        assert type(result) is np.ndarray
        assert result.shape == shape
        np.testing.assert_array_equal(array, before)
        np.testing.assert_allclose(result.ravel()[:200], flat, rtol=1e-15)


def test_pieces_do_not_change_results(monkeypatch):
    x = np.random.RandomState(2).standard_normal(1000)
    whole = erf(x)
    monkeypatch.setattr(error_function, "PIECE", 7)
    np.testing.assert_array_equal(erf(x), whole)
