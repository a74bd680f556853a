"""Gradients kept as factors, one pair or one for each tap: what they form, in pieces and at once."""

from __future__ import annotations

import numpy as np
import pytest

from gradcli.kernels.low_rank import LowRankGradient
from gradcli.kernels.threads import get_num_threads, set_num_threads
from tests.kernels.references import random_array, relative_error

SHAPE = (150, 3, 3, 300)  # large enough for several pieces


@pytest.fixture
def thread_count():
    before = get_num_threads()
    yield set_num_threads
    set_num_threads(before)


def factors(pixels, dtype=np.float32):
    filters, *window = SHAPE
    return random_array((filters, pixels), 1, dtype), random_array((pixels, int(np.prod(window))), 2, dtype)


@pytest.mark.parametrize(("dtype", "tolerance"), [(np.float32, 1e-6), (np.float64, 1e-14)])
@pytest.mark.parametrize("pixels", [1, 2, 7, 16, 17, 64])
def test_the_array_is_the_product(pixels, dtype, tolerance):
    left, right = factors(pixels, dtype)
    gradient = LowRankGradient([(left, right)], SHAPE)
    assert (gradient.shape, gradient.dtype, gradient.is_computed) == ((150, 300, 3, 3), dtype, False)
    expected = (left.astype(np.float64) @ right.astype(np.float64)).reshape(SHAPE)
    assert gradient.array().shape == gradient.shape
    assert gradient.filters().dtype == dtype
    assert relative_error(gradient.filters(), expected) < tolerance
    assert gradient.is_computed


@pytest.mark.parametrize("pixels", [1, 7, 64])
def test_threads_change_nothing(pixels, thread_count):
    formed = []
    for count in (1, 3):
        thread_count(count)
        formed.append(LowRankGradient([factors(pixels)], SHAPE).array())
    np.testing.assert_array_equal(*formed)


@pytest.mark.parametrize("pixels", [1, 7, 64])
@pytest.mark.parametrize(("first", "last"), [(0, 8), (3, 20), (149, 150), (5, 5), (0, 150)])
def test_rows_are_those_of_the_array(pixels, first, last):
    gradient = LowRankGradient([factors(pixels, np.float64)], SHAPE)
    rows = np.full((last - first, *SHAPE[1:]), np.nan)
    gradient.rows(first, last, rows)
    assert not gradient.is_computed
    np.testing.assert_allclose(rows, gradient.filters()[first:last], rtol=1e-13, atol=1e-13)


@pytest.mark.parametrize("pixels", [(4, 2, 4, 0, 17, 0, 1, 2, 64), (0,) * 9])
@pytest.mark.parametrize(("dtype", "tolerance"), [(np.float32, 1e-6), (np.float64, 1e-14)])
def test_a_pair_for_each_tap_forms_the_depth_tap_by_tap(pixels, dtype, tolerance):
    filters, height, width, channels = SHAPE
    pairs = [
        (random_array((filters, met), 1 + tap, dtype), random_array((met, channels), 20 + tap, dtype))
        for tap, met in enumerate(pixels)
    ]
    expected = np.stack([left.astype(np.float64) @ right for left, right in pairs], axis=1).reshape(SHAPE)
    gradient = LowRankGradient(pairs, SHAPE)
    for first, last in ((0, 8), (3, 20), (149, 150), (5, 5)):
        rows = np.full((last - first, height, width, channels), np.nan, dtype)
        gradient.rows(first, last, rows)
        assert relative_error(rows, expected[first:last]) < tolerance
    assert not gradient.is_computed
    assert relative_error(gradient.filters(), expected) < tolerance


def test_the_array_may_be_formed_elsewhere_while_rows_are():
    gradient = LowRankGradient([factors(3)], SHAPE)

    class FormedMeanwhile(np.ndarray):
        def reshape(self, *shape):
            gradient.array()
            return np.asarray(self).reshape(*shape)

    rows = np.full((5, *SHAPE[1:]), np.nan, np.float32)
    gradient.rows(2, 7, rows.view(FormedMeanwhile))
    np.testing.assert_allclose(rows, gradient.filters()[2:7], rtol=1e-5, atol=1e-5)


def test_the_array_is_kept_and_rows_follow_its_changes():
    gradient = LowRankGradient([factors(3)], SHAPE)
    gradient.array()[2] = 7
    assert gradient.array() is gradient.array()
    row = np.empty((1, *SHAPE[1:]), np.float32)
    gradient.rows(2, 3, row)
    assert (row == 7).all()


@pytest.mark.parametrize("pairs", [1, 3])
def test_the_sum_of_squares_comes_from_the_factors(pairs):
    factors = [
        (random_array((20, 4), pair, np.float32), random_array((4, 6), 9 + pair, np.float32)) for pair in range(pairs)
    ]
    gradient = LowRankGradient(factors, (20, pairs, 2, 3))
    found = gradient.sum_of_squares()
    assert not gradient.is_computed
    expected = sum(np.square(left.astype(np.float64) @ right).sum() for left, right in factors)
    np.testing.assert_allclose(found, expected, rtol=1e-12)
    gradient.array()
    np.testing.assert_allclose(gradient.sum_of_squares(), expected, rtol=1e-6)


def test_where_products_cancel_the_array_is_formed_for_its_sum_of_squares():
    column = random_array((16, 1), 1)
    left = np.concatenate([column, column * (1 + 1e-9)], axis=1)
    right = np.array([[1e3, -1e3], [-1e3, 1e3]])
    gradient = LowRankGradient([(left, right)], (16, 1, 1, 2))
    expected = 2 * np.square(1e-6 * column).sum()
    np.testing.assert_allclose(gradient.sum_of_squares(), expected, rtol=1e-5)
    assert gradient.is_computed


def test_the_sum_of_squares_of_what_is_not_finite_is_not():
    gradient = LowRankGradient([(np.full((4, 1), np.inf), np.ones((1, 2)))], (4, 1, 1, 2))
    assert gradient.sum_of_squares() == np.inf
    assert np.isnan(LowRankGradient([(np.full((4, 1), np.nan), np.ones((1, 2)))], (4, 1, 1, 2)).sum_of_squares())


def test_scaling_leaves_the_given_factors_alone():
    left, right = np.ones((8, 1), np.float32), np.ones((1, 3), np.float32)
    gradient = LowRankGradient([(left, right)], (8, 1, 1, 3))
    gradient.scale(0.5)
    assert not gradient.is_computed
    gradient.array()
    gradient.scale(0.5)
    assert (gradient.array() == 0.25).all()
    assert (left == 1).all()
