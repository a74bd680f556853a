"""Max, average and adaptive average pooling with PyTorch's meaning, and their gradients.

Values are computed tap by tap: for each position in the window, one pass over all outputs. Kernel size,
stride, padding and dilation are (vertical, horizontal) pairs; results have channels-last memory.

Max pooling remembers the winner of each window as its *position* in the window, `i * kw + j`, one byte
for ordinary windows. `max_pool2d_indices` converts positions to PyTorch's indices.
"""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np

from gradcli.kernels.layout import Array, Pair, Shape4, as_nhwc, from_nhwc
from gradcli.kernels.windows import pool_output_size, window_taps

CHUNK_ELEMENTS = 1 << 18  # input elements pooled at a time, so that all taps find them in the cache
SINGLE_WINDOW: Pair = (1, 1)


def pool2d_output_shape(
    input_shape: Shape4, kernel: Pair, stride: Pair, padding: Pair, dilation: Pair, ceil_mode: bool
) -> Shape4:
    """Shape (N, C, OH, OW) of a pooling; RuntimeError when the window or padding doesn't fit."""
    n, channels, height, width = input_shape
    return (
        n,
        channels,
        pool_output_size(height, kernel[0], stride[0], padding[0], dilation[0], ceil_mode),
        pool_output_size(width, kernel[1], stride[1], padding[1], dilation[1], ceil_mode),
    )


# ----------------------------------------------------------------------------------------- max pooling


def max_pool2d(
    x: Array, kernel: Pair, stride: Pair, padding: Pair, dilation: Pair, ceil_mode: bool
) -> tuple[Array, Array]:
    """The maximum of each window of `x` (N, C, H, W), and its position in the window.

    Returns two arrays of shape (N, C, OH, OW): values in the dtype of `x`, and positions `i * kw + j` as
    the smallest unsigned integers that hold them. Padding never wins. Among equal values the first wins;
    a NaN wins over every number, the last one over other NaNs, as in PyTorch. Raises RuntimeError when
    the window or padding doesn't fit, or a dilated window steps over the whole input.
    """
    _, _, height, width = x.shape
    n, channels, *output_size = pool2d_output_shape(x.shape, kernel, stride, padding, dilation, ceil_mode)
    out_height, out_width = output_size
    images = as_nhwc(x)
    lowest = -np.inf if x.dtype.kind == "f" else np.iinfo(x.dtype).min
    out = np.full((n, out_height, out_width, channels), lowest, x.dtype)
    positions = np.empty(out.shape, np.min_scalar_type(kernel[0] * kernel[1] - 1))
    # Where nothing exceeds -inf, the first position inside of the input wins.
    first_rows = _first_inside(height, out_height, kernel[0], stride[0], padding[0], dilation[0])
    first_columns = _first_inside(width, out_width, kernel[1], stride[1], padding[1], dilation[1])
    positions[:] = (first_rows[:, None] * kernel[1] + first_columns)[:, :, None]

    for chunk in _image_chunks(images.shape):
        source, best, winners = images[chunk], out[chunk], positions[chunk]
        has_nan = bool(np.isnan(source).any())
        for tap in window_taps((height, width), (out_height, out_width), kernel, stride, padding, dilation):
            candidates, leaders, holders = source[tap.elements], best[tap.outputs], winners[tap.outputs]
            wins = candidates > leaders
            if has_nan:
                wins |= np.isnan(candidates)
            np.maximum(leaders, candidates, out=leaders)
            # Positions only grow from tap to tap, so a maximum writes the new winners without a masked copy.
            np.maximum(holders, wins.astype(holders.dtype) * holders.dtype.type(tap.number), out=holders)
    return from_nhwc(out), from_nhwc(positions)


def _first_inside(size: int, output_size: int, kernel: int, stride: int, padding: int, dilation: int) -> Array:
    """Along one axis, each window's first tap that reads an element of the input."""
    starts = np.arange(output_size) * stride - padding
    first = np.maximum(-(starts // dilation), 0)
    if np.any(first >= kernel) or np.any(starts + first * dilation >= size):
        raise RuntimeError(
            f"max pooling windows of {kernel} elements with dilation {dilation} and padding {padding} "
            f"over an input of {size} read nothing but padding; pad or dilate less"
        )
    return first


def max_pool2d_indices(
    positions: Array, input_width: int, kernel: Pair, stride: Pair, padding: Pair, dilation: Pair
) -> Array:
    """PyTorch's `return_indices` of a max pooling: `h * W + w` of each winner in its plane, int64.

    `positions` (N, C, OH, OW) are those of `max_pool2d`; the result has their shape.
    """
    out_height, out_width = positions.shape[2:]
    i, j = np.divmod(positions.astype(np.int64), kernel[1])
    rows = np.arange(out_height)[:, None] * stride[0] - padding[0] + i * dilation[0]
    columns = np.arange(out_width) * stride[1] - padding[1] + j * dilation[1]
    indices: Array = rows * input_width + columns
    return indices


def max_pool2d_input_gradient(
    grad: Array,
    positions: Array,
    input_shape: Shape4,
    kernel: Pair,
    stride: Pair,
    padding: Pair,
    dilation: Pair,
) -> Array:
    """Gradient of `max_pool2d`: each entry of `grad` (N, C, OH, OW) added to the winner of its window.

    `positions` are those of `max_pool2d`. Returns `input_shape` (N, C, H, W).
    """
    n, channels, height, width = input_shape
    grad_images, position_images = as_nhwc(grad), as_nhwc(positions)
    images = np.zeros((n, height, width, channels), grad.dtype)
    for chunk in _image_chunks(images.shape):
        target = images[chunk]
        winners = _winner_elements(position_images[chunk], target.shape, kernel, stride, padding, dilation)
        np.add.at(target.reshape(-1), winners.reshape(-1), grad_images[chunk].reshape(-1))
    return from_nhwc(images)


def max_pool2d_gather(
    values: Array, positions: Array, kernel: Pair, stride: Pair, padding: Pair, dilation: Pair
) -> Array:
    """Picks from `values` (N, C, H, W) the entry at each window's winner: the adjoint of the gradient.

    `positions` (N, C, OH, OW) are those of `max_pool2d`; the result has their shape and the dtype of
    `values`. It is the gradient of `max_pool2d_input_gradient` with respect to `grad`.
    """
    images, position_images = as_nhwc(values), as_nhwc(positions)
    out = np.empty(position_images.shape, values.dtype)
    for chunk in _image_chunks(images.shape):
        source = images[chunk]
        winners = _winner_elements(position_images[chunk], source.shape, kernel, stride, padding, dilation)
        out[chunk] = source.reshape(-1)[winners]
    return from_nhwc(out)


def _winner_elements(
    positions: Array, images_shape: Shape4, kernel: Pair, stride: Pair, padding: Pair, dilation: Pair
) -> Array:
    """Where each winner lies in flat (N, H, W, C) memory, for positions (N, OH, OW, C)."""
    n, height, width, channels = images_shape
    _, out_height, out_width, _ = positions.shape
    tap_rows, tap_columns = np.divmod(np.arange(kernel[0] * kernel[1]), kernel[1])
    tap_offsets = (tap_rows * dilation[0] * width + tap_columns * dilation[1]) * channels
    first_rows = np.arange(out_height) * stride[0] - padding[0]
    first_columns = np.arange(out_width) * stride[1] - padding[1]
    first_elements = (first_rows[:, None] * width + first_columns)[:, :, None] * channels
    elements: Array = np.take(tap_offsets, positions)
    elements += first_elements + np.arange(channels)
    elements += (np.arange(n) * (height * width * channels))[:, None, None, None]
    return elements


# ------------------------------------------------------------------------------------- average pooling


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
    n, channels, out_height, out_width = pool2d_output_shape(x.shape, kernel, stride, padding, SINGLE_WINDOW, ceil_mode)
    size = (x.shape[2], x.shape[3])
    divisors = _divisors(size, (out_height, out_width), kernel, stride, padding, count_include_pad, divisor_override)
    images = as_nhwc(x)
    wide = np.promote_types(x.dtype, np.float32)  # sums of float16 would overflow
    out = np.zeros((n, out_height, out_width, channels), wide)
    for chunk in _image_chunks(images.shape):
        source, sums = images[chunk], out[chunk]
        for tap in window_taps(size, (out_height, out_width), kernel, stride, padding, SINGLE_WINDOW):
            sums[tap.outputs] += source[tap.elements]
        sums /= divisors.astype(wide)
    return from_nhwc(out.astype(x.dtype, copy=False))


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
    n, channels, height, width = input_shape
    _, _, out_height, out_width = pool2d_output_shape(input_shape, kernel, stride, padding, SINGLE_WINDOW, ceil_mode)
    divisors = _divisors(
        (height, width), (out_height, out_width), kernel, stride, padding, count_include_pad, divisor_override
    )
    shares = as_nhwc(grad) / divisors.astype(grad.dtype)
    images = np.zeros((n, height, width, channels), grad.dtype)
    for chunk in _image_chunks(images.shape):
        target, source = images[chunk], shares[chunk]
        for tap in window_taps((height, width), (out_height, out_width), kernel, stride, padding, SINGLE_WINDOW):
            target[tap.elements] += source[tap.outputs]
    return from_nhwc(images)


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


def _image_chunks(images_shape: tuple[int, ...]) -> Iterator[slice]:
    """Cuts a batch (N, H, W, C) into runs of whole images of about CHUNK_ELEMENTS elements."""
    n, height, width, channels = images_shape
    step = max(1, CHUNK_ELEMENTS // max(1, height * width * channels))
    for first in range(0, n, step):
        yield slice(first, first + step)
