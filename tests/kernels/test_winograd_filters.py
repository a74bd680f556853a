"""Frequencies of filters that are used again: only while the filters hold the very same numbers, and are there."""

from __future__ import annotations

import gc

import numpy as np
import pytest

from gradcli.kernels import winograd_filters
from gradcli.kernels.winograd_filters import filter_frequencies, kept_filter_frequencies


@pytest.fixture(autouse=True)
def _nothing_remembered(monkeypatch):
    monkeypatch.setattr(winograd_filters, "_remembered", {})


def random_filters():
    return np.random.RandomState(3).standard_normal((5, 3, 3, 4)).astype(np.float32)


def test_the_same_filters_give_the_frequencies_of_before():
    filters = random_filters()
    first = kept_filter_frequencies(filters)
    np.testing.assert_array_equal(first, filter_frequencies(filters))
    assert kept_filter_frequencies(filters) is first
    assert kept_filter_frequencies(filters[:]) is first


@pytest.mark.parametrize("value", [1.5, np.nan, np.float32(1e-45)])
def test_filters_that_were_written_into_are_transformed_again(value):
    filters = random_filters()
    kept_filter_frequencies(filters)
    filters[2, 1, 1, 3] = value
    np.testing.assert_array_equal(kept_filter_frequencies(filters), filter_frequencies(filters))
    first = kept_filter_frequencies(filters)
    assert kept_filter_frequencies(filters) is first  # NaN too is the same as before


def test_other_filters_at_the_same_address_are_told_apart():
    memory = np.zeros(2 * 3 * 3 * 6, np.float32)
    wide = kept_filter_frequencies(memory.reshape(2, 3, 3, 6))
    assert kept_filter_frequencies(memory.reshape(6, 3, 3, 2)).shape != wide.shape


def test_what_is_remembered_goes_with_the_filters():
    filters = random_filters()
    kept_filter_frequencies(filters.reshape(5, 3, 3, 4))
    assert len(winograd_filters._remembered) == 1
    del filters
    gc.collect()
    assert winograd_filters._remembered == {}
