"""Average and adaptive average pooling with PyTorch's meaning, and their gradients.

Sums are formed tap by tap: for each position in the window, one pass over the outputs of some images, which stay in
the cache meanwhile. Kernel size, stride and padding are (vertical, horizontal) pairs; results have channels-last
memory.
"""

from __future__ import annotations

import numpy as np

from gradcli.kernels import memory
from gradcli.kernels.layout import Array, Pair, Shape4, as_nhwc, from_nhwc
from gradcli.kernels.pieces import Piece, cut_into_pieces, for_each_piece
from gradcli.kernels.windows import pool_output_size, window_taps

SINGLE_WINDOW: Pair = (1, 1)
PIECE_BYTES = 1 << 19  # of input at a time, so that all taps find it in the cache
WORK_PER_ELEMENT = 10  # in the unit of `cut_into_pieces`: an element takes about as long as so many multiply-adds


def avg_pool2d(
    x: Array,
    kernel: Pair,
    stride: Pair,
    padding: Pair,
    ceil_mode: bool,
    count_include_pad: bool,
    divisor_override: int | None,
) -> Array:
    """The mean of each window of `x` (N, C, H, W), padded with zeros; shape (N, C, OH, OW).

    With `count_include_pad` padding counts in the divisor (but never what a `ceil_mode` window hangs
    over beyond it); `divisor_override` replaces the divisor. Raises RuntimeError when the window or
    padding doesn't fit, or the divisor is zero.
    """
    images = as_nhwc(x)
    size, output_size = images.shape[1:3], _output_size(x.shape, kernel, stride, padding, ceil_mode)
    wide = np.promote_types(x.dtype, np.float32)  # sums of float16 would overflow
    divisors = _divisors(size, output_size, kernel, stride, padding, count_include_pad, divisor_override).astype(wide)
    out = memory.empty((len(images), *output_size, x.shape[1]), x.dtype)
    taps = list(window_taps(size, output_size, kernel, stride, padding, SINGLE_WINDOW))

    def average(piece: Piece) -> None:
        source, averages = images[piece.images], out[piece.images]
        sums = averages if wide == x.dtype else memory.scratch("average_pooling.sums", averages.shape, wide)
        sums.fill(0)
        for tap in taps:
            sums[tap.outputs] += source[tap.elements]
        np.divide(sums, divisors, out=averages, casting="same_kind")

    for_each_piece(average, _image_pieces(images))
    return from_nhwc(out)


def avg_pool2d_input_gradient(
    grad: Array,
    input_shape: Shape4,
    kernel: Pair,
    stride: Pair,
    padding: Pair,
    ceil_mode: bool,
    count_include_pad: bool,
    divisor_override: int | None,
) -> Array:
    """Gradient of `avg_pool2d`: each entry of `grad` (N, C, OH, OW) spread evenly over its window.

    Returns `input_shape` (N, C, H, W). Raises RuntimeError as `avg_pool2d` does.
    """
    n, channels, *size = input_shape
    output_size = _output_size(input_shape, kernel, stride, padding, ceil_mode)
    divisors = _divisors(
        (size[0], size[1]), output_size, kernel, stride, padding, count_include_pad, divisor_override
    ).astype(grad.dtype)
    grad_images = as_nhwc(grad)
    images = memory.empty((n, *size, channels), grad.dtype)
    taps = list(window_taps((size[0], size[1]), output_size, kernel, stride, padding, SINGLE_WINDOW))

    def spread(piece: Piece) -> None:
        target, source = images[piece.images], grad_images[piece.images]
        target.fill(0)
        shares = memory.scratch("average_pooling.shares", source.shape, source.dtype)
        np.divide(source, divisors, out=shares)
        for tap in taps:
            target[tap.elements] += shares[tap.outputs]

    for_each_piece(spread, _image_pieces(images))
    return from_nhwc(images)


def _output_size(input_shape: Shape4, kernel: Pair, stride: Pair, padding: Pair, ceil_mode: bool) -> Pair:
    _, _, height, width = input_shape
    return (
        pool_output_size(height, kernel[0], stride[0], padding[0], 1, ceil_mode),
        pool_output_size(width, kernel[1], stride[1], padding[1], 1, ceil_mode),
    )


def _image_pieces(images: Array) -> tuple[Piece, ...]:
    """Runs of whole images of (N, H, W, C): windows of one image may overlap."""
    elements = images[:1].size
    return cut_into_pieces(len(images), 1, 1, elements * images.itemsize, elements * WORK_PER_ELEMENT, PIECE_BYTES)


def _divisors(
    size: Pair,
    output_size: Pair,
    kernel: Pair,
    stride: Pair,
    padding: Pair,
    count_include_pad: bool,
    divisor_override: int | None,
) -> Array:
    """What each window's sum is divided by, of shape (OH, OW, 1)."""
    if divisor_override is not None:
        if divisor_override == 0:
            raise RuntimeError("divisor_override is 0; it must not be zero")
        return np.full((*output_size, 1), divisor_override, np.float64)
    counts = []
    for axis in (0, 1):
        starts = np.arange(output_size[axis]) * stride[axis] - padding[axis]
        stops = np.minimum(starts + kernel[axis], size[axis] + padding[axis])
        if not count_include_pad:
            starts, stops = np.maximum(starts, 0), np.minimum(stops, size[axis])
        counts.append(np.maximum(stops - starts, 1))  # a window in the padding alone has the sum 0
    divisors: Array = (counts[0][:, None] * counts[1])[:, :, None].astype(np.float64)
    return divisors


# ---------------------------------------------------------------------------- adaptive average pooling


def adaptive_avg_pool2d(x: Array, output_size: Pair) -> Array:
    """The means of `output_size` = (OH, OW) regions that cover `x` (N, C, H, W); shape (N, C, OH, OW).

    Region `i` of an axis runs from floor(i * size / regions) to ceil((i + 1) * size / regions), as in
    PyTorch. Raises RuntimeError when `x` has no pixels.
    """
    n, channels, height, width = x.shape
    if not height or not width:
        raise RuntimeError(f"adaptive average pooling needs pixels, but the input has shape {list(x.shape)}")
    images = as_nhwc(x)
    out = np.empty((n, *output_size, channels), x.dtype)
    for i, rows in enumerate(_regions(height, output_size[0])):
        for j, columns in enumerate(_regions(width, output_size[1])):
            out[:, i, j] = images[:, rows, columns].mean(axis=(1, 2), dtype=np.float64)
    return from_nhwc(out)


def adaptive_avg_pool2d_input_gradient(grad: Array, input_shape: Shape4) -> Array:
    """Gradient of `adaptive_avg_pool2d`: each entry of `grad` (N, C, OH, OW) spread evenly over its region.

    Returns `input_shape` (N, C, H, W).
    """
    n, channels, height, width = input_shape
    grad_images = as_nhwc(grad)
    images = np.zeros((n, height, width, channels), grad.dtype)
    for i, rows in enumerate(_regions(height, grad.shape[2])):
        for j, columns in enumerate(_regions(width, grad.shape[3])):
            pixels = (rows.stop - rows.start) * (columns.stop - columns.start)
            images[:, rows, columns] += (grad_images[:, i, j] / grad.dtype.type(pixels))[:, None, None]
    return from_nhwc(images)


def _regions(size: int, regions: int) -> list[slice]:
    return [slice(i * size // regions, -(-(i + 1) * size // regions)) for i in range(regions)]
