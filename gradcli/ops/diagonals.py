"""Diagonals of matrices, and the triangles below and above them."""

from __future__ import annotations

import operator

import numpy as np

from gradcli.autograd.dtypes import Array
from gradcli.autograd.operation import op
from gradcli.ops.dims import canonical_dim

__all__ = [
    "diagonal",
    "tril",
    "triu",
]


@op("DiagonalBackward0", method=True, view=True)
def diagonal(input: Array, offset: int = 0, dim1: int = 0, dim2: int = 1) -> Array:
    """The diagonal of the matrices in dims dim1 and dim2, as a new last dim; `offset` is how far it lies to the right.

    A view of the input.
    """
    first, second = canonical_dim(dim1, input.ndim), canonical_dim(dim2, input.ndim)
    if first == second:
        raise RuntimeError(f"diagonal dimensions cannot be identical {dim1}, {dim2}")
    result = np.diagonal(input, offset, first, second)
    result.flags.writeable = input.flags.writeable  # NumPy hands out a view that can't be written through
    return result


@op("DiagonalBackwardBackward0")
def diagonal_backward(values: Array, shape: tuple[int, ...], offset: int, dim1: int, dim2: int) -> Array:
    """Zeros of `shape` with `values` on the diagonal: the adjoint of `diagonal`."""
    result = np.zeros(shape, values.dtype)
    target = np.diagonal(result, offset, canonical_dim(dim1, len(shape)), canonical_dim(dim2, len(shape)))
    target.flags.writeable = True
    target[...] = values
    return result


diagonal.gradient(
    input=lambda grad, input_shape, offset, dim1, dim2: diagonal_backward(grad, input_shape, offset, dim1, dim2)
)
diagonal_backward.gradient(values=lambda grad, offset, dim1, dim2: diagonal(grad, offset, dim1, dim2))


@op("TrilBackward0", method=True, in_place=True)
def tril(input: Array, diagonal: int = 0) -> Array:
    """The lower triangle of matrices, zeros above it; `diagonal` is how far it reaches beyond the main diagonal."""
    _require_matrices("tril", input)
    return np.tril(input, operator.index(diagonal))


@op("TriuBackward0", method=True, in_place=True)
def triu(input: Array, diagonal: int = 0) -> Array:
    """The upper triangle of matrices, zeros below it; `diagonal` is how many diagonals above the main it begins."""
    _require_matrices("triu", input)
    return np.triu(input, operator.index(diagonal))


tril.gradient(input=lambda grad, diagonal: tril(grad, diagonal))
triu.gradient(input=lambda grad, diagonal: triu(grad, diagonal))


def _require_matrices(operation: str, input: Array) -> None:
    if input.ndim < 2:
        raise RuntimeError(f"{operation}: input tensor must have at least 2 dimensions")
