"""Slices of one axis: together they are all of it, in as many pieces as were asked for."""

from __future__ import annotations

import pytest

from gradcli.kernels.slices import for_each_slice


@pytest.mark.parametrize(("length", "count"), [(10, 3), (3, 10), (7, 1), (7, 0), (0, 2), (64, 64)])
def test_slices_make_up_the_axis_once(length, count):
    seen = []
    for_each_slice(seen.append, length, count)
    assert len(seen) == max(1, count)
    assert sorted(number for some in seen for number in range(some.start, some.stop)) == list(range(length))
    assert max(some.stop - some.start for some in seen) <= -(-length // max(1, count))
