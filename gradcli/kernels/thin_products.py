"""Products of a large matrix with a few rows: what a convolution of few pixels comes down to.

Such a product reads, or writes, the large matrix once and does little with each element, so the memory sets its pace.
A general product first copies its operands into an order of its own, which costs more here than the multiplications.
OpenBLAS leaves that copy out for products of fewer than a million multiplications. So the large matrix is cut into
blocks that small, and one call of `np.matmul` on a stack of blocks runs through them all.

The functions here compute one thread's piece; their operands have one dtype and contiguous rows.
"""

from __future__ import annotations

import functools
from collections.abc import Sequence

import numpy as np

from gradcli.kernels.layout import Array
from gradcli.kernels.memory import scratch
from gradcli.kernels.slices import slices

SMALL_PRODUCT = 1_000_000  # multiplications below which OpenBLAS multiplies without copying first
MOST_RESULTS = 1200  # numbers that such a product may have, where rows are multiplied with rows
BLOCK_ROWS = 8  # more rows of thousands of elements, read side by side, get in each other's way in the first cache
MOST_BLOCK_ROWS = 128  # the same where only some hundred columns are read of each row
WIDE_BLOCK_ROWS = 16  # the same for a product with WIDE_FROM rows or more, where memory no longer sets the pace
WIDE_FROM = 32
BLOCK_DEPTH = 576  # longest sum within a block, which also keeps rounding errors short
EVERYTHING = slice(None)
FEW = 16  # with more rows than this the general product is as fast


def rows_times_transpose(few: Array, matrix: Array, out: Array, live: Sequence[slice] = (EVERYTHING,)) -> None:
    """`out` (P, M) = `few` (P, K) times the transpose of `matrix` (M, K), which is read once, row after row.

    `live` are the rows of `few` that aren't all zeros, for each of some equally long parts of their depth K.
    """
    count, depth = few.shape
    part = divisor_below(depth // len(live), BLOCK_DEPTH)
    block = WIDE_BLOCK_ROWS if WIDE_FROM <= count <= MOST_RESULTS // WIDE_BLOCK_ROWS else BLOCK_ROWS
    rows = len(matrix) - len(matrix) % block
    if count * block > MOST_RESULTS or count * block * part >= SMALL_PRODUCT:
        rows = 0
    if rows:
        # (P, K) -> (K/k, P, k) and (M, K) -> (M/m, K/k, k, m)
        pieces = few.reshape(count, depth // part, part).transpose(1, 0, 2)
        blocks = matrix[:rows].reshape(rows // block, block, depth // part, part).transpose(0, 2, 3, 1)
        sums = scratch("thin_products.sums", (*blocks.shape[:2], count, block), out.dtype)
        for some, alive in zip(slices(depth // part, len(live)), live, strict=True):
            if alive != EVERYTHING:
                sums[:, some, : alive.start] = 0
                sums[:, some, alive.stop :] = 0
            np.matmul(pieces[some, alive], blocks[:, some], out=sums[:, some, alive])
        # (M/m, K/k, P, m) -> (M/m, P, m)
        target = out[:, :rows].reshape(count, rows // block, block).transpose(1, 0, 2)
        np.add.reduce(sums, axis=1, out=target)
    if rows < len(matrix):
        # The general product is better off with the large matrix first: (K/k, M, P) = (K/k, M, k) times (K/k, k, P).
        columns = few.reshape(count, depth // part, part).transpose(1, 2, 0)  # (P, K) -> (K/k, k, P)
        parts = matrix[rows:].reshape(-1, depth // part, part).transpose(1, 0, 2)
        sums = scratch("thin_products.sums", (*parts.shape[:2], count), out.dtype)
        np.matmul(parts, columns, out=sums)
        total = np.add.reduce(sums, axis=0, out=sums[0]) if len(sums) > 1 else sums[0]
        np.copyto(out[:, rows:], total.T)  # (M, P) -> (P, M)


def rows_times_matrix(few: Array, matrix: Array, out: Array) -> None:
    """`out` (P, K) = `few` (P, M) times `matrix` (M, K), which may be some hundred columns of a wider one."""
    count, width = few.shape[0], matrix.shape[1]
    if not 1 < count <= FEW or width == 0:
        np.matmul(few, matrix, out=out)
        return
    block = min(MOST_BLOCK_ROWS, SMALL_PRODUCT // (count * width))
    rows = len(matrix) - len(matrix) % block if block >= BLOCK_ROWS else 0
    if rows == 0:
        np.matmul(few, matrix, out=out)
        return
    # (P, M) -> (M/m, P, m) and (M, K) -> (M/m, m, K)
    pieces = few[:, :rows].reshape(count, -1, block).transpose(1, 0, 2)
    sums = scratch("thin_products.sums", (rows // block, count, width), out.dtype)
    np.matmul(pieces, matrix[:rows].reshape(-1, block, width), out=sums)
    np.add.reduce(sums, axis=0, out=out)
    if rows < len(matrix):
        out += np.matmul(few[:, rows:], matrix[rows:])


def columns_times_rows(left: Array, few: Array, out: Array) -> None:
    """`out` (M, K) = `left` (M, P) times `few` (P, K): a large matrix of low rank, written once, row after row."""
    count, width = few.shape
    if count == 1:
        np.multiply(left, few, out=out)
        return
    rows = len(left) - len(left) % BLOCK_ROWS
    if count > FEW or count * BLOCK_ROWS * width >= SMALL_PRODUCT:
        rows = 0
    if rows:
        # (M, P) -> (M/8, 8, P) and (M, K) -> (M/8, 8, K)
        blocks = left[:rows].reshape(rows // BLOCK_ROWS, BLOCK_ROWS, count)
        np.matmul(blocks, few, out=out[:rows].reshape(rows // BLOCK_ROWS, BLOCK_ROWS, width))
    if rows < len(left):
        np.matmul(left[rows:], few, out=out[rows:])


@functools.lru_cache(maxsize=256)
def divisor_below(number: int, limit: int) -> int:
    """The largest divisor of `number` up to `limit`; `number` itself where that would be less than a quarter of it."""
    largest = next(divisor for divisor in range(max(1, min(number, limit)), 0, -1) if number % divisor == 0)
    return largest if 4 * largest >= limit else number
