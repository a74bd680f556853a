"""A gradient of few pixels kept as its two factors, which together are far smaller than itself."""

from __future__ import annotations

import numpy as np

from gradcli.deferred import DeferredArray
from gradcli.kernels.layout import Array, Shape4, as_nhwc, from_nhwc
from gradcli.kernels.memory import empty
from gradcli.kernels.slices import for_each_slice
from gradcli.kernels.thin_products import columns_times_rows

MOST_PIXELS = 128  # with a higher rank the factors save little
PIECE_ELEMENTS = 1 << 18  # formed at a time by one thread: as much as the second-level cache holds


class LowRankGradient(DeferredArray):
    """The gradient (O, C, kh, kw) of a convolution's weight as the product that it is: `left` (O, P) times `right`
    (P, kh*kw*C), where P counts the pixels. `filter_shape` is (O, kh, kw, C), its order in memory.

    `left` is the transposed gradient of the output and `right` the columns of the images (im2col). With 4 pixels and
    512 filters of 3 x 3 x 512, that is 0.08 MB for 9.4: an update that forms the product block by block saves writing
    and reading it once. Both factors are its own: nobody writes into them.
    """

    exclusive = True

    def __init__(self, left: Array, right: Array, filter_shape: Shape4) -> None:
        filters, height, width, channels = filter_shape
        super().__init__((filters, channels, height, width), right.dtype, reads_others=False)
        self._filter_shape = filter_shape
        self._factors: tuple[Array, Array] | None = (left, right)

    def filters(self) -> Array:
        """The gradient as a C-contiguous array (O, kh, kw, C), formed at the first call by all threads and kept."""
        return as_nhwc(self.array())

    def _compute(self) -> Array:
        gradient = empty(self._filter_shape, self.dtype)
        for_each_slice(
            lambda some: self.rows(some.start, some.stop, gradient[some]),
            len(gradient),
            min(len(gradient) // 8, gradient.size // PIECE_ELEMENTS),
        )
        self._factors = None
        return from_nhwc(gradient)

    def rows(self, first: int, last: int, out: Array) -> None:
        """Fill C-contiguous `out` with the gradient of the filters `first` up to `last`."""
        if self._factors is None:
            np.copyto(out, self.filters()[first:last].reshape(out.shape))
            return
        left, right = self._factors
        columns_times_rows(left[first:last], right, out.reshape(last - first, right.shape[1]))
