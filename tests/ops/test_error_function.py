"""The error function and its complement: values, gradients, limits."""

from __future__ import annotations

import math

import numpy as np
import pytest
from operation_cases import checks_of, real
from unary_cases import cases_of, function_checks_of

CASES = [
    *cases_of("erf", real, np.vectorize(math.erf, otypes=[np.float64])),
    *cases_of("erfc", real, np.vectorize(math.erfc, otypes=[np.float64])),
]
NAMES = ["erf", "erfc"]

SLOPE = 2 / math.sqrt(math.pi)
EDGES = [
    ("erf", [0.0, -0.0, math.inf, -math.inf, math.nan], [0, 0, 1, -1, math.nan], [SLOPE, SLOPE, 0, 0, math.nan]),
    ("erfc", [0.0, -0.0, math.inf, -math.inf, math.nan], [1, 1, 0, 2, math.nan], [-SLOPE, -SLOPE, 0, 0, math.nan]),
]


@pytest.mark.parametrize(("check", "case"), checks_of(CASES))
def test_operation(check, case):
    check(case)


@pytest.mark.parametrize(
    ("check", "arguments"), function_checks_of(EDGES, as_float32=NAMES, in_place=NAMES, at=[0.25, -2.0])
)
def test_function(check, arguments):
    check(*arguments)
