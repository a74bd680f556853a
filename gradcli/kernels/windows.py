"""Sliding windows: output sizes, the columns they read (im2col) and the adjoint of that (col2im).

A window has kh x kw taps. Along one axis, tap `t` of output `o` reads element
`o * stride + t * dilation - padding`; elements outside of the input are padding.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import NamedTuple

import numpy as np
from numpy.lib.stride_tricks import as_strided

from gradcli.kernels.layout import Array, Pair


def conv_output_size(size: int, kernel: int, stride: int, padding: int, dilation: int) -> int:
    """Output length of a convolution along one axis, as in PyTorch.

    Raises RuntimeError when the window doesn't fit into the padded input.
    """
    _check_window(kernel, stride, padding, dilation)
    extent = dilation * (kernel - 1) + 1
    if size + 2 * padding < extent:
        raise RuntimeError(
            f"convolution window of {extent} elements doesn't fit an input of {size} padded by {padding} "
            f"on both sides; the input must have at least {max(1, extent - 2 * padding)}"
        )
    return (size + 2 * padding - extent) // stride + 1


def pool_output_size(
    size: int, kernel: int, stride: int, padding: int, dilation: int = 1, ceil_mode: bool = False
) -> int:
    """Output length of a pooling along one axis, as in PyTorch.

    With `ceil_mode` a last window that hangs over the right edge counts, unless it starts beyond the
    input and its left padding. Raises RuntimeError when no window fits, or when the padding exceeds
    half of the window.
    """
    _check_window(kernel, stride, padding, dilation)
    extent = dilation * (kernel - 1) + 1
    if padding > extent // 2:
        raise RuntimeError(f"pooling padding is {padding}; at most half of the window ({extent}) is possible")
    last_start = size + 2 * padding - extent
    output_size = (last_start + (stride - 1 if ceil_mode else 0)) // stride + 1
    if ceil_mode and (output_size - 1) * stride >= size + padding:
        output_size -= 1
    if output_size < 1:
        raise RuntimeError(
            f"pooling window of {extent} elements doesn't fit an input of {size} padded by {padding} "
            f"on both sides; the input must have at least {max(1, extent - 2 * padding)}"
        )
    return output_size


def _check_window(kernel: int, stride: int, padding: int, dilation: int) -> None:
    for name, value, smallest in (
        ("kernel size", kernel, 1),
        ("stride", stride, 1),
        ("padding", padding, 0),
        ("dilation", dilation, 1),
    ):
        if value < smallest:
            raise RuntimeError(f"{name} is {value}; it must be at least {smallest}")


def tap_overlap(offset: int, size: int, output_size: int, stride: int) -> tuple[slice, slice]:
    """Along one axis, the outputs that read an element inside of the input, and these elements.

    Output `o` reads element `o * stride + offset`. Returns a slice of the outputs and a slice, equally
    long, of the `size` input elements; both are empty when every read falls into the padding.
    """
    first = max(0, -(offset // stride))
    last = min(output_size - 1, (size - 1 - offset) // stride)
    if last < first:
        return slice(0, 0), slice(0, 0)
    return slice(first, last + 1), slice(first * stride + offset, last * stride + offset + 1, stride)


class Tap(NamedTuple):
    """One tap of a window: its row-major number, and indices into outputs and inputs (N, H, W, C)."""

    number: int
    outputs: tuple[slice, slice, slice]
    elements: tuple[slice, slice, slice]


def window_taps(
    size: Pair, output_size: Pair, kernel: Pair, stride: Pair, padding: Pair, dilation: Pair
) -> Iterator[Tap]:
    """The taps of a window in row-major order, each with the outputs it serves and the elements it reads."""
    everything = slice(None)
    for i in range(kernel[0]):
        rows_out, rows_in = tap_overlap(i * dilation[0] - padding[0], size[0], output_size[0], stride[0])
        for j in range(kernel[1]):
            columns_out, columns_in = tap_overlap(j * dilation[1] - padding[1], size[1], output_size[1], stride[1])
            yield Tap(i * kernel[1] + j, (everything, rows_out, columns_out), (everything, rows_in, columns_in))


class Chunk(NamedTuple):
    """Some images of a batch, and the output rows of them to compute."""

    images: slice
    rows: slice


def output_chunks(batch: int, output_height: int, bytes_per_row: int, budget: int) -> Iterator[Chunk]:
    """Cuts a batch into pieces whose columns take about `budget` bytes, in order.

    A piece is a run of whole images, or a run of output rows of one image where a whole image exceeds
    the budget.
    """
    rows = max(1, budget // max(1, bytes_per_row))
    if rows >= output_height:
        images = max(1, rows // max(1, output_height))
        for first in range(0, batch, images):
            yield Chunk(slice(first, min(first + images, batch)), slice(0, output_height))
        return
    for image in range(batch):
        for first in range(0, output_height, rows):
            yield Chunk(slice(image, image + 1), slice(first, min(first + rows, output_height)))


def im2col(
    images: Array,
    kernel: Pair,
    stride: Pair,
    padding: Pair,
    dilation: Pair,
    groups: int = 1,
    rows: slice | None = None,
) -> Array:
    """What each window reads, as matrices ready for a product with the weights.

    `images` is C-contiguous (N, H, W, C), its padding zeros. Returns (groups, N*R*OW, kh*kw*C/groups),
    where R counts the output `rows` asked for (all by default): a row for each window, in it tap after
    tap the group's channels. A copy, except for 1x1 windows without stride or padding, which give a view.
    """
    n, height, width, channels = images.shape
    out_width = conv_output_size(width, kernel[1], stride[1], padding[1], dilation[1])
    if rows is None:
        rows = slice(0, conv_output_size(height, kernel[0], stride[0], padding[0], dilation[0]))
    if kernel == (1, 1) and stride == (1, 1) and padding == (0, 0):
        pixels = images[:, rows].reshape(n * (rows.stop - rows.start) * width, groups, channels // groups)
        return pixels.transpose(1, 0, 2)  # (P, g, C/g) -> (g, P, C/g)

    out_height = rows.stop - rows.start
    top, left = rows.start * stride[0] - padding[0], -padding[1]
    needed = (  # extent of the input rows and columns that these windows touch, padding included
        (out_height - 1) * stride[0] + dilation[0] * (kernel[0] - 1) + 1,
        (out_width - 1) * stride[1] + dilation[1] * (kernel[1] - 1) + 1,
    )
    source = _zero_bordered(images, top, left, needed)
    image_step, row_step, column_step, channel_step = source.strides
    windows = as_strided(
        source,
        (groups, n, out_height, out_width, kernel[0], kernel[1], channels // groups),
        (
            channel_step * (channels // groups),
            image_step,
            row_step * stride[0],
            column_step * stride[1],
            row_step * dilation[0],
            column_step * dilation[1],
            channel_step,
        ),
        writeable=False,
    )
    columns = np.empty(windows.shape, images.dtype)
    np.copyto(columns, windows)
    return columns.reshape(groups, n * out_height * out_width, kernel[0] * kernel[1] * (channels // groups))


def _zero_bordered(images: Array, top: int, left: int, extent: Pair) -> Array:
    """The rows top..top+extent[0] and columns left..left+extent[1] of `images`; zeros where outside."""
    n, height, width, channels = images.shape
    row_range = _clip(top, top + extent[0], height)
    column_range = _clip(left, left + extent[1], width)
    inside = images[:, row_range, column_range]
    if inside.shape[1:3] == extent:
        return inside
    bordered = np.zeros((n, *extent, channels), images.dtype)
    bordered[:, row_range.start - top : row_range.stop - top, column_range.start - left : column_range.stop - left] = (
        inside
    )
    return bordered


def _clip(start: int, stop: int, size: int) -> slice:
    """The part of start..stop inside of 0..size, possibly empty."""
    first = min(max(start, 0), size)
    return slice(first, max(first, min(stop, size)))


def col2im(
    columns: Array,
    images: Array,
    kernel: Pair,
    stride: Pair,
    padding: Pair,
    dilation: Pair,
    rows: slice | None = None,
) -> None:
    """Adds columns back onto the pixels they were read from: the adjoint of `im2col`, in place.

    `columns` is (groups, N*R*OW, kh*kw*C/groups) as `im2col` returns it for the same `rows`; `images`
    is (N, H, W, C), and what falls into the padding is dropped.
    """
    n, height, width, channels = images.shape
    groups = columns.shape[0]
    out_width = conv_output_size(width, kernel[1], stride[1], padding[1], dilation[1])
    if rows is None:
        rows = slice(0, conv_output_size(height, kernel[0], stride[0], padding[0], dilation[0]))
    out_height = rows.stop - rows.start
    windows = columns.reshape(groups, n, out_height, out_width, *kernel, channels // groups)
    pixels = images.reshape(n, height, width, groups, channels // groups)
    below = padding[0] - rows.start * stride[0]  # padding as seen from the first of these output rows
    for tap in window_taps((height, width), (out_height, out_width), kernel, stride, (below, padding[1]), dilation):
        i, j = divmod(tap.number, kernel[1])
        # (g, N, R, OW, C/g) -> (N, R, OW, g, C/g)
        pixels[tap.elements] += windows[:, *tap.outputs, i, j].transpose(1, 2, 3, 0, 4)
