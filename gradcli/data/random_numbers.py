"""Random numbers of one image in one view, which depend on nothing but the seed, the view and the image."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

# Keeps these streams apart from the orders of the epochs and the draw of the validation part.
_SPAWN_KEY = (2,)

_BYTES_OF_A_NORMAL = 4
_BYTE_MEAN = 255 / 2
_BYTE_VARIANCE = (256**2 - 1) / 12


class ImageRandomNumbers:
    """A stream of random numbers that is the same whenever an image is augmented for the same view.

    The view is what tells one augmented copy of an image from the next: an epoch, or one of several
    cached views. Seed, view and index are not negative. Only the raw output of PCG64 is drawn, which
    is promised to stay the same across NumPy versions; methods of a Generator are not.
    """

    def __init__(self, seed: int, view: int, index: int) -> None:
        self._raw = np.random.PCG64(np.random.SeedSequence([seed, view, index], spawn_key=_SPAWN_KEY)).random_raw

    def uniform(self, low: float, high: float) -> float:
        """A number from low, included, to high, excluded but for rounding, in steps of 2**-53 of the range."""
        return low + (high - low) * ((self._raw() >> 11) * 2.0**-53)

    def below(self, count: int) -> int:
        """A whole number from 0 to count - 1; count is below 2**32, which leaves a bias below 2**-32."""
        return (self._raw() * count) >> 64

    def chance(self, probability: float) -> bool:
        """Whether something of this probability happens; 0 never does, 1 always."""
        return self.uniform(0.0, 1.0) < probability

    def permutation(self, count: int) -> list[int]:
        """The numbers 0 to count - 1 in random order."""
        numbers = list(range(count))
        for last in range(count - 1, 0, -1):
            chosen = self.below(last + 1)
            numbers[last], numbers[chosen] = numbers[chosen], numbers[last]
        return numbers

    def random_bytes(self, count: int) -> NDArray[np.uint8]:
        """Whole numbers from 0 to 255 of shape (count,), eight from each number drawn, its lowest byte first."""
        words: NDArray[np.uint64] = self._raw(-(-count // 8))
        return words.astype("<u8", copy=False).view(np.uint8)[:count]

    def normals(self, count: int) -> NDArray[np.float32]:
        """Nearly normal numbers of mean 0 and variance 1, float32 of shape (count,).

        Each is the sum of four random bytes, scaled: no further than 3.45 from 0, with a kurtosis of 2.7 in place of 3.
        Sums of whole numbers are the same on every machine, logarithms and sines are not, and they are quick to have.
        """
        sums = self.random_bytes(_BYTES_OF_A_NORMAL * count).reshape(_BYTES_OF_A_NORMAL, count).sum(0, dtype=np.int16)
        sums -= np.int16(_BYTES_OF_A_NORMAL * _BYTE_MEAN)
        normals: NDArray[np.float32] = sums * np.float32((_BYTES_OF_A_NORMAL * _BYTE_VARIANCE) ** -0.5)
        return normals
