"""Shared elementwise work against plain NumPy: special values, memory orders, and thread counts."""

from __future__ import annotations

import math

import numpy as np
import pytest

from gradcli.kernels import elementwise
from gradcli.kernels.elementwise import add, apply, mask_block, masked, rectify
from gradcli.kernels.threads import get_num_threads, set_num_threads
from tests.kernels.references import MEMORY_LAYOUTS, random_array

SHAPE = (3, 5, 4, 2)


@pytest.fixture(params=[1, 3], autouse=True)
def threads_and_small_blocks(request, monkeypatch):
    """Small arrays are cut into blocks too, the last of which is shorter."""
    monkeypatch.setattr(elementwise, "BLOCK_ELEMENTS", 7)
    monkeypatch.setattr(elementwise, "LARGE", 14)
    monkeypatch.setattr(elementwise, "MASKED_BY_BITS", 4)
    before = get_num_threads()
    set_num_threads(request.param)
    yield
    set_num_threads(before)


def special_values(dtype):
    """Zeros, subnormals, extremes, infinities and NaNs of both signs, and ordinary numbers."""
    limits = np.finfo(dtype)
    positive = [0.0, limits.smallest_subnormal, limits.smallest_normal, 1.0, 2.5, limits.max, math.inf, math.nan]
    values = np.array(positive, dtype)
    return np.concatenate([values, np.copysign(values, dtype(-1))])


def bits(array):
    return np.ascontiguousarray(array).view(f"u{array.dtype.itemsize}")


@pytest.mark.parametrize("dtype", [np.float16, np.float32, np.float64])
def test_the_mask_of_every_pair_of_special_values_is_the_definitions_to_the_bit(dtype):
    values = special_values(dtype)
    out, grad = (np.ascontiguousarray(grid) for grid in np.meshgrid(values, values))
    np.testing.assert_array_equal(bits(masked(grad, out)), bits(np.where(out <= 0, dtype(0), grad)))


@pytest.mark.parametrize("dtype", [np.float16, np.float32, np.float64])
def test_rectifying_keeps_nan_and_what_is_positive(dtype):
    values = special_values(dtype)
    expected = np.where(values > 0, values, 0)
    expected[np.isnan(values)] = np.nan
    np.testing.assert_array_equal(rectify(values), expected)


@pytest.mark.parametrize("dtype", [np.uint8, np.int64])
def test_integers_are_rectified_and_masked_too(dtype):
    values = np.arange(40).astype(dtype) - dtype(3)
    np.testing.assert_array_equal(rectify(values), np.maximum(values, dtype(0)))
    np.testing.assert_array_equal(masked(values, values), np.where(values <= 0, dtype(0), values))


@pytest.mark.parametrize("first", MEMORY_LAYOUTS)
@pytest.mark.parametrize("second", MEMORY_LAYOUTS)
def test_memory_order_changes_no_value(first, second):
    a, b = random_array(SHAPE, 1, np.float32, first), random_array(SHAPE, 2, np.float32, second)
    np.testing.assert_array_equal(add(a, b), a + b)
    np.testing.assert_array_equal(masked(a, b), np.where(b <= 0, 0, a))
    np.testing.assert_array_equal(rectify(a), np.maximum(a, 0))


@pytest.mark.parametrize("memory", ["planar", "channels-last"])
def test_results_have_the_operands_memory_order(memory):
    a, b = random_array(SHAPE, 1, np.float32, memory), random_array(SHAPE, 2, np.float32, memory)
    for result in (add(a, b), rectify(a), masked(a, b)):
        assert result.strides == a.strides
        assert result.dtype == np.float32


def test_a_block_may_be_masked_in_place():
    source, values = random_array(SHAPE, 1, np.float32), random_array(SHAPE, 2, np.float32)
    expected = np.where(values <= 0, np.float32(0), source)
    mask_block(source, values, source)
    np.testing.assert_array_equal(source, expected)


@pytest.mark.parametrize(
    ("function", "operands"),
    [
        (np.subtract, lambda x: (np.array(2.0), x)),
        (np.multiply, lambda x: (x, np.array(0.5))),
        (np.add, lambda x: (x, x[:1])),
        (np.negative, lambda x: (x,)),
    ],
)
def test_numbers_broadcasts_and_single_operands(function, operands):
    values = operands(random_array((6, 7), 1))
    np.testing.assert_array_equal(apply(function, *values), function(*values))


@pytest.mark.parametrize("shape", [(), (0,), (3, 0, 2), (1,), (1, 30, 1)])
def test_shapes_without_or_with_single_elements(shape):
    x = random_array(shape, 1)
    for result, expected in ((add(x, x), x + x), (rectify(x), np.maximum(x, 0)), (masked(x, x), np.maximum(x, 0))):
        assert result.shape == shape
        np.testing.assert_array_equal(result, expected)
