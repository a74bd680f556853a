"""The product of all elements or along a dim, with the right gradient where elements are zero."""

from __future__ import annotations

import math
import operator
from typing import Any

import numpy as np

from gradcli.autograd.dtypes import Array, DType
from gradcli.autograd.operation import op, tensor_method
from gradcli.ops.cumulative import has_zeros, products_of_others
from gradcli.ops.dims import canonical_dim
from gradcli.ops.reduction import require_float_gradient, sum_dtype, with_kept_dims
from gradcli.ops.shape import view

__all__ = [
    "prod",
]


@op("ProdBackward0")
def prod_all(input: Array, dtype: DType | None = None) -> Array:
    """Product of all elements, 0-d."""
    target = sum_dtype(input, dtype)
    return np.asarray(np.prod(input.astype(target, copy=False), dtype=target))


@op("ProdBackward1")
def prod_dim(input: Array, dim: int, keepdim: bool = False, dtype: DType | None = None) -> Array:
    """Product along dim."""
    axis, target = canonical_dim(dim, input.ndim), sum_dtype(input, dtype)
    values = input.astype(target, copy=False)
    return np.asarray(np.prod(values, axis=axis if input.ndim else None, keepdims=keepdim, dtype=target))


prod_all.gradient(input=lambda grad, input, out: _prod_all_gradient(grad, input, out))
prod_dim.gradient(input=lambda grad, input, out, dim: _prod_dim_gradient(grad, input, out, dim))


def _prod_all_gradient(grad: Any, input: Any, out: Any) -> Any:
    if input.ndim == 0:
        return grad
    if not has_zeros(input):
        return grad * (out / input)
    shape = tuple(input.shape)
    return grad * view(products_of_others(view(input, (math.prod(shape),)), 0), shape)


def _prod_dim_gradient(grad: Any, input: Any, out: Any, dim: int) -> Any:
    if input.ndim == 0:
        return grad
    shape = tuple(input.shape)
    grad = with_kept_dims(grad, shape, dim)
    if not has_zeros(input):
        return grad * (with_kept_dims(out, shape, dim) / input)
    return grad * products_of_others(input, canonical_dim(dim, len(shape)))


@tensor_method()
def prod(input: Any, dim: int | None = None, keepdim: bool = False, *, dtype: DType | None = None) -> Any:
    """Product of all elements, or along dim. Integers and bools are multiplied as int64."""
    require_float_gradient(input, dtype)
    if dim is None:
        if keepdim:
            raise TypeError("prod() takes keepdim only with a dim")
        return prod_all(input, dtype=dtype)
    return prod_dim(input, operator.index(dim), keepdim, dtype=dtype)
