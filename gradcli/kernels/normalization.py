"""Batch normalisation over (N, C, H, W): statistics per channel, the affine map, and its gradients.

Everything works on rows of channels, in blocks that stay in the cache and are shared among the threads. Sums over
a block's rows are totalled in float64, in the order of the blocks, and vectors of channels are kept and combined in
it: float32 results are rounded only where whole images are written.
"""

from __future__ import annotations

from typing import Any

import numpy as np

from gradcli.kernels import memory
from gradcli.kernels.channel_expression import ChannelExpression, Term
from gradcli.kernels.layout import Array, as_nhwc, as_rows
from gradcli.kernels.threads import parallel

BLOCK_ELEMENTS = 1 << 16  # elements handled at a time: a few such buffers fit into the second-level cache
FOLD = 16  # rows of a block are added that many at a time in the images' precision, then in float64


def channel_moments(x: Array) -> tuple[Array, Array]:
    """Mean and biased variance of each channel of `x` (N, C, H, W), two float64 arrays (C,).

    Two passes: the variance is the mean square of the centred values, corrected for the rounding of the
    mean. Without any pixel both are NaN.
    """
    rows = as_rows(x)
    count, channels = rows.shape
    if count == 0:
        return np.full(channels, np.nan), np.full(channels, np.nan)
    mean = sum_rows(rows) / count
    center = mean.astype(x.dtype)
    sums = _BlockSums(rows.shape)

    def squares(number: int) -> None:
        block = rows[sums.block(number)]
        centred = memory.scratch("normalization centred", block.shape, x.dtype)
        np.subtract(block, center, out=centred)
        sums.store(number, np.multiply(centred, centred, out=centred))

    parallel(squares, sums.blocks)
    return mean, np.maximum(sums.total() / count - (mean - center) ** 2, 0.0)


def batch_norm(x: Array, mean: Array, invstd: Array, weight: Array | None, bias: Array | None) -> ChannelExpression:
    """`(x - mean) * invstd * weight + bias` per channel, for `x` (N, C, H, W) and vectors (C,); computed when needed.

    `invstd` is 1 / sqrt(variance + eps). The result has the dtype of `x` and channels-last memory.
    """
    scale = _scale(invstd, weight)
    factors, center = _rounded(x.dtype, scale, mean)
    # What rounding the mean leaves out comes back with the bias.
    (constant,) = _rounded(x.dtype, (center - mean) * scale + (0.0 if bias is None else bias))
    return ChannelExpression(x.dtype, [Term(as_nhwc(x), factors, center)], constant)


def batch_norm_gradients(
    grad: Array | ChannelExpression,
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
    The input's gradient is computed when needed; what isn't asked for is None.
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
    grad_weight = (projection * invstd).astype(x.dtype) if needs_weight else None
    grad_bias = grad_sum.astype(x.dtype) if needs_bias else None
    return grad_input, grad_weight, grad_bias


def _gradient_sums(expression: ChannelExpression, rows: Array, mean: Array) -> tuple[Array, Array]:
    """The sums over pixels of `grad` and of `grad * (x - mean)` for each channel, float64.

    They are formed while `grad` is computed, each block while it is in the cache.
    """
    center = mean.astype(rows.dtype)
    plain: dict[int, Array] = {}
    products: dict[int, Array] = {}

    def add_up(first: int, grad_rows: Array) -> None:
        plain[first] = _sum_block(grad_rows)
        centred = memory.scratch("normalization centred", grad_rows.shape, rows.dtype)
        np.subtract(rows[first : first + len(grad_rows)], center, out=centred)
        products[first] = _sum_block(np.multiply(centred, grad_rows, out=centred))

    expression.compute(add_up)
    zero = np.zeros(rows.shape[1], np.float64)
    return (
        sum((plain[first] for first in sorted(plain)), zero),
        sum((products[first] for first in sorted(products)), zero),
    )


def _scaled(expression: ChannelExpression, scale: Array) -> ChannelExpression:
    """Times a factor per channel."""
    (factors,) = _rounded(expression.dtype, scale)
    return ChannelExpression(expression.dtype, [Term(expression.images(), factors)])


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

    There xhat = (x - mean) * invstd, and `projection` holds the sums of grad * (x - mean). Multiplied
    out, the formula takes a factor of grad, a factor of x and a constant for each channel.
    """
    count = max(1, images.size // max(1, images.shape[3]))
    slope = projection / count * np.square(invstd, dtype=np.float64)
    (center,) = _rounded(images.dtype, mean)
    constant = scale * (slope * (mean - center) - grad_sum / count)
    grad_factors, factors, constants = _rounded(images.dtype, scale, -scale * slope, constant)
    terms = [Term(expression.images(), grad_factors), Term(images, factors, center)]
    return ChannelExpression(images.dtype, terms, constants)


def _scale(invstd: Array, weight: Array | None) -> Array:
    """`invstd * weight` in float64."""
    return np.multiply(invstd, 1.0 if weight is None else weight, dtype=np.float64)


def _rounded(dtype: np.dtype[Any], *vectors: Array) -> tuple[Array, ...]:
    """Vectors in the precision in which images of `dtype` are computed: `dtype`, but float32 for float16."""
    return tuple(vector.astype(np.result_type(dtype, np.float32)) for vector in vectors)


def sum_rows(rows: Array) -> Array:
    """Sums of the columns of a C-contiguous (R, C) array; float64 (C,)."""
    sums = _BlockSums(rows.shape)
    parallel(lambda number: sums.store(number, rows[sums.block(number)]), sums.blocks)
    return sums.total()


class _BlockSums:
    """Column sums of (R, C) rows: cuts them into blocks, keeps each block's sums, adds these up in order."""

    def __init__(self, shape: tuple[int, ...]) -> None:
        count, channels = shape
        self._step = max(1, BLOCK_ELEMENTS // (FOLD * max(1, channels))) * FOLD
        self.blocks = -(-count // self._step)
        self._sums = np.zeros((self.blocks, channels), np.float64)

    def block(self, number: int) -> slice:
        return slice(number * self._step, (number + 1) * self._step)

    def store(self, number: int, rows: Array) -> None:
        self._sums[number] = _sum_block(rows)

    def total(self) -> Array:
        total: Array = self._sums.sum(axis=0)
        return total


def _sum_block(rows: Array) -> Array:
    """Column sums of a block of rows, float64. Folding gives long inner loops, whatever the number of channels."""
    count, channels = rows.shape
    folded = count // FOLD
    if folded == 0:
        few: Array = np.add.reduce(rows, axis=0, dtype=np.float64)
        return few
    short = np.add.reduce(rows[: folded * FOLD].reshape(FOLD, folded * channels))  # (FOLD * R', C) -> (R' * C)
    total: Array = np.add.reduce(short.reshape(folded, channels), axis=0, dtype=np.float64)
    if count > folded * FOLD:
        total += np.add.reduce(rows[folded * FOLD :], axis=0, dtype=np.float64)
    return total
