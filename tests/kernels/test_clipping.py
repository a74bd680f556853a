"""Sums of squares, scaling and clamping of gradients in any memory, low-rank ones included."""

from __future__ import annotations

import math

import numpy as np
import pytest

from gradcli.kernels import clipping
from gradcli.kernels.clipping import clamp, scale, sums_of_squares
from gradcli.kernels.low_rank import LowRankGradient
from tests.kernels.references import random_array


def gradients():
    """Gradients of every kind; the last is a product that nobody has formed."""
    arrays = [random_array((5, 4, 3, 2), 1, np.float32, memory) for memory in ("planar", "channels-last", "strided")]
    arrays += [random_array((7,), 2, np.float64), np.asarray(np.float32(3.0)), np.zeros((0, 3), np.float32)]
    return [*arrays, LowRankGradient([(random_array((6, 2), 3), random_array((2, 12), 4))], (6, 2, 2, 3))]


def values_of(some):
    return [np.array(gradient.array() if isinstance(gradient, LowRankGradient) else gradient) for gradient in some]


@pytest.fixture(params=[5, clipping.BLOCK_ELEMENTS], ids=["small-blocks", "default-blocks"])
def block_elements(request, monkeypatch):
    monkeypatch.setattr(clipping, "BLOCK_ELEMENTS", request.param)


def test_sums_of_squares_are_of_each():
    some = gradients()
    found = sums_of_squares(some)
    assert not some[-1].is_computed
    expected = [np.square(values.astype(np.float64)).sum() for values in values_of(some)]
    np.testing.assert_allclose(found, expected, rtol=1e-12)
    assert sums_of_squares([]) == []


@pytest.mark.usefixtures("block_elements")
def test_all_are_scaled_in_place_and_what_is_not_formed_stays_so():
    some, expected = gradients(), [0.25 * values for values in values_of(gradients())]
    scale(some, 0.25)
    assert not some[-1].is_computed
    for found, wanted in zip(values_of(some), expected, strict=True):
        np.testing.assert_allclose(found, wanted, rtol=1e-14)
    scale(some, 2.0)
    np.testing.assert_allclose(some[-1].array(), 2 * expected[-1], rtol=1e-14)


@pytest.mark.usefixtures("block_elements")
def test_all_are_clamped_in_place():
    some, expected = gradients(), [np.clip(values, -0.5, 0.5) for values in values_of(gradients())]
    clamp(some, 0.5)
    for found, wanted in zip(values_of(some), expected, strict=True):
        np.testing.assert_array_equal(found, wanted)


def test_nan_is_not_clamped_and_infinity_is():
    gradient = np.array([math.nan, math.inf, -math.inf, 2.0])
    clamp([gradient], 1.0)
    np.testing.assert_array_equal(gradient, [math.nan, 1, -1, 1])
