"""Convolution and max pooling in one go: what the two compute one after the other, piece by piece."""

from __future__ import annotations

import numpy as np
import pytest

from gradcli.kernels import pooled_convolution
from gradcli.kernels.convolution import conv2d
from gradcli.kernels.max_pooling import max_pool2d_values
from gradcli.kernels.pooled_convolution import conv2d_max_pool2d
from gradcli.kernels.threads import get_num_threads, set_num_threads
from tests.kernels.references import MEMORY_LAYOUTS, random_array

# Input, weight; stride, padding, dilation, groups; kernel, stride, padding, dilation of the pooling, ceil_mode.
CASES = [
    ((2, 3, 40, 36), (8, 3, 7, 7), ((2, 2), (3, 3), (1, 1), 1), ((3, 3), (2, 2), (1, 1), (1, 1), False)),
    ((1, 3, 41, 47), (5, 3, 5, 3), ((1, 2), (0, 1), (1, 1), 1), ((3, 2), (2, 1), (1, 0), (1, 1), True)),
    ((3, 4, 30, 31), (6, 2, 3, 3), ((1, 1), (0, 2), (2, 1), 2), ((2, 2), (2, 2), (0, 0), (2, 1), False)),
    ((20, 1, 17, 17), (1, 1, 5, 5), ((2, 2), (2, 2), (1, 1), 1), ((2, 2), (3, 3), (0, 0), (1, 1), True)),
]


def one_after_the_other(x, weight, options, pool):
    return max_pool2d_values(conv2d(x, weight, *options).array(), *pool)


@pytest.mark.parametrize("threads", [1, 3])
@pytest.mark.parametrize("piece_bytes", [1, 2 << 20])
@pytest.mark.parametrize(("dtype", "tolerance"), [(np.float32, 1e-5), (np.float64, 1e-14)])
@pytest.mark.parametrize(("input_shape", "weight_shape", "options", "pool"), CASES)
def test_values_are_those_of_the_two(
    input_shape, weight_shape, options, pool, dtype, tolerance, piece_bytes, threads, monkeypatch
):
    monkeypatch.setattr(pooled_convolution, "PIECE_BYTES", piece_bytes)
    x, weight = random_array(input_shape, 0, dtype), random_array(weight_shape, 1, dtype)
    before = get_num_threads()
    set_num_threads(threads)
    try:
        found = conv2d_max_pool2d(x, weight, *options, pool).array()
    finally:
        set_num_threads(before)
    expected = one_after_the_other(x, weight, options, pool)
    assert found.dtype == dtype
    np.testing.assert_allclose(found, expected, rtol=tolerance, atol=tolerance * np.abs(expected).max())


def test_every_result_is_passed_on_once_and_may_be_changed():
    x, weight, calls = random_array((5, 3, 64, 64), 0, np.float32), random_array((8, 3, 7, 7), 1, np.float32), []
    pooled = conv2d_max_pool2d(x, weight, *CASES[0][2], CASES[0][3])

    def negate(first, rows):
        calls.append((first, len(rows)))
        np.negative(rows, out=rows)

    negated = pooled.finished_by(negate)
    np.testing.assert_array_equal(negated.transpose(0, 3, 1, 2), -pooled.array())
    covered = [pixel for first, count in sorted(calls) for pixel in range(first, first + count)]
    assert covered == list(range(5 * 16 * 16))


@pytest.mark.parametrize("memory", MEMORY_LAYOUTS)
def test_any_strides_give_the_same_numbers(memory):
    shape, weight_shape, options, pool = CASES[0]
    weight = random_array(weight_shape, 1, np.float32)
    x = random_array(shape, 0, np.float32, memory)
    found = conv2d_max_pool2d(x, weight, *options, pool).array()
    np.testing.assert_array_equal(found, conv2d_max_pool2d(x.copy(), weight, *options, pool).array())


def test_where_few_pixels_are_convolved_otherwise_nothing_is_put_together():
    x, weight = random_array((1, 64, 8, 8), 0, np.float32), random_array((64, 64, 3, 3), 1, np.float32)
    assert conv2d_max_pool2d(x, weight, (1, 1), (1, 1), (1, 1), 1, CASES[0][3]) is None


@pytest.mark.parametrize(
    ("weight_shape", "dtype", "kernel", "padding"),
    [
        ((8, 4, 7, 7), np.float32, (3, 3), (1, 1)),  # other channels
        ((8, 3, 7, 7), np.float64, (3, 3), (1, 1)),  # another type
        ((8, 3, 7, 7), np.float32, (30, 3), (1, 1)),  # a window larger than what is pooled
        ((8, 3, 7, 7), np.float32, (3, 3), (2, 2)),  # too much padding
    ],
)
def test_what_the_two_refuse_is_refused_in_their_words(weight_shape, dtype, kernel, padding):
    x, weight = np.zeros((1, 3, 32, 32), np.float32), np.zeros(weight_shape, dtype)
    options, pool = CASES[0][2], (kernel, (2, 2), padding, (1, 1), False)
    with pytest.raises(RuntimeError) as separate:
        one_after_the_other(x, weight, options, pool)
    with pytest.raises(RuntimeError) as together:
        conv2d_max_pool2d(x, weight, *options, pool)
    assert str(together.value) == str(separate.value)
