"""Sums of columns against float64."""

from __future__ import annotations

import numpy as np
import pytest

from gradcli.kernels.column_sums import column_sums


@pytest.mark.parametrize("rows", [0, 1, 15, 16, 31, 32, 33, 1000, 70_001])
@pytest.mark.parametrize("channels", [1, 3, 64])
def test_sums_lose_next_to_nothing(rows, channels):
    values = (np.random.RandomState(rows).standard_normal((rows, channels)) + 5).astype(np.float32)
    total = column_sums(values)
    assert total.dtype == np.float64
    np.testing.assert_allclose(total, values.sum(axis=0, dtype=np.float64), rtol=3e-7)


def test_float64_is_added_up_in_float64():
    values = np.random.RandomState(1).standard_normal((100, 3))
    np.testing.assert_allclose(column_sums(values), values.sum(axis=0), rtol=1e-13)
