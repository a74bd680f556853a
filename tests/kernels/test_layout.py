"""Channels-last views and copies: right values, right memory, no needless copies."""

from __future__ import annotations

import numpy as np
import pytest

from gradcli.kernels import layout

SHAPES = [(2, 3, 4, 5), (1, 1, 1, 1), (0, 3, 4, 5), (3, 7, 1, 2)]


@pytest.mark.parametrize("shape", SHAPES)
def test_rows_and_images_hold_each_pixels_channels(shape):
    x = np.random.RandomState(0).standard_normal(shape)
    n, c, h, w = shape
    images, rows = layout.as_nhwc(x), layout.as_rows(x)
    assert images.shape == (n, h, w, c)
    assert rows.shape == (n * h * w, c)
    assert images.flags.c_contiguous
    assert rows.flags.c_contiguous
    np.testing.assert_array_equal(layout.from_nhwc(images), x)
    np.testing.assert_array_equal(rows.reshape(images.shape), images)


def test_channels_last_memory_is_viewed_and_other_memory_copied():
    x = np.zeros((2, 4, 5, 3), np.float32).transpose(0, 3, 1, 2)
    assert np.shares_memory(layout.as_nhwc(x), x)
    assert np.shares_memory(layout.as_rows(x), x)
    planar = np.arange(120.0).reshape(2, 3, 4, 5)
    assert not np.shares_memory(layout.as_nhwc(planar), planar)


@pytest.mark.parametrize("axes", [(0, 1, 2, 3), (0, 2, 3, 1), (3, 1, 0, 2)])
def test_memory_order_is_found(axes):
    inverse = np.argsort(axes)
    array = np.zeros((2, 3, 4, 5)).transpose(inverse)
    assert layout.memory_order(array) == axes
    assert layout.memory_order(array[:, ::2]) is None


def test_a_plain_vector_or_number_is_in_order_and_a_broadcast_one_is_not():
    assert layout.memory_order(np.zeros(3)) == (0,)
    assert layout.memory_order(np.zeros(())) == ()
    assert layout.memory_order(np.broadcast_to(np.zeros(3), (2, 3))) is None
