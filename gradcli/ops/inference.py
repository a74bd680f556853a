"""A convolution, its batch norm and what follows in one call on arrays, for passes that nobody differentiates."""

from __future__ import annotations

from typing import NamedTuple

import numpy as np

from gradcli.autograd.dtypes import Array
from gradcli.deferred import DeferredArray, settled
from gradcli.kernels import convolution, normalization
from gradcli.kernels.channel_expression import ChannelExpression
from gradcli.kernels.max_pooling import max_pool2d_values
from gradcli.kernels.policy import get_kernels
from gradcli.kernels.pooled_convolution import conv2d_max_pool2d
from gradcli.ops.activation import relu
from gradcli.ops.arithmetic import add
from gradcli.ops.dims import IntPair


class PoolingWindows(NamedTuple):
    """The arguments of a max pooling."""

    kernel: IntPair
    stride: IntPair
    padding: IntPair
    dilation: IntPair
    ceil_mode: bool


class RunningBatchNorm(NamedTuple):
    """A batch norm by running statistics: vectors (C,) of one type."""

    mean: Array
    variance: Array
    weight: Array
    bias: Array
    eps: float


def conv2d_batch_norm(
    input: Array | DeferredArray,
    weight: Array,
    stride: IntPair,
    padding: IntPair,
    dilation: IntPair,
    groups: int,
    norm: RunningBatchNorm,
    shortcut: Array | DeferredArray | None = None,
    rectify: bool = False,
) -> Array | DeferredArray:
    """relu(batch_norm(conv2d(input, weight)) + shortcut), without shortcut or ReLU where not asked for.

    The input is (N, C, H, W), the weight (O, C / groups, kH, kW), neither without elements, and all have the dtype of
    `norm`. Errors are those of the separate operations, and so are values with exact kernels, bit for bit; no graph is
    recorded. Without ReLU the result is put off, as one that a shortcut adds up with: it may be used only where
    `may_put_off` says so.
    """
    convolved = convolution.undifferentiated_conv2d(settled(input), weight, stride, padding, dilation, groups)
    out = _normalized(convolved, norm, rectify and shortcut is None)
    if shortcut is not None:
        if shortcut.shape != out.shape or shortcut.dtype != out.dtype:
            total: Array | DeferredArray = add(out, shortcut)
            return settled(relu(total)) if rectify else total
        out = out.plus(shortcut, rectified=rectify)
    if rectify:
        out.compute()
    return out


def conv2d_batch_norm_max_pool2d(
    input: Array | DeferredArray,
    weight: Array,
    stride: IntPair,
    padding: IntPair,
    dilation: IntPair,
    groups: int,
    norm: RunningBatchNorm,
    windows: PoolingWindows,
) -> Array:
    """max_pool2d(relu(batch_norm(conv2d(input, weight)))); arguments and errors are those of the separate operations.

    So are the values with exact kernels. Fast ones may pool first: the order of values survives batch norm, whose
    negative factors change their sign for that together with their filters, and ReLU. Products are the same, but BLAS
    may sum up some of them in another order. As with a convolution by Winograd's method, values that aren't finite may
    come out as others.
    """
    options = stride, padding, dilation, groups
    if get_kernels() == "fast":
        images = settled(input)
        if (norm.weight < 0).any():
            signs = np.copysign(norm.weight.dtype.type(1), norm.weight)
            weight = weight * signs[:, None, None, None]
            norm = norm._replace(mean=norm.mean * signs, weight=norm.weight * signs)
        pooled = conv2d_max_pool2d(images, weight, *options, windows)
        if pooled is not None:
            return _normalized(pooled, norm, True).array()
    rectified = conv2d_batch_norm(input, weight, *options, norm, rectify=True)
    return max_pool2d_values(ChannelExpression.of(rectified), *windows)


def _normalized(values: DeferredArray, norm: RunningBatchNorm, rectify: bool) -> ChannelExpression:
    variance = np.add(norm.variance, norm.eps, dtype=np.float64)
    deviation = np.sqrt(variance, out=variance)
    return normalization.batch_norm(values, norm.mean, deviation, norm.weight, norm.bias, rectified=rectify)
