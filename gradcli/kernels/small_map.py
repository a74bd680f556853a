"""3x3 convolution on maps of a few pixels: only the taps that touch the image.

Around a 2x2 map with padding 1, 20 of the 36 (pixel, tap) pairs read zeros; on a single pixel, 8 of 9. Here no product
is formed with padding, and there is no im2col either: with the images in memory as (H, N, W, C), what neighbouring taps
of a row read is a matrix already. For output column x and tap row i these are taps (i, j0..j1): their filter values lie
side by side in (O, 3, 3, C), and they read columns x+j0-1 .. x+j1-1 of the same rows of all images:

    out[rows, :, x] += images[rows + i - 1, :, x+j0-1 : x+j1-1] (R*N, T*C) times filters[:, i, j0:j1] (O, T*C), turned

with T = j1 - j0 of 1 to 3 taps and R output rows. The gradient of the images is formed tap by tap from the gradient of
the output in the same way; so is that of the filters, where both sides of a tap's pixels are gathered first.
"""

from __future__ import annotations

from typing import NamedTuple

import numpy as np

from gradcli.kernels import memory
from gradcli.kernels.algorithm import ConvGradients, Epilogue, pass_rows
from gradcli.kernels.geometry import ConvGeometry
from gradcli.kernels.layout import Array
from gradcli.kernels.rows import ImageRows
from gradcli.kernels.slices import for_each_slice
from gradcli.kernels.threads import parallel

LARGEST_SIDE = 4  # of a map: there, 100 of 144 pairs touch the image
PIECES = 8  # at least, of a result: some filters or channels of one output column
NARROWEST = 64  # filters or channels in a piece
COPIED_ELEMENTS = 1 << 16  # by one thread at a time


class _Span(NamedTuple):
    """Along one axis of a map, the outputs (a run of them) that a tap serves, and the pixels that it reads."""

    outputs: slice
    pixels: slice


def _span(tap: int, size: int) -> _Span:
    offset = tap - 1
    first, last = max(0, -offset), min(size, size - offset)
    return _Span(slice(first, last), slice(first + offset, last + offset))


def _live_taps(size: int) -> list[int]:
    """The taps of a row, or column, of three that read an image of that size anywhere."""
    return [1] if size == 1 else [0, 1, 2]


class SmallMap:
    """3x3 kernel, stride 1, padding 1, without dilation and groups, on maps of up to 4x4 pixels; float32 or float64.

    Best with some tens of output pixels and more; with fewer, reading the filters in small pieces costs more than the
    products that are saved.
    """

    name = "small-map"

    def supports(self, geometry: ConvGeometry) -> bool:
        return (
            (geometry.kernel, geometry.stride, geometry.padding) == ((3, 3), (1, 1), (1, 1))
            and geometry.plain
            and max(geometry.height, geometry.width) <= LARGEST_SIDE
            and 0 not in geometry.image_shape
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
        batch, height, width, count = geometry.out_shape
        # (N, H, W, C) -> (H, N, W, C)
        maps = memory.empty((height, batch, width, geometry.channels), images.dtype)
        for_each_slice(
            lambda some: np.copyto(maps[:, some], images[some].transpose(1, 0, 2, 3)),
            batch,
            min(batch, maps.size // COPIED_ELEMENTS),
        )
        parts = _parts(count, width)

        def convolve(number: int) -> None:
            x, part = divmod(number, parts)
            some = slice(part * count // parts, (part + 1) * count // parts)
            _convolve_column(geometry, maps, filters[some], x, out[:, :, x, some])

        parallel(convolve, width * parts)
        if epilogue is not None:
            pass_rows(epilogue, out.reshape(geometry.pixels, count))

    def gradients(
        self,
        geometry: ConvGeometry,
        grad: ImageRows,
        images: Array,
        filters: Array,
        kept: None,
        needs_images: bool,
        needs_filters: bool,
    ) -> ConvGradients:
        batch, height, width, channels = geometry.image_shape
        # Columns first, so that each is a matrix: (N, H, W, O) -> (W, H, N, O)
        grads = memory.empty((width, height, batch, geometry.out_channels), grad.dtype)
        for_each_slice(
            lambda some: grad.write(grads[:, :, some].transpose(2, 1, 0, 3), some, slice(0, height)),
            batch,
            min(batch, grads.size // COPIED_ELEMENTS),
        )
        image_gradient = memory.empty(geometry.image_shape, grad.dtype) if needs_images else None
        filter_gradient = memory.empty(geometry.filter_shape, grad.dtype) if needs_filters else None
        parts = _parts(channels, width)
        image_pieces = width * parts if needs_images else 0
        taps = [divmod(tap, 3) for tap in (4, 1, 3, 5, 7, 0, 2, 6, 8)]  # the longest work first

        def differentiate(number: int) -> None:
            if image_gradient is not None and number < image_pieces:
                x, part = divmod(number, parts)
                some = slice(part * channels // parts, (part + 1) * channels // parts)
                _image_gradient_column(geometry, grads, filters[..., some], x, image_gradient[:, :, x, some])
            elif filter_gradient is not None:
                i, j = taps[number - image_pieces]
                _filter_gradient_tap(geometry, grads, images, i, j, filter_gradient[:, i, j])

        parallel(differentiate, image_pieces + (len(taps) if needs_filters else 0))
        return ConvGradients(image_gradient, filter_gradient)


def _parts(length: int, width: int) -> int:
    """Into how many parts to cut `length` channels of each of the map's columns."""
    return max(1, min(-(-PIECES // width), length // NARROWEST))


def _convolve_column(geometry: ConvGeometry, maps: Array, filters: Array, x: int, out: Array) -> None:
    """Fill `out` (N, H, O) with column `x` of the convolution of `maps` (H, N, W, C) with `filters` (O, 3, 3, C)."""
    batch, height, width, channels = geometry.image_shape
    count = len(filters)
    first_tap, last_tap = max(0, 1 - x), min(3, width + 1 - x)
    depth = (last_tap - first_tap) * channels
    pixel = x + first_tap - 1
    # (H, N, W, C) -> (H*N, T*C), and (O, 3, 3, C) -> (3, O, T*C)
    rows = maps.reshape(height * batch, width * channels)[:, pixel * channels : pixel * channels + depth]
    some = filters.reshape(count, 3, 3 * channels)[:, :, first_tap * channels : first_tap * channels + depth]
    total = memory.scratch("small_map.total", (height * batch, count), out.dtype)
    np.matmul(rows, some[:, 1].T, out=total)
    for i in _live_taps(height):
        span = _span(i, height)
        if i != 1:
            read = rows[span.pixels.start * batch : span.pixels.stop * batch]
            product = memory.scratch("small_map.product", (len(read), count), out.dtype)
            total[span.outputs.start * batch : span.outputs.stop * batch] += np.matmul(read, some[:, i].T, out=product)
    np.copyto(out, total.reshape(height, batch, count).transpose(1, 0, 2))  # (H, N, O) -> (N, H, O)


def _image_gradient_column(geometry: ConvGeometry, grads: Array, filters: Array, x: int, out: Array) -> None:
    """Fill `out` (N, H, C) with column `x` of the gradient of the images, for some channels.

    `grads` is (W, H, N, O), `filters` (O, 3, 3, C). A tap that reads pixel (y, x) serves output (y-i+1, x-j+1).
    """
    batch, height, width, _ = geometry.image_shape
    channels = filters.shape[3]
    total = memory.scratch("small_map.total", (height * batch, channels), out.dtype)
    matrices = [(1, j, x - j + 1) for j in (1, 0, 2)] + [(i, j, x - j + 1) for i in (0, 2) for j in range(3)]
    for number, (i, j, column) in enumerate(matrices):
        if not (0 <= column < width and i in _live_taps(height)):
            continue
        span = _span(i, height)
        rows = grads[column, span.outputs].reshape(-1, geometry.out_channels)
        if number == 0:
            np.matmul(rows, filters[:, i, j], out=total)
            continue
        product = memory.scratch("small_map.product", (len(rows), channels), out.dtype)
        total[span.pixels.start * batch : span.pixels.stop * batch] += np.matmul(rows, filters[:, i, j], out=product)
    np.copyto(out, total.reshape(height, batch, channels).transpose(1, 0, 2))  # (H, N, C) -> (N, H, C)


def _filter_gradient_tap(geometry: ConvGeometry, grads: Array, images: Array, i: int, j: int, out: Array) -> None:
    """Fill `out` (O, C) with the gradient of tap (i, j) of the filters; `grads` (W, H, N, O), `images` (N, H, W, C)."""
    _, height, width, channels = geometry.image_shape
    if i not in _live_taps(height) or j not in _live_taps(width):
        out.fill(0)
        return
    rows, columns = _span(i, height), _span(j, width)
    served = grads[columns.outputs, rows.outputs]  # (w, h, N, O)
    read = images[:, rows.pixels, columns.pixels].transpose(2, 1, 0, 3)  # (N, h, w, C) -> (w, h, N, C)
    left = memory.scratch("small_map.served", served.shape, out.dtype)
    right = memory.scratch("small_map.read", read.shape, out.dtype)
    np.copyto(left, served)
    np.copyto(right, read)
    np.matmul(left.reshape(-1, geometry.out_channels).T, right.reshape(-1, channels), out=out)
