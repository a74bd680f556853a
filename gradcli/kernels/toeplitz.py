"""3x3 convolution of 2x2 maps with nine products instead of sixteen; the convolution only, not its gradients.

Along one axis, with padding 1, the two outputs of taps t on pixels x are

    y0 = t1 * x0 + t2 * x1,    y1 = t0 * x0 + t1 * x1,

a Toeplitz matrix times a vector, which three products suffice for (Winograd, "Arithmetic Complexity of Computations",
1980):

    y0 = t1 * (x0 + x1) + (t2 - t1) * x1,    y1 = t1 * (x0 + x1) + (t0 - t1) * x0.

Down and across these are nine products for each pair of channels, where the taps that meet a pixel are sixteen. Each is
a matrix product (N, C) times (C, O). The sums cost next to nothing where there are some tens of images.
"""

from __future__ import annotations

import numpy as np

from gradcli.kernels import memory
from gradcli.kernels.algorithm import Epilogue, pass_rows
from gradcli.kernels.geometry import ConvGeometry
from gradcli.kernels.layout import Array
from gradcli.kernels.slices import for_each_slice

FILTERS_AT_ONCE = 64  # taken through all steps by one thread
SUMMED_ELEMENTS = 1 << 16  # of the images, by one thread at a time


class Toeplitz:
    """3x3 kernel, stride 1, padding 1, without dilation and groups, on maps of 2x2 pixels; float32 or float64.

    In float32 results are within some 2e-6 of the largest value. An infinity turns its map into NaNs.
    """

    name = "toeplitz"

    def supports(self, geometry: ConvGeometry) -> bool:
        return (
            (geometry.kernel, geometry.stride, geometry.padding) == ((3, 3), (1, 1), (1, 1))
            and geometry.plain
            and (geometry.height, geometry.width) == (2, 2)
            and geometry.dtype in (np.float32, np.float64)
        )

    def forward(
        self,
        geometry: ConvGeometry,
        images: Array,
        filters: Array,
        out: Array,
        epilogue: Epilogue | None = None,
        keep: bool = False,
    ) -> None:
        batch, channels, count = geometry.batch, geometry.channels, geometry.out_channels
        sums = memory.empty((3, 3, batch, channels), geometry.dtype)
        for_each_slice(
            lambda some: _sum_pixels(images[some], sums[:, :, some]), batch, min(batch, images.size // SUMMED_ELEMENTS)
        )
        factors = sums.reshape(9, batch, channels)

        def convolve(some: slice) -> None:
            differences = _subtract_taps(filters[some])  # (3, 3, O', C)
            products = memory.scratch("toeplitz.products", (3, 3, *out[:, 0, 0, some].shape), out.dtype)
            matrices = differences.reshape(9, -1, channels).transpose(0, 2, 1)  # (9, O', C) -> (9, C, O')
            np.matmul(factors, matrices, out=products.reshape(9, *products.shape[2:]))
            _sum_products(products, out[..., some])

        for_each_slice(convolve, count, count // FILTERS_AT_ONCE)
        if epilogue is not None:
            pass_rows(epilogue, out.reshape(geometry.pixels, count))


def _sum_pixels(images: Array, out: Array) -> None:
    """Fill `out` (3, 3, n, C) from `images` (n, 2, 2, C): along both axes x0 + x1, x1 and x0."""
    n, _, _, channels = images.shape
    rows = memory.scratch("toeplitz.rows", (3, n, 2, channels), out.dtype)
    np.add(images[:, 0], images[:, 1], out=rows[0])
    np.copyto(rows[1], images[:, 1])
    np.copyto(rows[2], images[:, 0])
    np.add(rows[:, :, 0], rows[:, :, 1], out=out[:, 0])
    np.copyto(out[:, 1], rows[:, :, 1])
    np.copyto(out[:, 2], rows[:, :, 0])


def _subtract_taps(filters: Array) -> Array:
    """From `filters` (O, 3, 3, C), along both axes: t1, t2 - t1 and t0 - t1, (3, 3, O, C) in scratch memory."""
    count, _, _, channels = filters.shape
    rows = memory.scratch("toeplitz.rows", (3, count, 3, channels), filters.dtype)
    np.copyto(rows[0], filters[:, 1])
    np.subtract(filters[:, 2], filters[:, 1], out=rows[1])
    np.subtract(filters[:, 0], filters[:, 1], out=rows[2])
    result = memory.scratch("toeplitz.filters", (3, 3, count, channels), filters.dtype)
    np.copyto(result[:, 0], rows[:, :, 1])
    np.subtract(rows[:, :, 2], rows[:, :, 1], out=result[:, 1])
    np.subtract(rows[:, :, 0], rows[:, :, 1], out=result[:, 2])
    return result


def _sum_products(products: Array, out: Array) -> None:
    """Fill `out` (N, 2, 2, O), of any strides, from `products` (3, 3, N, O): along both axes the first plus another."""
    rows = memory.scratch("toeplitz.rows", (2, *products.shape[1:]), out.dtype)
    np.add(products[0], products[1], out=rows[0])
    np.add(products[0], products[2], out=rows[1])
    outputs = out.transpose(1, 2, 0, 3)  # (N, y, x, O) -> (y, x, N, O)
    np.add(rows[:, 0], rows[:, 1], out=outputs[:, 0])
    np.add(rows[:, 0], rows[:, 2], out=outputs[:, 1])
