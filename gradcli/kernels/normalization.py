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
from gradcli.kernels.channel_expression import SPREAD_FROM, ChannelExpression, Term
from gradcli.kernels.column_sums import FOLD, column_sums
from gradcli.kernels.layout import Array, as_nhwc, as_rows
from gradcli.kernels.threads import parallel

BLOCK_ELEMENTS = 1 << 18  # elements handled at a time, as in channel_expression.py
LINE_ELEMENTS = 1 << 11  # over which vectors of channels are repeated


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
    in the end (Chan, Golub and LeVeque, 1983, "Algorithms for computing the sample variance"). The result depends on
    where the blocks are cut, not on their order or on who adds them.
    """

    def __init__(self, channels: int) -> None:
        self._channels = channels
        # By the number of a block's first pixel: pixels, sums, and the sums of squares about a center.
        self._blocks: dict[int, tuple[int, Array, Array, Array]] = {}

    def add(self, first_pixel: int, rows: Array) -> None:
        """Take in C-contiguous rows of channels (P, C), P at least 1, the first of which is pixel `first_pixel`.

        May be called by several threads at once.
        """
        count = len(rows)
        sums = column_sums(rows)
        center = (sums / count).astype(_precision(rows.dtype))
        squares = _centred(rows, center)
        np.multiply(squares, squares, out=squares)
        self._blocks[first_pixel] = count, sums, center, column_sums(squares)

    def result(self) -> tuple[Array, Array]:
        """Mean and biased variance of all rows, two float64 arrays (C,); NaN without any."""
        blocks = [self._blocks[first] for first in sorted(self._blocks)]
        if len(blocks) == 1:
            count, sums, center, squares = blocks[0]
            mean = sums / count
            distance = center - mean
            return mean, np.maximum(squares / count - distance * distance, 0.0)
        if not blocks:
            return np.full(self._channels, np.nan), np.full(self._channels, np.nan)
        counts = np.array([[block[0]] for block in blocks], np.float64)  # (B, 1), all others (B, C)
        sums, centers, squares = (np.array([block[i] for block in blocks], np.float64) for i in (1, 2, 3))
        total = counts.sum()
        mean = sums.sum(axis=0) / total
        distances = centers - mean
        # The sum of (x - mean)^2 is that of ((x - center) + distance)^2.
        squares += distances * (2 * (sums - counts * centers) + counts * distances)
        return mean, np.maximum(squares.sum(axis=0) / total, 0.0)


def batch_norm(
    x: Array | DeferredArray, mean: Array, invstd: Array, weight: Array | None, bias: Array | None
) -> ChannelExpression:
    """`(x - mean) * invstd * weight + bias` per channel, for `x` (N, C, H, W) and vectors (C,); computed when needed.

    `invstd` is 1 / sqrt(variance + eps). The result has the dtype of `x` and channels-last memory.
    """
    scale = _scale(invstd, weight)
    constant = mean * -scale
    if bias is not None:
        constant += bias
    images = x if isinstance(x, DeferredArray) else as_nhwc(x)
    term, rest = _affine(images, scale, constant, _precision(x.dtype))
    return ChannelExpression(x.dtype, (term,), rest)


def batch_norm_gradients(
    grad: Array | DeferredArray,
    x: Array,
    mean: Array,
    invstd: Array,
    weight: Array | None,
    training: bool,
    needs: tuple[bool, bool, bool] = (True, True, True),
) -> tuple[ChannelExpression | None, Array | None, Array | None]:
    """Gradients of `batch_norm` with respect to input, weight and bias, those that `needs` asks for.

    `grad` and `x` are (N, C, H, W), the vectors (C,). With `training`, `mean` and `invstd` are the
    batch's own statistics and the input's gradient flows through them; otherwise they are constants.
    The input's gradient is computed when needed; what isn't asked for is None. All have the dtype of `x`, only those of
    vectors are float32 for float16, whose sums over images soon exceed its range.
    """
    needs_input, needs_weight, needs_bias = needs
    expression = ChannelExpression.of(grad)
    through_statistics = needs_input and training
    scale = _scale(invstd, weight)
    if not (through_statistics or needs_weight or needs_bias):
        return (_scaled(expression, scale) if needs_input else None), None, None

    images = as_nhwc(x)
    grad_sum, projection = _gradient_sums(expression, images.reshape(-1, x.shape[1]), mean)
    grad_input = None
    if through_statistics:
        grad_input = _statistics_gradient(expression, images, mean, invstd, scale, grad_sum, projection)
    elif needs_input:
        grad_input = _scaled(expression, scale)
    grad_weight = (projection * invstd).astype(_precision(x.dtype)) if needs_weight else None
    grad_bias = grad_sum.astype(_precision(x.dtype)) if needs_bias else None
    return grad_input, grad_weight, grad_bias


def _gradient_sums(expression: ChannelExpression, rows: Array, mean: Array) -> tuple[Array, Array]:
    """The sums over pixels of `grad` and of `grad * (x - mean)` for each channel, float64.

    They are formed while `grad` is computed, each block while it is in the cache.
    """
    center = mean.astype(_precision(rows.dtype))
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


def _scaled(expression: ChannelExpression, scale: Array) -> ChannelExpression:
    """Times a factor per channel."""
    term = Term(expression.images(), scale.astype(_precision(expression.dtype)))
    return ChannelExpression(expression.dtype, (term,))


def _statistics_gradient(
    expression: ChannelExpression,
    images: Array,
    mean: Array,
    invstd: Array,
    scale: Array,
    grad_sum: Array,
    projection: Array,
) -> ChannelExpression:
    """scale * (grad - mean(grad) - xhat * mean(grad * xhat)) for x given as `images` (N, H, W, C).

    There xhat = (x - mean) * invstd, and `projection` holds the sums of grad * (x - mean). Multiplied out, the formula
    takes a factor of grad, which is `scale`, a factor of x and a constant for each channel.
    """
    share = scale / -max(1, images.size // max(1, images.shape[3]))
    factors = share * projection
    factors *= invstd
    factors *= invstd
    term, rest = _affine(images, factors, share * grad_sum - factors * mean, _precision(images.dtype))
    return ChannelExpression(images.dtype, (*_scaled(expression, scale).terms, term), rest)


def _affine(
    images: Array | DeferredArray, factors: Array, constant: Array, precision: np.dtype[Any]
) -> tuple[Term, Array | None]:
    """A term, and what is to be added to it, that make up `images * factors + constant` for float64 vectors (C,).

    It is computed as (images - center) * factors, which takes two steps and not three and rounds the largest values,
    where images have a large mean, but once. Only channels whose factor is (next to) zero need their constant.
    """
    center = (constant / -factors).astype(precision)
    rest = None
    if not np.isfinite(center).all():
        useless = ~np.isfinite(center)
        center[useless] = 0
        rest = np.where(useless, constant, 0.0).astype(precision)
    return Term(images, factors.astype(precision), center), rest


def _scale(invstd: Array, weight: Array | None) -> Array:
    """`invstd * weight`; float64, as `invstd` is."""
    return invstd if weight is None else np.multiply(invstd, weight)


def _precision(dtype: np.dtype[Any]) -> np.dtype[Any]:
    """In which images of `dtype` are computed: `dtype` itself, but float32 for float16."""
    return np.dtype(np.float32) if dtype == np.float16 else dtype
