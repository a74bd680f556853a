"""A gradient of few pixels kept as its two factors, which together are far smaller than itself."""

from __future__ import annotations

from typing import Any

import numpy as np

from gradcli.kernels.layout import Array
from gradcli.kernels.memory import empty
from gradcli.kernels.slices import for_each_slice
from gradcli.kernels.thin_products import columns_times_rows

MOST_PIXELS = 128  # with a higher rank the factors save little
PIECE_ELEMENTS = 1 << 18  # formed at a time by one thread: as much as the second-level cache holds


class LowRankGradient:
    """The gradient (O, kh, kw, C) of a convolution's filters as the product that it is: `left` (O, P) times `right`
    (P, kh*kw*C), where P counts the pixels.

    `left` is the transposed gradient of the output and `right` the columns of the images (im2col). With 4 pixels and
    512 filters of 3 x 3 x 512, that is 0.08 MB for 9.4: an update that forms the product block by block saves writing
    and reading it once. Read `shape` and `dtype` as of an array.
    """

    def __init__(self, left: Array, right: Array, shape: tuple[int, ...]) -> None:
        self.shape = shape
        self.dtype: np.dtype[Any] = right.dtype
        self._factors: tuple[Array, Array] | None = (left, right)
        self._array: Array | None = None

    @property
    def is_computed(self) -> bool:
        """Whether `array` has been called; the factors are gone then, and changes to the array count."""
        return self._array is not None

    def array(self) -> Array:
        """The gradient itself, formed at the first call by all threads and kept."""
        if self._array is None:
            gradient = empty(self.shape, self.dtype)
            for_each_slice(
                lambda some: self.rows(some.start, some.stop, gradient[some]),
                self.shape[0],
                min(self.shape[0] // 8, gradient.size // PIECE_ELEMENTS),
            )
            self._array, self._factors = gradient, None
        return self._array

    def rows(self, first: int, last: int, out: Array) -> None:
        """Fill C-contiguous `out` with the gradient of the filters `first` up to `last`."""
        if self._factors is None:
            np.copyto(out, self.array()[first:last].reshape(out.shape))
            return
        left, right = self._factors
        columns_times_rows(left[first:last], right, out.reshape(last - first, right.shape[1]))
