"""Histograms: edges, and counts against comparing each element with the edges."""

from __future__ import annotations

import math

import numpy as np
import pytest

from gradcli.inspection.gradients.histogram import histogram

RANDOM = np.random.default_rng(8)


@pytest.mark.parametrize("log_scale", [False, True])
@pytest.mark.parametrize("bins", [1, 7, 50])
def test_counts_are_those_of_the_elements_between_the_edges(bins: int, log_scale: bool) -> None:
    arrays = [RANDOM.normal(size=(30, 7)).astype(np.float32), RANDOM.normal(2, 1e-3, size=40), np.zeros(5)]
    found = histogram(arrays, bins, log_scale=log_scale)
    values = np.concatenate([array.ravel().astype(np.float64) for array in arrays])
    if log_scale:
        values = np.abs(values[values != 0])
    assert (found.edges[0], found.edges[-1]) == (values.min(), values.max())
    widths = np.diff(np.log(found.edges) if log_scale else found.edges)
    np.testing.assert_allclose(widths, widths[0], rtol=1e-6)
    pairs = list(zip(found.edges, found.edges[1:], strict=False))
    by_hand = [int(((values >= low) & (values < high)).sum()) for low, high in pairs]
    by_hand[-1] += int((values == found.edges[-1]).sum())
    assert found.counts == by_hand
    assert sum(found.counts) == values.size
    assert found.scale == ("log" if log_scale else "linear")


def test_what_is_not_finite_is_in_no_bin() -> None:
    found = histogram([np.array([np.nan, 1.0, np.inf, 3.0, -np.inf])], 2)
    assert (found.edges, found.counts) == ([1.0, 2.0, 3.0], [1, 1])


@pytest.mark.parametrize("value", [0.0, -2.5, 1e-45])
def test_equal_elements_share_one_bin(value: float) -> None:
    array = np.full(9, value, np.float32)
    found = histogram([array], 5)
    assert (found.edges, found.counts) == ([float(array[0])] * 2, [9])


@pytest.mark.parametrize("log_scale", [False, True])
def test_neighbouring_and_extreme_numbers(log_scale: bool) -> None:
    neighbours = histogram([np.array([1.0, math.nextafter(1.0, 2)])], 20, log_scale=log_scale)
    assert (len(neighbours.edges), neighbours.counts) == (2, [2])
    assert histogram([np.array([-1.7e308, 0.0, 1.7e308])], 2, log_scale=log_scale).counts in ([1, 2], [2])


@pytest.mark.parametrize("arrays", [[], [np.empty(0)], [np.array([np.nan])], [np.zeros(3)]])
def test_nothing_to_count_has_no_bins(arrays: list[np.ndarray]) -> None:
    found = histogram(arrays, 4, log_scale=True)
    assert (found.edges, found.counts) == ([], [])
