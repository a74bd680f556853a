"""What a convolution kernel must know of a convolution besides its numbers: sizes, window, type."""

from __future__ import annotations

import functools
from typing import Any, NamedTuple

import numpy as np

from gradcli.kernels.layout import Pair, Shape4
from gradcli.kernels.windows import conv_output_size


class ConvGeometry(NamedTuple):
    """A convolution of images (N, H, W, C) with filters (O, kh, kw, C / groups): output (N, OH, OW, O)."""

    batch: int
    height: int
    width: int
    channels: int
    out_height: int
    out_width: int
    out_channels: int
    kernel: Pair
    stride: Pair
    padding: Pair
    dilation: Pair
    groups: int
    dtype: np.dtype[Any]

    @property
    def pixels(self) -> int:
        """Output pixels: the rows P of the convolution as a matrix product (P, K) times (K, O)."""
        return self.batch * self.out_height * self.out_width

    @property
    def depth(self) -> int:
        """Products in each output value: the inner size K of the matrix product."""
        return self.kernel[0] * self.kernel[1] * (self.channels // self.groups)

    @property
    def image_shape(self) -> Shape4:
        return self.batch, self.height, self.width, self.channels

    @property
    def out_shape(self) -> Shape4:
        return self.batch, self.out_height, self.out_width, self.out_channels

    @property
    def filter_shape(self) -> Shape4:
        return self.out_channels, *self.kernel, self.channels // self.groups

    @property
    def plain(self) -> bool:
        """Whether windows are dense and see all channels: no dilation, no groups."""
        return self.dilation == (1, 1) and self.groups == 1


@functools.lru_cache(maxsize=1024)
def conv_geometry(
    input_shape: Shape4,
    weight_shape: Shape4,
    stride: Pair,
    padding: Pair,
    dilation: Pair,
    groups: int,
    dtype: np.dtype[Any],
) -> ConvGeometry:
    """The geometry of a convolution of input (N, C, H, W) with weight (O, C / groups, kh, kw).

    Raises RuntimeError when the channels of input, weight and groups don't go together or the window
    doesn't fit.
    """
    n, channels, height, width = input_shape
    out_channels, channels_per_group, kernel_height, kernel_width = weight_shape
    if groups < 1 or out_channels % groups:
        raise RuntimeError(
            f"groups is {groups}; it must divide the {out_channels} output channels of the weight "
            f"of shape {list(weight_shape)}"
        )
    if channels != channels_per_group * groups:
        raise RuntimeError(
            f"weight of shape {list(weight_shape)} with groups={groups} expects an input with "
            f"{channels_per_group * groups} channels, but the input of shape {list(input_shape)} "
            f"has {channels}"
        )
    return ConvGeometry(
        batch=n,
        height=height,
        width=width,
        channels=channels,
        out_height=conv_output_size(height, kernel_height, stride[0], padding[0], dilation[0]),
        out_width=conv_output_size(width, kernel_width, stride[1], padding[1], dilation[1]),
        out_channels=out_channels,
        kernel=(kernel_height, kernel_width),
        stride=stride,
        padding=padding,
        dilation=dilation,
        groups=groups,
        dtype=dtype,
    )
