"""The error function, which NumPy doesn't have, and its complement: element by element.

    erf(x) = 2 / sqrt(pi) * integral of exp(-t^2) for t from 0 to x,    erfc(x) = 1 - erf(x)

erf is its Taylor series about the nearest of many points, whose derivatives stand in tables. The n-th derivative of
erf is (-1)^(n-1) 2 / sqrt(pi) H_(n-1)(x) exp(-x^2) with the Hermite polynomials H (Abramowitz and Stegun 7.1.19), and
the values come from C's library. The points are so close that a few terms give the element type's precision.
"""

from __future__ import annotations

import functools
import math
from collections.abc import Callable
from typing import Any

import numpy as np

from gradcli.kernels.elementwise import apply
from gradcli.kernels.layout import Array

POINTS_PER_UNIT = 64
FARTHEST = 6
"""From here on erf is 1 in float64."""
TERMS = {np.dtype(np.float32): 4, np.dtype(np.float64): 8}
"""Terms of the series: the first one left out is below half the precision's resolution."""
PIECE = 1 << 14
"""Elements computed at a time, so that what lies between input and result stays in the processor's cache."""
FEW = 128
"""Up to so many elements are faster one by one, with C's own function."""


def erf(x: Array) -> Array:
    """The error function of floats, in their dtype: -1 and 1 at the infinities, NaN for NaN."""
    return _one_by_one(math.erf, x) if x.size <= FEW else apply(_erf, x)


def erfc(x: Array) -> Array:
    """1 - erf(x) of floats, in their dtype, exact to rounding where it is tiny too: 2 and 0 at the infinities."""
    return _one_by_one(math.erfc, x)


def _one_by_one(function: Callable[[float], float], x: Array) -> Array:
    return np.array([function(value) for value in x.ravel().tolist()], x.dtype).reshape(x.shape)


def _erf(x: Array, out: Array | None = None) -> Array:
    """Fill `out`, or a new array."""
    if x.ndim != 1:
        return _erf(x.reshape(-1)).reshape(x.shape)
    result = np.empty_like(x) if out is None else out
    for start in range(0, x.size, PIECE):
        part = slice(start, start + PIECE)
        result[part] = _erf_by_tables(x[part] if x.dtype in TERMS else x[part].astype(np.float32))
    return result


def _erf_by_tables(x: Array) -> Array:
    coefficients = _coefficients(x.dtype)
    magnitude = np.minimum(np.abs(x), FARTHEST)
    nearest = np.rint(magnitude * POINTS_PER_UNIT)
    offset = magnitude - nearest * (1 / POINTS_PER_UNIT)
    row = np.fmin(nearest, FARTHEST * POINTS_PER_UNIT).astype(np.intp)  # any will do for NaN, which has a NaN offset
    value: Array = coefficients[0].take(row)
    term = np.empty_like(value)
    for table in coefficients[1:]:
        value *= offset
        value += table.take(row, mode="clip", out=term)  # mode="raise" would take to a buffer first
    np.copysign(value, x, out=value)
    return value


@functools.cache
def _coefficients(dtype: np.dtype[Any]) -> tuple[Array, ...]:
    """The Taylor coefficients of erf, highest first, each at all points from 0 to FARTHEST."""
    points = np.arange(FARTHEST * POINTS_PER_UNIT + 1) / POINTS_PER_UNIT
    values = np.array([math.erf(point) for point in points])
    density = 2 / math.sqrt(math.pi) * np.exp(-points * points)
    before, hermite = np.zeros_like(points), np.ones_like(points)
    coefficients = [values]
    for order in range(1, TERMS[dtype]):
        coefficients.append((-1) ** (order - 1) * density * hermite / math.factorial(order))
        before, hermite = hermite, 2 * points * hermite - 2 * (order - 1) * before
    return tuple(table.astype(dtype) for table in reversed(coefficients))
