"""Matrix products in runs against plain products in float64, and their float32 error against PyTorch's."""

from __future__ import annotations

import numpy as np
import pytest

from gradcli.kernels import matrix_product
from gradcli.kernels.matrix_product import (
    DEEPEST_SUM,
    FEW_ELEMENTS,
    LONGEST_RUN,
    MANY_ELEMENTS,
    SHORT_RUN,
    matmul_in_runs,
    shared_matmul,
)
from gradcli.kernels.threads import get_num_threads, set_num_threads
from tests.kernels.references import random_array

SIZES = [  # rows, depth, columns: around the limits that decide on the runs
    (3, 0, 4),
    (0, 300, 4),
    (3, 1, 4),
    (3, SHORT_RUN, 4),
    (3, SHORT_RUN + 1, 4),
    (3, DEEPEST_SUM, 4),
    (3, DEEPEST_SUM + 1, 4),
    (FEW_ELEMENTS // 8, LONGEST_RUN + 1, 8),
    (FEW_ELEMENTS // 8 + 1, LONGEST_RUN + 1, 8),
    (FEW_ELEMENTS // 8 + 1, LONGEST_RUN, 8),
    (MANY_ELEMENTS // 64 + 1, LONGEST_RUN + 1, 64),
]


@pytest.mark.parametrize("size", SIZES)
@pytest.mark.parametrize("stack", [(), (3,)])
def test_runs_add_up_to_the_product(size, stack):
    rows, depth, columns = size
    left, right = random_array((*stack, rows, depth), 1), random_array((*stack, depth, columns), 2)
    np.testing.assert_allclose(shared_matmul(left, right), left @ right, rtol=1e-11, atol=1e-11)


@pytest.mark.parametrize("runs", [1, 2, 7])
def test_any_strides_and_an_output_may_be_given(runs):
    left, right = random_array((2, 300, 5), 1).transpose(0, 2, 1), random_array((2, 7, 300), 2).transpose(0, 2, 1)
    rows = np.zeros((5, 2, 7))
    out = rows.transpose(1, 0, 2)
    assert matmul_in_runs(left, right, out, runs) is out
    np.testing.assert_allclose(rows.transpose(1, 0, 2), left @ right, rtol=1e-12, atol=1e-12)


SHARED_SIZES = [  # stack, rows, depth, columns
    ((), 5, 9, 3),
    ((), 3, 9, 5),
    ((), 7, 1, 4),
    ((), 1, 9, 6),
    ((), 4, 0, 3),
    ((), 0, 3, 4),
    ((), 3, 200, 5),
    ((7,), 3, 4, 2),
    ((2,), 9, 4, 5),
    ((2,), 4, 5, 9),
    ((0,), 3, 4, 2),
    ((3,), 4, 1, 5),
]


@pytest.mark.parametrize("piece_work", [1, 40, matrix_product.PIECE_WORK])
@pytest.mark.parametrize("size", SHARED_SIZES)
@pytest.mark.parametrize("by_columns", [(False, False), (True, False), (False, True), (True, True)])
def test_a_shared_product_is_the_product_on_any_number_of_threads(size, by_columns, piece_work, monkeypatch):
    monkeypatch.setattr(matrix_product, "PIECE_WORK", piece_work)
    monkeypatch.setattr(matrix_product, "NARROWEST_PIECE", 2)
    stack, rows, depth, columns = size
    left, right = random_array((*stack, rows, depth), 1), random_array((*stack, depth, columns), 2)
    if by_columns[0]:
        left = np.ascontiguousarray(left.swapaxes(-2, -1)).swapaxes(-2, -1)
    if by_columns[1]:
        right = np.ascontiguousarray(right.swapaxes(-2, -1)).swapaxes(-2, -1)
    before = get_num_threads()
    try:
        set_num_threads(1)
        product = shared_matmul(left, right)
        set_num_threads(3)
        np.testing.assert_array_equal(shared_matmul(left, right), product)
    finally:
        set_num_threads(before)
    assert product.flags.c_contiguous
    np.testing.assert_allclose(product, left @ right, rtol=1e-12, atol=1e-12)


@pytest.mark.parametrize("stack", [(), (3,)])
def test_a_repeated_number_multiplies_like_a_stored_one(stack):
    matrix = random_array((*stack, 300, 40), 1, np.float32)
    row, column = (np.broadcast_to(np.float32(0.1), (*stack, *shape)) for shape in ((1, 300), (40, 1)))
    assert (shared_matmul(row, matrix) == shared_matmul(row.copy(), matrix)).all()
    assert (shared_matmul(matrix, column) == shared_matmul(matrix, column.copy())).all()


def test_sums_of_nothing_cut_from_larger_arrays_are_zero():
    left, right = np.ones((3, 10))[:, :0], np.ones((50, 10))[:, :0].T
    np.testing.assert_array_equal(shared_matmul(left, right), np.zeros((3, 50)))


@pytest.mark.parametrize("dtype", [np.float16, np.float32, np.float64, np.int64])
def test_the_dtype_stays(dtype):
    ones = np.ones((2, 200), dtype)
    product = shared_matmul(ones, ones.T)
    assert product.dtype == dtype
    np.testing.assert_array_equal(product, np.full((2, 2), 200))


@pytest.mark.parity
@pytest.mark.parametrize(
    "size",
    [(1, 512, 1000), (4, 1000, 512), (4, 512, 1000), (910, 576, 64), (455, 1152, 128), (3566, 147, 64), (32, 256, 128)],
)
def test_float32_error_is_about_pytorchs_or_less(size):
    torch = pytest.importorskip("torch")
    rows, depth, columns = size
    left, right = random_array((rows, depth), 1, np.float32), random_array((depth, columns), 2, np.float32)
    exact = left.astype(np.float64) @ right.astype(np.float64)
    error = np.linalg.norm(shared_matmul(left, right) - exact)
    pytorch_error = np.linalg.norm((torch.from_numpy(left) @ torch.from_numpy(right)).numpy() - exact)
    assert error <= 1.1 * pytorch_error
