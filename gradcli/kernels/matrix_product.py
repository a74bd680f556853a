"""Matrix products: long sums are added in runs, for the sake of float32 accuracy, and large products are shared.

BLAS adds the products of an entry one after the other, and in float32 the rounding errors of such a sum grow with its
length. Cut into equal runs, it takes up to half of the error away for some percent of the time.
"""

from __future__ import annotations

from itertools import pairwise
from typing import Any

import numpy as np

from gradcli.kernels import memory
from gradcli.kernels.layout import Array
from gradcli.kernels.thin_products import rows_times_transpose
from gradcli.kernels.threads import parallel

LONGEST_RUN = 150  # products that are added up one after the other
SHORT_RUN = 64  # the same for results of few elements, where adding runs takes next to no time
FEW_ELEMENTS = 1 << 13
MANY_ELEMENTS = 1 << 18  # such results leave the cache between runs
DEEPEST_SUM = 1152  # BLAS itself cuts deeper sums, and here they would take many runs
PIECE_WORK = 4 << 20  # multiplications, some 100 us: the least that makes up for handing over and narrower products
LITTLE_WORK = 1 << 15  # multiplications that no BLAS shares among threads
NARROWEST_PIECE = 128  # rows or columns: BLAS loses too much on fewer
FEW_ROWS = 32  # of the left matrix: up to as many, the right one is read where it lies


def matmul_in_runs(left: Array, right: Array, out: Array | None, runs: int) -> Array:
    """`left` (..., P, K) times `right` (..., K, M), its sums cut into `runs`: (..., P, M), in `out` if given.

    By the calling thread alone.
    """
    if runs < 2:
        return np.matmul(left, right, out=out)
    depth = right.shape[-2]
    if depth % runs == 0:
        # (..., P, K) -> (..., R, P, K/R) and (..., K, M) -> (..., R, K/R, M)
        lefts = left.reshape(*left.shape[:-1], runs, depth // runs).swapaxes(-3, -2)
        rights = right.reshape(*right.shape[:-2], runs, depth // runs, right.shape[-1])
        products = memory.scratch("matrix_product.products", (*lefts.shape[:-1], rights.shape[-1]), left.dtype)
        return np.add.reduce(np.matmul(lefts, rights, out=products), axis=-3, out=out)
    end = depth // runs
    total: Array = np.matmul(left[..., :end], right[..., :end, :], out=out)
    product = memory.scratch("matrix_product.product", total.shape, total.dtype)
    for first, last in pairwise(run * depth // runs for run in range(1, runs + 1)):
        np.matmul(left[..., first:last], right[..., first:last, :], out=product)
        np.add(total, product, out=total)
    return total


def _runs(rows: int, depth: int, columns: int) -> int:
    """The number of runs that the sums of a product are cut into.

    One where more would take longer, for many elements or deep sums, and also with a vector, whose sums BLAS cuts
    itself or adds up as fast as memory is read.
    """
    elements = rows * columns
    if elements > MANY_ELEMENTS or depth > DEEPEST_SUM or 1 in (rows, columns):
        return 1
    return -(-depth // (SHORT_RUN if elements <= FEW_ELEMENTS else LONGEST_RUN))


def shared_matmul(left: Array, right: Array) -> Array:
    """The product of two matrices, or of as many in each of two stacks (B, P, K) and (B, K, M), by all threads.

    Pieces are cut from the stack, or from the longer side of the result; where they are depends on the shapes only.
    """
    *stack, rows, depth = left.shape
    columns = right.shape[-1]
    out = memory.empty((*stack, rows, columns), left.dtype)
    if depth == 1:  # BLAS takes its time over these
        return np.multiply(left, right, out=out)
    # NumPy doesn't pass on vectors that repeat one number, such as the gradient of a sum: its own loop takes 20 times
    # as long.
    left = np.ascontiguousarray(left) if rows == 1 else left
    right = np.ascontiguousarray(right) if columns == 1 else right
    # Few rows are computed as columns: BLAS would first rearrange all of a matrix that is stored by columns.
    turned = rows < columns and abs(right.strides[-2]) < abs(right.strides[-1])
    runs = _runs(rows, depth, columns)
    if runs == 1 and not turned and out.size * depth <= LITTLE_WORK:
        return np.matmul(left, right, out=out)
    few = turned and depth > 0 and not stack and 1 < rows <= FEW_ROWS and left.dtype in (np.float32, np.float64)
    work = out.size * depth * (4 if few else 1) // PIECE_WORK  # reading the other matrix takes longer
    side = 0 if stack and stack[0] >= work else -2 if rows >= columns else -1
    length = out.shape[side]
    pieces = max(1, min(work, length if side == 0 else length // NARROWEST_PIECE))

    def multiply(piece: int) -> None:
        part = slice(length * piece // pieces, length * (piece + 1) // pieces)
        first = left[_part(side, part)] if side != -1 else left
        second = right[_part(side, part)] if side != -2 else right
        if few and side == -1:
            rows_times_transpose(first, second.T, out[:, part])
        elif turned:
            # (P, K) times (K, M) -> (M, K) times (K, P), turned back: (M, P) -> (P, M)
            product = matmul_in_runs(second.swapaxes(-2, -1), first.swapaxes(-2, -1), None, runs)
            out[_part(side, part)] = product.swapaxes(-2, -1)
        else:
            matmul_in_runs(first, second, out[_part(side, part)], runs)

    parallel(multiply, pieces)
    return out


def _part(side: int, part: slice) -> Any:
    """The index of a part along the stack (0), the rows (-2) or the columns (-1)."""
    return (part,) if side == 0 else (..., part, slice(None)) if side == -2 else (..., part)
