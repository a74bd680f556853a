"""Matrix products whose long sums are added in runs, for the sake of float32 accuracy."""

from __future__ import annotations

from itertools import pairwise

import numpy as np

from gradcli.kernels.layout import Array

LONGEST_RUN = 144  # products that are added up one after the other
SHORT_RUN = 64  # the same for results of few elements, where adding runs takes next to no time
FEW_ELEMENTS = 1 << 13
MANY_ELEMENTS = 1 << 18  # such results leave the cache between runs
DEEPEST_SUM = 1152  # BLAS itself cuts deeper sums, and here they would take many runs


def matmul(left: Array, right: Array, out: Array | None = None) -> Array:
    """`left` (..., P, K) times `right` (..., K, M): (..., P, M), written to `out` if given.

    BLAS adds the products of an entry one after the other, and in float32 the rounding errors of such a
    sum grow with its length. Here it is cut into equal runs, which takes up to half of the error away for
    some percent of the time. Where that would take longer, for many elements or deep sums, it is one
    plain product.
    """
    elements, depth = left.shape[-2] * right.shape[-1], right.shape[-2]
    runs = -(-depth // (SHORT_RUN if elements <= FEW_ELEMENTS else LONGEST_RUN))
    if runs < 2 or elements > MANY_ELEMENTS or depth > DEEPEST_SUM:
        return np.matmul(left, right, out=out)
    end = depth // runs
    total = np.matmul(left[..., :end], right[..., :end, :], out=out)
    product = np.empty_like(total)
    for first, last in pairwise(run * depth // runs for run in range(1, runs + 1)):
        np.matmul(left[..., first:last], right[..., first:last, :], out=product)
        total += product
    return total
