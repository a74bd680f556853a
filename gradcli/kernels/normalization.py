"""Batch normalisation over (N, C, H, W): statistics per channel, the affine map, and its gradients.

Everything works on rows of channels, in blocks that stay in the cache. Sums over rows are added in
float64 and vectors of channels are kept and combined in it, which costs nothing: float32 results are
rounded only where whole images are written.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import numpy as np

from gradcli.kernels.layout import Array, as_rows, empty_channels_last, from_rows

BLOCK_ELEMENTS = 1 << 16  # elements handled at a time: a few such buffers fit into the second-level cache
FOLD = 32  # rows of a block are added that many at a time, all columns of all folds side by side


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
    squares = np.zeros(channels, np.float64)
    for block in _row_blocks(rows.shape):
        centred = rows[block] - center
        squares += sum_rows(np.multiply(centred, centred, out=centred))
    return mean, np.maximum(squares / count - (mean - center) ** 2, 0.0)


def batch_norm(x: Array, mean: Array, invstd: Array, weight: Array | None, bias: Array | None) -> Array:
    """`(x - mean) * invstd * weight + bias` per channel, for `x` (N, C, H, W) and vectors (C,).

    `invstd` is 1 / sqrt(variance + eps). Returns an array like `x` over channels-last memory.
    """
    rows = as_rows(x)
    out = empty_channels_last(x.shape, x.dtype)
    out_rows = as_rows(out)
    scale = _scale(invstd, weight)
    center = mean.astype(x.dtype)
    # What rounding the mean leaves out comes back with the bias.
    shift = (center - mean) * scale + (0.0 if bias is None else bias)
    factors, terms = _rounded(x.dtype, scale, shift)
    for block in _row_blocks(rows.shape):
        target = out_rows[block]
        np.subtract(rows[block], center, out=target)
        target *= factors
        target += terms
    return out


def batch_norm_gradients(
    grad: Array,
    x: Array,
    mean: Array,
    invstd: Array,
    weight: Array | None,
    training: bool,
    needs: tuple[bool, bool, bool] = (True, True, True),
) -> tuple[Array | None, Array | None, Array | None]:
    """Gradients of `batch_norm` with respect to input, weight and bias, those that `needs` asks for.

    `grad` and `x` are (N, C, H, W), the vectors (C,). With `training`, `mean` and `invstd` are the
    batch's own statistics and the input's gradient flows through them; otherwise they are constants.
    The input's gradient has channels-last memory; what isn't needed is None.
    """
    needs_input, needs_weight, needs_bias = needs
    grad_rows, rows = as_rows(grad), as_rows(x)
    through_statistics = needs_input and training
    grad_sum = sum_rows(grad_rows) if needs_bias or through_statistics else None
    projection = _centred_projection(grad_rows, rows, mean) if needs_weight or through_statistics else None

    grad_input = None
    if needs_input:
        scale = _scale(invstd, weight)
        out_rows = np.empty_like(grad_rows)
        if not training:
            (factors,) = _rounded(x.dtype, scale)
            np.multiply(grad_rows, factors, out=out_rows)
        else:
            assert grad_sum is not None
            assert projection is not None
            _statistics_gradient(grad_rows, rows, mean, invstd, scale, grad_sum, projection, out_rows)
        grad_input = from_rows(out_rows, x.shape)
    grad_weight = (projection * invstd).astype(x.dtype) if needs_weight and projection is not None else None
    grad_bias = grad_sum.astype(x.dtype) if needs_bias and grad_sum is not None else None
    return grad_input, grad_weight, grad_bias


def _centred_projection(grad_rows: Array, rows: Array, mean: Array) -> Array:
    """The sum over rows of `grad * (x - mean)` for each channel, float64."""
    total = np.zeros(rows.shape[1], np.float64)
    center = mean.astype(rows.dtype)
    for block in _row_blocks(rows.shape):
        centred = rows[block] - center
        centred *= grad_rows[block]
        total += sum_rows(centred)
    return total


def _statistics_gradient(
    grad_rows: Array,
    rows: Array,
    mean: Array,
    invstd: Array,
    scale: Array,
    grad_sum: Array,
    projection: Array,
    out_rows: Array,
) -> None:
    """Fills `out_rows` with scale * (grad - mean(grad) - xhat * mean(grad * xhat)).

    There xhat = (x - mean) * invstd, and `projection` holds the sums of grad * (x - mean). Multiplied
    out, the formula takes a factor of grad, a factor of the centred x and a term for each channel.
    """
    count = max(1, len(rows))
    slope = projection / count * np.square(invstd, dtype=np.float64)
    center = mean.astype(rows.dtype)
    constant = scale * (slope * (mean - center) - grad_sum / count)
    grad_factors, factors, terms = _rounded(rows.dtype, scale, -scale * slope, constant)
    for block in _row_blocks(rows.shape):
        target = out_rows[block]
        np.subtract(rows[block], center, out=target)
        target *= factors
        target += terms
        target += grad_rows[block] * grad_factors


def _scale(invstd: Array, weight: Array | None) -> Array:
    """`invstd * weight` in float64."""
    return np.multiply(invstd, 1.0 if weight is None else weight, dtype=np.float64)


def _rounded(dtype: np.dtype[Any], *vectors: Array) -> tuple[Array, ...]:
    """Vectors in the precision in which images of `dtype` are computed: `dtype`, but float32 for float16."""
    return tuple(vector.astype(np.result_type(dtype, np.float32)) for vector in vectors)


def sum_rows(rows: Array) -> Array:
    """Sums of the columns of a C-contiguous (R, C) array, added in float64; float64 (C,)."""
    channels = rows.shape[1]
    total = np.zeros(channels, np.float64)
    for block in _row_blocks(rows.shape):
        terms = rows[block].astype(np.float64, copy=False)
        folded = len(terms) // FOLD
        # Folding gives long inner loops, whatever the number of channels.
        partial = terms[: folded * FOLD].reshape(FOLD, folded * channels).sum(axis=0)
        total += partial.reshape(folded, channels).sum(axis=0)
        total += terms[folded * FOLD :].sum(axis=0)
    return total


def _row_blocks(shape: tuple[int, ...]) -> Iterator[slice]:
    """Cuts (R, C) rows into blocks of about BLOCK_ELEMENTS elements, all but the last of whole folds."""
    count, channels = shape
    step = max(1, BLOCK_ELEMENTS // (FOLD * max(1, channels))) * FOLD
    for first in range(0, count, step):
        yield slice(first, first + step)
