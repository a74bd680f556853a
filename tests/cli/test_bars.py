"""Rows of small bars."""

from __future__ import annotations

import pytest

from gradcli.cli.bars import row_of_bars


@pytest.mark.parametrize(
    ("counts", "bars"),
    [([], ""), ([0, 0], "  "), ([5], "█"), ([0, 1, 8, 7, 4], " ▁█▇▄"), ([1, 10**9], "▁█"), ([1, 1], "██")],
)
def test_bars_are_as_high_as_their_share_of_the_largest(counts: list[int], bars: str) -> None:
    assert row_of_bars(counts) == bars
