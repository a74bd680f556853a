"""Decompositions of matrices."""

from __future__ import annotations

from typing import Any

import numpy as np

from gradcli.autograd.dtypes import Array
from gradcli.autograd.operation import op
from gradcli.ops.arguments import require_kind, values_of
from gradcli.ops.dim_order import transpose
from gradcli.ops.linalg import matmul
from gradcli.ops.shape import unsqueeze

__all__: list[str] = []


@op("LinalgSvdBackward0", multiple=True)
def svd(input: Array) -> tuple[Array, Array, Array]:
    """The singular value decomposition input = U diag(S) Vh of matrices (..., m, n), with k = min(m, n).

    U is (..., m, k), S (..., k) in falling order, Vh (..., k, n). U and Vh have gradients where no two singular
    values are alike; that of S is finite always.
    """
    require_kind("svd", input)
    working = np.float64 if input.dtype == np.float64 else np.float32  # LAPACK has no half precision
    try:
        factors = np.linalg.svd(input.astype(working, copy=False), full_matrices=False)
    except np.linalg.LinAlgError as error:
        raise RuntimeError(f"linalg.svd: {error}; the matrices must be finite") from None
    u, s, vh = (np.asarray(factor, input.dtype) for factor in factors)
    return u, s, vh


@svd.gradients("input")
def _svd_gradient(grad: Any, out: tuple[Any, Any, Any]) -> tuple[Any]:
    """The rule for real matrices: J. Townsend, "Differentiating the Singular Value Decomposition", 2016."""
    grad_u, grad_s, grad_vh = grad
    u, s, vh = out
    row, column = unsqueeze(s, -2), unsqueeze(s, -1)
    if grad_u is None and grad_vh is None:
        return (matmul(u * unsqueeze(grad_s, -2), vh),)
    values = values_of(s)
    identity = np.eye(values.shape[-1], dtype=values.dtype)
    gaps = row * row - column * column + identity
    core: Any = 0.0
    outside: Any = 0.0  # what lies in no direction of U, of a tall matrix, or of Vh, of a wide one
    if grad_s is not None:
        core = core + identity * unsqueeze(grad_s, -2)
    if grad_u is not None:
        inner = matmul(_transposed(u), grad_u)
        core = core + (inner - _transposed(inner)) / gaps * row
        if u.shape[-2] > u.shape[-1]:
            outside = matmul((grad_u - matmul(u, inner)) / row, vh)
    if grad_vh is not None:
        inner = matmul(vh, _transposed(grad_vh))
        core = core + column * ((inner - _transposed(inner)) / gaps)
        if vh.shape[-1] > vh.shape[-2]:
            outside = matmul(u, (grad_vh - matmul(_transposed(inner), vh)) / column)
    return (matmul(u, matmul(core, vh)) + outside,)


def _transposed(matrices: Any) -> Any:
    return transpose(matrices, -2, -1)
