"""Square roots, squares and reciprocals: values, gradients, zeros and infinities, and types."""

from __future__ import annotations

import math

import numpy as np
import pytest
from operation_cases import checks_of, nonzero, positive, real
from unary_cases import cases_of, function_checks_of

import gradcli

CASES = [
    *cases_of("reciprocal", nonzero, lambda x: 1 / x),
    *cases_of("rsqrt", positive, lambda x: x**-0.5),
    *cases_of("sqrt", positive, np.sqrt),
    *cases_of("square", real, lambda x: x * x),
]
NAMES = ["reciprocal", "rsqrt", "sqrt"]

INF, NAN = math.inf, math.nan
EDGES = [
    ("reciprocal", [0.0, -0.0, INF, -INF, NAN], [INF, -INF, 0, 0, NAN], [-INF, -INF, 0, 0, NAN]),
    ("rsqrt", [0.0, -0.0, INF, -1.0, NAN, 4.0], [INF, -INF, 0, NAN, NAN, 0.5], [-INF, INF, 0, NAN, NAN, -1 / 16]),
    ("sqrt", [0.0, -0.0, INF, -1.0, NAN, 4.0], [0, 0, INF, NAN, NAN, 2], [INF, -INF, 0, NAN, NAN, 0.25]),
    ("square", [0.0, -0.0, INF, -INF, NAN], [0, 0, INF, INF, NAN], [0, 0, INF, -INF, NAN]),
]


@pytest.mark.parametrize(("check", "case"), checks_of(CASES))
def test_operation(check, case):
    check(case)


@pytest.mark.parametrize(
    ("check", "arguments"),
    function_checks_of(EDGES, as_float32=NAMES, whole=["square"], in_place=[*NAMES, "square"], at=[0.5, 2.0]),
)
def test_function(check, arguments):
    check(*arguments)


@pytest.mark.parametrize("dtype", ["uint8", "int8", "int64"])
def test_squares_of_integers_stay_integers(dtype):
    result = gradcli.tensor([3, 20], dtype=getattr(gradcli, dtype)).square()
    assert result.dtype == getattr(gradcli, dtype)
    assert result.tolist() == [9, {"uint8": 144, "int8": -112, "int64": 400}[dtype]]


def test_squares_of_bools_are_integers():
    result = gradcli.square(gradcli.tensor([True, False]))
    assert result.dtype == gradcli.int64
    assert result.tolist() == [1, 0]
