"""Numbers as a row of small bars, for a cell of a table on a terminal."""

from __future__ import annotations

from collections.abc import Sequence

BARS = "▁▂▃▄▅▆▇█"


def row_of_bars(counts: Sequence[int]) -> str:
    """One character for each count, as high as its share of the largest; a space for zero."""
    highest = max(counts, default=0)
    return "".join(BARS[(count * len(BARS) - 1) // highest] if count else " " for count in counts)
