"""Products with a few rows: every way in which they are cut gives the plain product."""

from __future__ import annotations

import numpy as np
import pytest

from gradcli.kernels.thin_products import columns_times_rows, rows_times_matrix, rows_times_transpose
from tests.kernels.references import random_array, relative_error

COUNTS = [0, 1, 2, 5, 16, 17, 32, 33, 64]
# Rows and columns of the large matrix: whole blocks and remainders, depths with and without a divisor of use.
SIZES = [(8, 512), (43, 1152), (64, 1021), (5, 27), (300, 96), (9, 9001), (16, 1), (0, 5)]


@pytest.mark.parametrize("count", COUNTS)
@pytest.mark.parametrize(("rows", "columns"), SIZES)
def test_products_are_the_plain_ones(count, rows, columns):
    matrix = random_array((rows, columns), 1)
    few, left = random_array((count, columns), 2), random_array((count, rows), 3)
    products = [
        (rows_times_transpose, few, matrix, few @ matrix.T),
        (rows_times_matrix, left, matrix, left @ matrix),
        (columns_times_rows, np.ascontiguousarray(left.T), few, left.T @ few),
    ]
    for multiply, first, second, expected in products:
        out = np.full(expected.shape, np.nan)
        multiply(first, second, out)
        assert relative_error(out, expected) < 1e-12


@pytest.mark.parametrize("count", [1, 4, 40])
def test_parts_of_larger_arrays(count):
    matrix, few, left = random_array((40, 700), 1), random_array((count, 700), 2), random_array((count, 40), 3)
    out = np.zeros((count, 60))
    rows_times_transpose(few, matrix[8:31], out[:, 5:28])
    np.testing.assert_allclose(out[:, 5:28], few @ matrix[8:31].T, rtol=1e-11, atol=1e-11)
    assert not out[:, :5].any()
    assert not out[:, 28:].any()
    wide = np.zeros((count, 700))
    rows_times_matrix(left, matrix[:, 100:300], wide[:, 100:300])
    np.testing.assert_allclose(wide[:, 100:300], left @ matrix[:, 100:300], rtol=1e-11, atol=1e-11)
    assert not wide[:, :100].any()
    assert not wide[:, 300:].any()


@pytest.mark.parametrize("count", [16, 49, 64, 80])
def test_rows_of_zeros_may_be_left_out(count):
    matrix, few = random_array((43, 3 * 96), 1), random_array((count, 3 * 96), 2)
    live = (slice(7, count), slice(None), slice(0, 0))
    few[:7, :96] = 0
    few[:, 2 * 96 :] = 0
    out = np.full((count, 43), np.nan)
    rows_times_transpose(few, matrix, out, live)
    np.testing.assert_allclose(out, few @ matrix.T, rtol=1e-11, atol=1e-11)
