"""Batch normalisation over (N, C, H, W): statistics per channel, the affine map, and its gradients.

Everything works on rows of channels, in blocks that stay in the cache and are shared among the threads. Sums over
a block's rows are totalled in float64, in the order of the blocks, and vectors of channels are kept and combined in
it: float32 results are rounded only where whole images are written.
"""

from __future__ import annotations

import math
from typing import Any

import numpy as np

from gradcli.deferred import DeferredArray
from gradcli.kernels import memory
from gradcli.kernels.channel_expression import SPREAD_FROM, ChannelExpression, Term, precision_of
from gradcli.kernels.column_sums import FOLD, column_sums
from gradcli.kernels.layout import Array, as_nhwc, as_rows
from gradcli.kernels.threads import parallel

BLOCK_ELEMENTS = 1 << 18  # elements handled at a time, as in channel_expression.py
LINE_ELEMENTS = 1 << 11  # over which vectors of channels are repeated
LARGE_MEAN = 64.0  # in standard deviations: from there on, rounding in the sums for a mean is worth a correction


def channel_moments(x: Array) -> tuple[Array, Array]:
    """Mean and biased variance of each channel of `x` (N, C, H, W), two float64 arrays (C,).

    Without any pixel both are NaN.
    """
    rows = as_rows(x)
    count, channels = rows.shape
    moments = ChannelMoments(channels)
    if rows.size < SPREAD_FROM:
        if count:
            moments.add(0, rows)
    else:
        step = -(-count // (-(-rows.size // BLOCK_ELEMENTS) * FOLD)) * FOLD  # blocks about as large
        parallel(
            lambda number: moments.add(number * step, rows[number * step : (number + 1) * step]), -(-count // step)
        )
    return moments.result()


class ChannelMoments:
    """Mean and variance of each channel of rows (P, C) that come block by block, each read once.

    Each block's squares are taken about its own mean, so that large means cost no digits, and moved to the mean of all
    in the end (Chan, Golub and LeVeque, 1983, "Algorithms for computing the sample variance"). A constant has exactly
    itself for a mean, and no variance. The result depends on where the blocks are cut, not on their order or on who
    adds them.
    """

    def __init__(self, channels: int) -> None:
        self._channels = channels
        # By the number of a block's first pixel: its pixels, their mean and variance (C,).
        self._blocks: dict[int, tuple[int, Array, Array]] = {}

    def add(self, first_pixel: int, rows: Array) -> None:
        """Take in C-contiguous rows of channels (P, C), P at least 1, the first of which is pixel `first_pixel`.

        May be called by several threads at once.
        """
        count = len(rows)
        mean = column_sums(rows)
        mean /= count
        center = mean.astype(precision_of(rows.dtype))
        squares = _centred(rows, center)
        np.multiply(squares, squares, out=squares)
        variance = column_sums(squares)
        variance /= count
        distance = mean - center  # what rounding the mean leaves
        if count >= FOLD and (mean * mean > LARGE_MEAN**2 * variance).any():
            distance = column_sums(_centred(rows, center))
            distance /= count
            mean = center + distance
        distance *= distance
        variance -= distance
        self._blocks[first_pixel] = count, mean, variance

    def result(self) -> tuple[Array, Array]:
        """Mean and biased variance of all rows, two float64 arrays (C,); NaN without any."""
        if len(self._blocks) == 1:
            ((_, mean, variance),) = self._blocks.values()
        elif self._blocks:
            mean, variance = self._combined()
        else:
            return np.full(self._channels, np.nan), np.full(self._channels, np.nan)
        return mean, np.maximum(variance, 0.0, out=variance)

    def _combined(self) -> tuple[Array, Array]:
        blocks = [self._blocks[first] for first in sorted(self._blocks)]
        moments = np.array([block[1:] for block in blocks])  # (B, 2, C)
        counts = np.array([block[0] for block in blocks], np.float64)
        shares = (counts / counts.sum()).reshape(-1, 1)  # (B, 1)
        means = moments[:, 0].copy()
        moments *= shares[:, :, None]
        mean, variance = np.add.reduce(moments)
        means -= mean
        means *= means
        means *= shares
        variance += np.add.reduce(means)
        return mean, variance


def batch_norm(
    x: Array | DeferredArray,
    mean: Array,
    deviation: Array,
    weight: Array | None,
    bias: Array | None,
    *,
    rectified: bool = False,
) -> ChannelExpression:
    """`(x - mean) / deviation * weight + bias` per channel, for `x` (N, C, H, W) and vectors (C,), when needed.

    ReLU of it if `rectified`. `deviation`, sqrt(variance + eps), is float64. The result has the dtype of `x` and
    channels-last memory.
    """
    images = x if isinstance(x, DeferredArray) else as_nhwc(x)
    term, rest = _affine(images, mean, _scale(deviation, weight), bias, precision_of(x.dtype))
    return ChannelExpression(x.dtype, (term,), rest, rectified=rectified)


def batch_norm_gradients(
    grad: Array | DeferredArray,
    x: Array,
    mean: Array,
    deviation: Array,
    weight: Array | None,
    training: bool,
    needs: tuple[bool, bool, bool] = (True, True, True),
) -> tuple[ChannelExpression | None, Array | None, Array | None]:
    """Gradients of `batch_norm` with respect to input, weight and bias, those that `needs` asks for.

    `grad` and `x` are (N, C, H, W), the vectors (C,). With `training`, `mean` and `deviation` are the
    batch's own statistics and the input's gradient flows through them; otherwise they are constants.
    The input's gradient is computed when needed; what isn't asked for is None. All have the dtype of `x`, only those of
    vectors are float32 for float16, whose sums over images soon exceed its range.
    """
    needs_input, needs_weight, needs_bias = needs
    expression = ChannelExpression.of(grad)
    through_statistics = needs_input and training
    precision = precision_of(x.dtype)
    scale = _scale(deviation, weight) if needs_input else None
    grad_input = grad_weight = grad_bias = None
    if through_statistics or needs_weight or needs_bias:
        images = as_nhwc(x)
        grad_sum, projection = _gradient_sums(expression, images.reshape(-1, x.shape[1]), mean.astype(precision))
        projection /= deviation  # the sums of grad * xhat, where xhat = (x - mean) / deviation
        grad_weight = projection.astype(precision) if needs_weight else None
        grad_bias = grad_sum.astype(precision) if needs_bias else None
    if scale is not None:
        scaled = Term(expression.images(), scale.astype(precision))
        if through_statistics:
            # scale * (grad - mean(grad) - xhat * mean(grad * xhat)): a factor of grad, and one of x - mean.
            share = scale / -max(1, images.size // max(1, len(mean)))
            projection /= deviation
            projection *= share
            grad_sum *= share
            term, rest = _affine(images, mean, projection, grad_sum, precision)
            grad_input = ChannelExpression(x.dtype, (scaled, term), rest)
        else:
            grad_input = ChannelExpression(x.dtype, (scaled,))
    return grad_input, grad_weight, grad_bias


def _gradient_sums(expression: ChannelExpression, rows: Array, center: Array) -> tuple[Array, Array]:
    """The sums over pixels of `grad` and of `grad * (x - center)` for each channel, float64.

    They are formed while `grad` is computed, each block while it is in the cache.
    """
    blocks: dict[int, tuple[Array, Array]] = {}  # by the number of the first pixel

    def add_up(first: int, grad_rows: Array) -> None:
        products = _centred(rows[first : first + len(grad_rows)], center)
        np.multiply(products, grad_rows, out=products)
        blocks[first] = column_sums(grad_rows), column_sums(products)

    expression.compute(add_up)
    if not blocks:
        return np.zeros(len(center)), np.zeros(len(center))
    first, *others = sorted(blocks)
    grad_sum, projection = blocks[first]
    for number in others:
        grad_sum += blocks[number][0]
        projection += blocks[number][1]
    return grad_sum, projection


def _centred(rows: Array, center: Array) -> Array:
    """`rows` (P, C) less `center` (C,), in this thread's working memory and the dtype of `center`."""
    out = memory.scratch("normalization.centred", rows.shape, center.dtype)
    count, channels = rows.shape
    pixels = math.gcd(count, max(1, LINE_ELEMENTS // max(1, channels))) if rows.size >= SPREAD_FROM else 1
    if pixels == 1:
        return np.subtract(rows, center, out=out)
    line = np.empty((pixels, channels), center.dtype)  # longer inner loops than over the channels of one pixel
    line[...] = center
    lines = (-1, pixels, channels)
    np.subtract(rows.reshape(lines), line, out=out.reshape(lines))
    return out


def _affine(
    images: Array | DeferredArray, mean: Array, factors: Array, shift: Array | None, precision: np.dtype[Any]
) -> tuple[Term, Array | None]:
    """A term, and what is to be added to it, that make up `(images - mean) * factors + shift` for vectors (C,).

    It is computed as (images - center) * factors, which takes two steps and not three and rounds the largest values,
    where images have a large mean, but once. Only channels whose factor is (next to) zero need a constant.
    """
    if shift is None:
        return Term(images, factors.astype(precision), mean.astype(precision)), None
    center = (mean - shift / factors).astype(precision)
    rest = None
    if not math.isfinite(center.dot(center)):  # a single call; some center is infinite, NaN or very large
        useless = ~np.isfinite(center)
        center[useless] = 0
        rest = np.where(useless, shift - mean * factors, 0.0).astype(precision)
    return Term(images, factors.astype(precision), center), rest


def _scale(deviation: Array, weight: Array | None) -> Array:
    """`weight / deviation`; float64, as `deviation` is."""
    return 1 / deviation if weight is None else weight / deviation
