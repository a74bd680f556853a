"""A convolution, its batch norm and what follows in one call on arrays, for passes that nobody differentiates."""

from __future__ import annotations

from typing import NamedTuple

import numpy as np

from gradcli.autograd.dtypes import Array
from gradcli.deferred import DeferredArray, settled
from gradcli.kernels import convolution, normalization
from gradcli.ops.activation import relu
from gradcli.ops.arithmetic import add
from gradcli.ops.dims import IntPair


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
    `norm`. Values and errors are those of the separate operations, bit for bit; no graph is recorded. Without ReLU the
    result is put off, as one that a shortcut adds up with: it may be used only where `may_put_off` says so.
    """
    convolved = convolution.conv2d(settled(input), weight, stride, padding, dilation, groups)
    variance = np.add(norm.variance, norm.eps, dtype=np.float64)
    deviation = np.sqrt(variance, out=variance)
    out = normalization.batch_norm(
        convolved, norm.mean, deviation, norm.weight, norm.bias, rectified=rectify and shortcut is None
    )
    if shortcut is not None:
        if shortcut.shape != out.shape or shortcut.dtype != out.dtype:
            total: Array | DeferredArray = add(out, shortcut)
            return settled(relu(total)) if rectify else total
        out = out.plus(shortcut, rectified=rectify)
    if rectify:
        out.compute()
    return out
