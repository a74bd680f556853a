"""A gradient of few pixels kept as its factors, which together are far smaller than itself."""

from __future__ import annotations

import math
from collections.abc import Sequence

import numpy as np

from gradcli.deferred import DeferredArray
from gradcli.kernels.geometry import ConvGeometry
from gradcli.kernels.layout import Array, Shape4, as_nhwc, from_nhwc
from gradcli.kernels.memory import empty
from gradcli.kernels.slices import for_each_slice
from gradcli.kernels.statistics import sum_of_squares
from gradcli.kernels.thin_products import BLOCK_ROWS, columns_times_rows

MOST_PIXELS = 128  # with a higher rank the factors save little
CANCELLATION = 1e-6  # the share of a sum's terms that it must keep for its precision to be that of float32
PIECE_ELEMENTS = 1 << 17  # formed at a time by one thread: half as much as the second-level cache holds


class LowRankGradient(DeferredArray):
    """The gradient (O, C, kh, kw) of a convolution's weight as the products that it is: of each pair of `factors`,
    `left` (O, P) times `right` (P, D). Side by side, these make up the depth kh*kw*C in its order in memory, that of
    `filter_shape` (O, kh, kw, C).

    One pair is the transposed gradient of the output and the columns of the images (im2col), where P counts the pixels;
    or there is a pair for each tap, with the pixels that it meets. With 4 pixels and 512 filters of 3 x 3 x 512, that
    is 0.08 MB for 9.4: an update that forms the products block by block saves writing and reading it once. All factors
    are its own: nobody writes into them.
    """

    exclusive = True

    def __init__(self, factors: Sequence[tuple[Array, Array]], filter_shape: Shape4) -> None:
        filters, height, width, channels = filter_shape
        super().__init__((filters, channels, height, width), factors[0][0].dtype, reads_others=False)
        self._filter_shape = filter_shape
        self._factors: Sequence[tuple[Array, Array]] | None = factors

    def filters(self) -> Array:
        """The gradient as a C-contiguous array (O, kh, kw, C), formed at the first call by all threads and kept."""
        return as_nhwc(self.array())

    def _compute(self) -> Array:
        gradient = empty(self._filter_shape, self.dtype)
        count = len(gradient)

        def form(blocks: slice) -> None:
            first, last = BLOCK_ROWS * blocks.start, min(BLOCK_ROWS * blocks.stop, count)
            self.rows(first, last, gradient[first:last])

        for_each_slice(form, -(-count // BLOCK_ROWS), gradient.size // PIECE_ELEMENTS)
        self._factors = None
        return from_nhwc(gradient)

    def sum_of_squares(self) -> float:
        """The sum of the squared elements in double precision, from the factors alone where they tell."""
        factors = self._factors
        if factors is not None:
            # |LR|² = sum of (LᵀL) * (RRᵀ), both (P, P); where their products cancel, little of its precision is left.
            products = [
                (wide_left.T @ wide_left) * (wide_right @ wide_right.T)
                for wide_left, wide_right in (
                    (left.astype(np.float64), right.astype(np.float64)) for left, right in factors
                )
            ]
            total = float(sum(product.sum() for product in products))
            if total > CANCELLATION * sum(np.abs(product).sum() for product in products):
                return total
        return sum_of_squares(self.array())

    def scale(self, factor: float) -> None:
        """Multiply the gradient by a number: the left factors, or the array once it is formed."""
        if self._factors is None:
            gradient = self.array()
            np.multiply(gradient, factor, out=gradient)
        else:
            self._factors = [(left * factor, right) for left, right in self._factors]

    def rows(self, first: int, last: int, out: Array) -> None:
        """Fill C-contiguous `out` with the gradient of the filters `first` up to `last`."""
        factors = self._factors  # looked at once: another thread may be forming the array
        if factors is None:
            np.copyto(out, self.filters()[first:last].reshape(out.shape))
            return
        formed = out.reshape(last - first, math.prod(self._filter_shape[1:]))
        begin = 0
        for left, right in factors:
            end = begin + right.shape[1]
            columns_times_rows(left[first:last], right, formed[:, begin:end])
            begin = end


def low_rank_gradient(
    factors: Sequence[tuple[Array, Array]], geometry: ConvGeometry, deferred: bool
) -> Array | LowRankGradient:
    """The gradient of the filters (O, kh, kw, C) from its factors: left as these if `deferred` and they save enough."""
    gradient = LowRankGradient(factors, geometry.filter_shape)
    return gradient if deferred and geometry.pixels <= MOST_PIXELS else gradient.filters()
