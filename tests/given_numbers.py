"""Random numbers that a test chooses."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np

from gradcli.data.random_numbers import ImageRandomNumbers


class GivenNumbers(ImageRandomNumbers):
    """Draws shares of each range from a list instead of at random; permutations stay in order, bytes count up."""

    def __init__(self, *shares: float) -> None:
        self._shares: Iterator[float] = iter(shares)

    def uniform(self, low: float, high: float) -> float:
        return low + (high - low) * next(self._shares)

    def below(self, count: int) -> int:
        return int(count * next(self._shares))

    def permutation(self, count: int) -> list[int]:
        return list(range(count))

    def random_bytes(self, count: int) -> np.ndarray:
        return (np.arange(1, count + 1) * 5 % 256).astype(np.uint8)
