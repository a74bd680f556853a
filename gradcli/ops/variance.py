"""Variance and standard deviation, with the mean if wanted."""

from __future__ import annotations

import math
from typing import Any

import numpy as np

from gradcli.autograd.dtypes import Array
from gradcli.autograd.operation import op, tensor_method
from gradcli.ops.arguments import values_of
from gradcli.ops.choosing import where
from gradcli.ops.dims import Dims, canonical_dims
from gradcli.ops.reduction import mean, mean_gradient, with_kept_dims

__all__ = [
    "std",
    "std_mean",
    "var",
    "var_mean",
]

Correction = int | float


@op("VarBackward0")
def var_along(input: Array, dim: Dims, correction: Correction, keepdim: bool) -> Array:
    """Sum of squared differences from the mean, divided by the number of elements less `correction`."""
    return _var_and_mean(input, dim, correction, keepdim)[0].astype(input.dtype)


@op("StdBackward0")
def std_along(input: Array, dim: Dims, correction: Correction, keepdim: bool) -> Array:
    """The square root of `var_along`."""
    return np.sqrt(_var_and_mean(input, dim, correction, keepdim)[0]).astype(input.dtype)


@op("VarMeanBackward0", multiple=True)
def var_mean_along(input: Array, dim: Dims, correction: Correction, keepdim: bool) -> tuple[Array, Array]:
    """`var_along`, and the mean."""
    variance, average = _var_and_mean(input, dim, correction, keepdim)
    return variance.astype(input.dtype), average.astype(input.dtype)


@op("StdMeanBackward0", multiple=True)
def std_mean_along(input: Array, dim: Dims, correction: Correction, keepdim: bool) -> tuple[Array, Array]:
    """`std_along`, and the mean."""
    variance, average = _var_and_mean(input, dim, correction, keepdim)
    return np.sqrt(variance).astype(input.dtype), average.astype(input.dtype)


def _var_and_mean(input: Array, dim: Dims, correction: Correction, keepdim: bool) -> tuple[Array, Array]:
    """Both in double precision."""
    if input.dtype.kind != "f":
        raise RuntimeError(f"std and var only support floating point dtypes, but got {input.dtype.name}")
    axes = canonical_dims(dim, input.ndim)
    count = math.prod(input.shape[axis] for axis in axes)
    average = np.asarray(np.sum(input, axis=axes, keepdims=True, dtype=np.float64)) / np.float64(count)
    squares = np.asarray(np.sum(np.square(input - average), axis=axes, keepdims=True))
    variance = squares / np.float64(max(count - correction, 0) if count else 0)
    if not keepdim:
        variance, average = np.squeeze(variance, axes), np.squeeze(average, axes)
    return np.asarray(variance), np.asarray(average)


var_along.gradient(
    input=lambda grad, input, dim, correction: _var_gradient(grad, input, dim, correction),
)
std_along.gradient(
    input=lambda grad, input, out, dim, correction: _var_gradient(_through_root(grad, out), input, dim, correction),
)


@var_mean_along.gradients("input")
def _var_mean_gradient(grad: Any, input: Any, dim: Dims, correction: Correction) -> tuple[Any]:
    return (_joint_gradient(grad[0], grad[1], input, dim, correction),)


@std_mean_along.gradients("input")
def _std_mean_gradient(grad: Any, input: Any, out: tuple[Any, Any], dim: Dims, correction: Correction) -> tuple[Any]:
    of_variance = None if grad[0] is None else _through_root(grad[0], out[0])
    return (_joint_gradient(of_variance, grad[1], input, dim, correction),)


def _joint_gradient(of_variance: Any, of_mean: Any, input: Any, dim: Dims, correction: Correction) -> Any:
    if of_mean is None:
        return _var_gradient(of_variance, input, dim, correction)
    by_mean = mean_gradient(of_mean, tuple(input.shape), dim)
    return by_mean if of_variance is None else by_mean + _var_gradient(of_variance, input, dim, correction)


def _through_root(grad: Any, out: Any) -> Any:
    """The gradient of the variance, from that of its square root `out`; zero at zero."""
    return where(out == 0, 0.0, grad / (out * 2))


def _var_gradient(grad: Any, input: Any, dim: Dims, correction: Correction) -> Any:
    shape = tuple(input.shape)
    freedom = math.prod(shape[axis] for axis in canonical_dims(dim, len(shape))) - correction
    grad = with_kept_dims(grad, shape, dim)
    average = mean(input, dim, keepdim=True)
    if freedom <= 0 and (dim is None or not shape):
        # Where elements differ from the mean, the variance is infinite, and so is its slope.
        values, center = values_of(input), values_of(average)
        return grad * np.where(values == center, math.nan, math.inf).astype(values.dtype)
    return grad * (2 / freedom if freedom else math.inf) * (input - average)


# --- the arguments in PyTorch's several forms -------------------------------------------------------------------------


def _resolved(
    name: str, dim: Any, unbiased: bool | None, keepdim: bool, correction: Correction | None
) -> tuple[Dims, Correction, bool]:
    """dim, correction and keepdim, from `(unbiased)`, `(dim, unbiased, keepdim)` or `(dim, *, correction, keepdim)`."""
    if isinstance(dim, bool):
        if unbiased is not None:
            raise TypeError(f"{name}(): dim must be an int or several, not bool")
        dim, unbiased = None, dim
    if unbiased is None:
        return dim, 1 if correction is None else correction, keepdim
    if correction is not None:
        raise TypeError(f"{name}() takes either unbiased or correction, not both")
    return dim, int(unbiased), keepdim


@tensor_method()
def var(
    input: Any,
    dim: Dims = None,
    unbiased: bool | None = None,
    keepdim: bool = False,
    *,
    correction: Correction | None = None,
) -> Any:
    """Variance of all elements or along `dim` (one or several), divided by their number less `correction` (1).

    `var(unbiased)` and `var(dim, unbiased, keepdim)` say with a bool whether the correction is 1 or 0.
    """
    return var_along(input, *_resolved("var", dim, unbiased, keepdim, correction))


@tensor_method()
def std(
    input: Any,
    dim: Dims = None,
    unbiased: bool | None = None,
    keepdim: bool = False,
    *,
    correction: Correction | None = None,
) -> Any:
    """Standard deviation, the square root of `var` with the same arguments; its gradient at zero is zero."""
    return std_along(input, *_resolved("std", dim, unbiased, keepdim, correction))


def var_mean(
    input: Any,
    dim: Dims = None,
    unbiased: bool | None = None,
    keepdim: bool = False,
    *,
    correction: Correction | None = None,
) -> Any:
    """`var` and `mean`, as a tuple."""
    return tuple(var_mean_along(input, *_resolved("var_mean", dim, unbiased, keepdim, correction)))


def std_mean(
    input: Any,
    dim: Dims = None,
    unbiased: bool | None = None,
    keepdim: bool = False,
    *,
    correction: Correction | None = None,
) -> Any:
    """`std` and `mean`, as a tuple."""
    return tuple(std_mean_along(input, *_resolved("std_mean", dim, unbiased, keepdim, correction)))
