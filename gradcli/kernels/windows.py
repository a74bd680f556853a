"""Sliding windows: output sizes, and which elements each tap reads.

A window has kh x kw taps. Along one axis, tap `t` of output `o` reads element
`o * stride + t * dilation - padding`; elements outside of the input are padding.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import NamedTuple

from gradcli.kernels.layout import Pair


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
