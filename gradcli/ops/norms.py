"""Norms of vectors and matrices."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any

import numpy as np

from gradcli.autograd.dtypes import Array, DType, as_numpy_dtype
from gradcli.autograd.operation import op, tensor_method
from gradcli.ops.arguments import values_of
from gradcli.ops.choosing import where
from gradcli.ops.conversion import converted
from gradcli.ops.decomposition import svd
from gradcli.ops.dim_order import permute_dims
from gradcli.ops.dims import Dims, canonical_dims
from gradcli.ops.reduction import sum_dims, with_kept_dims
from gradcli.ops.rounding import abs, sign
from gradcli.ops.shape import unsqueeze

__all__ = [
    "norm",
]


@op("LinalgVectorNormBackward0")
def vector_norm(
    input: Array, ord: float = 2, dim: Dims = None, keepdim: bool = False, dtype: DType | None = None
) -> Array:
    """(sum of |input| ** ord) ** (1 / ord), of all elements or along `dim` (one or several), in double precision.

    For `ord` inf and -inf the largest and smallest |input|, for 0 the number of elements that aren't zero. Where the
    norm is zero, so is its gradient.
    """
    target = _norm_dtype(input.dtype, dtype)
    axes = canonical_dims(dim, input.ndim)
    _require_identity(input, ord, dim, axes)
    if ord == 2:
        total = np.sum(np.square(input.astype(np.float64, copy=False)), axis=axes, keepdims=keepdim)
        return np.asarray(np.sqrt(total), target)
    values = np.abs(input.astype(np.float64, copy=False))
    if math.isinf(ord):
        return np.asarray((np.max if ord > 0 else np.min)(values, axis=axes, keepdims=keepdim), target)
    if ord == 0:
        return np.asarray(np.sum(values != 0, axis=axes, keepdims=keepdim), target)
    total = np.sum(values if ord == 1 else values**ord, axis=axes, keepdims=keepdim)
    return np.asarray(total if ord == 1 else total ** (1 / ord), target)


def _norm_dtype(own: np.dtype[Any], dtype: DType | None) -> np.dtype[Any]:
    if own.kind != "f":
        raise RuntimeError(f"linalg.vector_norm: Expected a floating point tensor as input. Got {own.name}")
    if dtype is None:
        return own
    target = as_numpy_dtype(dtype)
    if target.kind != "f":
        raise RuntimeError(f"linalg.vector_norm: dtype should be floating point, but got {target.name}")
    if target.itemsize < own.itemsize:
        raise RuntimeError(
            f"linalg.vector_norm: the dtype of the input ({own.name}) should be convertible without narrowing to the "
            f"specified dtype ({target.name})"
        )
    return target


def _require_identity(input: Array, ord: float, dim: Dims, axes: tuple[int, ...]) -> None:
    """RuntimeError where nothing is left to take a norm of, which for negative orders and inf has no value."""
    if input.size or not (ord < 0 or math.isinf(ord)):
        return
    if len(axes) == input.ndim:
        raise RuntimeError(
            f"linalg.vector_norm cannot compute the {ord} norm on an empty tensor because the operation does not "
            "have an identity"
        )
    for axis in axes:
        if input.shape[axis] == 0:
            raise RuntimeError(
                f"linalg.vector_norm cannot compute the {ord} norm on the dimension {axis} because this dimension is "
                "empty and the operation does not have an identity"
            )


vector_norm.gradient(input=lambda grad, input, out, ord, dim: _norm_gradient(grad, input, out, ord, dim))


def _norm_gradient(grad: Any, input: Any, out: Any, ord: float, dim: Dims) -> Any:
    """PyTorch's formulas, which differ by order so as to stay finite at zero where the norm has a slope there."""
    if ord == 0:
        return None
    shape = tuple(input.shape)
    grad, norm = with_kept_dims(grad, shape, dim), with_kept_dims(out, shape, dim)
    if ord == 1:
        return sign(input) * grad
    if ord == 2:
        return grad * where(norm == 0, 0.0, input / norm)
    if math.isinf(ord):
        values, largest = values_of(input), values_of(norm)
        sizes = np.abs(values)
        chosen = (sizes == largest) | np.isnan(sizes)
        count = np.sum(chosen, axis=canonical_dims(dim, len(shape)), keepdims=True)
        signs = np.nan_to_num(np.sign(values))
        return grad * np.divide(signs * chosen, count, dtype=values.dtype)
    if ord < 1:
        return where(input == 0, 0.0, sign(input) * abs(input) ** (ord - 1)) * grad * norm ** (1 - ord)
    powers = sign(input) * abs(input) ** (ord - 1) if ord < 2 else input * abs(input) ** (ord - 2)
    return powers * where(norm == 0, 0.0, grad / norm ** (ord - 1))


@tensor_method()
def norm(
    input: Any, p: float | str | None = "fro", dim: Dims = None, keepdim: bool = False, dtype: DType | None = None
) -> Any:
    """The norm of order p of all elements, or along `dim` (one or several), in `dtype` if given.

    A number (inf too) is the order of a vector's norm; "fro", Frobenius' norm of a matrix, is 2. "nuc" is the nuclear
    norm of matrices over the two dims given: the sum of their singular values.
    """
    if p is None or not isinstance(p, str):
        return vector_norm(input, 2 if p is None else p, dim, keepdim, dtype)
    several = isinstance(dim, Sequence) and len(dim) > 2
    if p == "fro" and not several:
        return vector_norm(input, 2, dim, keepdim, dtype)
    dims = tuple(range(input.ndim)) if dim is None else (dim,) if isinstance(dim, int) else tuple(dim)
    return _matrix_norm(input, p, dims, keepdim, dtype)


def _matrix_norm(input: Any, p: str, dims: tuple[int, ...], keepdim: bool, dtype: DType | None) -> Any:
    if p not in ("fro", "nuc"):
        raise RuntimeError(f'norm(): order {p!r} is not supported; strings are "fro" and "nuc"')
    if len(dims) != 2:
        raise RuntimeError(f"norm(): dim must be a 2-tuple for the norm of matrices. Got {list(dims)}")
    first, second = canonical_dims(dims, input.ndim)
    if dtype is not None:
        input = converted(input, dtype)
    batch = tuple(axis for axis in range(input.ndim) if axis not in (first, second))
    singular_values = svd(permute_dims(input, (*batch, first, second)))[1]
    total = sum_dims(singular_values, -1, keepdim)
    if not keepdim:
        return total
    order = sorted(range(input.ndim), key=(*batch, first, second).__getitem__)  # back where they came from
    return permute_dims(unsqueeze(total, -1), tuple(order))
