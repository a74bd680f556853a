"""What several kernel tests share: random arrays of awkward strides, and naive loops as references."""

from __future__ import annotations

import itertools

import numpy as np

MEMORY_LAYOUTS = ["planar", "channels-last", "strided", "broadcast-batch"]


def random_array(shape, seed=0, dtype=np.float64, memory="planar"):
    """Standard normal values of `shape` behind the memory layout asked for."""
    generator = np.random.RandomState(seed)
    if memory == "channels-last":
        n, c, h, w = shape
        return generator.standard_normal((n, h, w, c)).astype(dtype).transpose(0, 3, 1, 2)
    if memory == "strided":
        larger = generator.standard_normal([2 * length + 1 for length in shape]).astype(dtype)
        return larger[tuple(slice(2 * length - 1, None, -2) if length else slice(0) for length in shape)]
    if memory == "broadcast-batch":
        return np.broadcast_to(generator.standard_normal(shape[1:]).astype(dtype), shape)
    return generator.standard_normal(shape).astype(dtype)


def naive_conv2d(x, weight, stride, padding, dilation, groups):
    """Cross-correlation by the definition, in float64."""
    n, channels, height, width = x.shape
    out_channels, group_channels, kh, kw = weight.shape
    padded = np.zeros((n, channels, height + 2 * padding[0], width + 2 * padding[1]))
    padded[:, :, padding[0] : padding[0] + height, padding[1] : padding[1] + width] = x
    out_height = (padded.shape[2] - dilation[0] * (kh - 1) - 1) // stride[0] + 1
    out_width = (padded.shape[3] - dilation[1] * (kw - 1) - 1) // stride[1] + 1
    out = np.zeros((n, out_channels, out_height, out_width))
    for o, c, i, j in itertools.product(range(out_channels), range(group_channels), range(kh), range(kw)):
        source = padded[:, o // (out_channels // groups) * group_channels + c]
        for oh, ow in itertools.product(range(out_height), range(out_width)):
            pixel = source[:, oh * stride[0] + i * dilation[0], ow * stride[1] + j * dilation[1]]
            out[:, o, oh, ow] += weight[o, c, i, j] * pixel
    return out


def windows_of(size, output_size, kernel, stride, padding, dilation=1):
    """Along one axis, for each output the list of elements inside of the input that its window reads."""
    return [
        [
            position
            for position in range(o * stride - padding, o * stride - padding + kernel * dilation, dilation)
            if 0 <= position < size
        ]
        for o in range(output_size)
    ]


def relative_error(actual, expected):
    """Largest difference relative to the largest expected magnitude."""
    if expected.size == 0:
        return 0.0
    return float(np.abs(actual - expected).max() / max(1e-300, np.abs(expected).max()))
