"""Sums of the columns of a matrix, such as the sums over all pixels of each channel."""

from __future__ import annotations

import numpy as np

from gradcli.kernels.layout import Array

FOLD = 16  # rows are added that many at a time in the matrix's precision (float32 for float16), then in float64


def column_sums(rows: Array) -> Array:
    """Sums of the columns of a C-contiguous (R, C) array; float64 (C,). Long inner loops, however few columns."""
    count, channels = rows.shape
    if rows.dtype == np.float16:
        rows = rows.astype(np.float32)
    folded = count // FOLD
    if folded == 0:
        few: Array = np.add.reduce(rows, axis=0, dtype=np.float64)
        return few
    short = np.add.reduce(rows[: folded * FOLD].reshape(FOLD, folded * channels))  # (FOLD * R', C) -> (R' * C)
    total: Array = np.add.reduce(short.reshape(folded, channels), axis=0, dtype=np.float64)
    if count > folded * FOLD:
        total += np.add.reduce(rows[folded * FOLD :], axis=0, dtype=np.float64)
    return total
