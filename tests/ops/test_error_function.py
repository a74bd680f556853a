"""The error function and its complement: values, gradients, limits."""

from __future__ import annotations

import math

import numpy as np
import pytest
from operation_cases import checks_of, real
from unary_cases import (
    WHOLE_NUMBERS,
    cases_of,
    check_edge,
    check_edge_parity,
    check_in_place,
    check_whole_numbers_count_as_float32,
    check_whole_numbers_parity,
    identified,
)

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


@pytest.mark.parametrize(("name", "at", "values", "gradients"), identified(EDGES))
def test_value_and_gradient_at_the_edge(name, at, values, gradients):
    check_edge(name, at, values, gradients)


@pytest.mark.parity
@pytest.mark.parametrize(("name", "at", "values", "gradients"), identified(EDGES))
def test_parity_of_value_and_gradient_at_the_edge(name, at, values, gradients):
    check_edge_parity(name, at)


@pytest.mark.parametrize("dtype", WHOLE_NUMBERS)
@pytest.mark.parametrize("name", NAMES)
def test_whole_numbers_count_as_float32(name, dtype):
    check_whole_numbers_count_as_float32(name, dtype)


@pytest.mark.parity
@pytest.mark.parametrize("dtype", WHOLE_NUMBERS)
@pytest.mark.parametrize("name", NAMES)
def test_parity_of_whole_numbers(name, dtype):
    check_whole_numbers_parity(name, dtype)


@pytest.mark.parametrize("name", NAMES)
def test_in_place(name):
    check_in_place(name, [0.25, -2.0])
