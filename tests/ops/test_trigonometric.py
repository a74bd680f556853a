"""Trigonometric and hyperbolic functions: values, gradients, the ends of their domains and what is beyond."""

from __future__ import annotations

import math

import numpy as np
import pytest
from operation_cases import Draw, checks_of, real
from unary_cases import cases_of, check_alias, function_checks_of


def fractions(*shape: int) -> Draw:
    """Numbers in [-0.9, 0.9)."""
    return lambda generator: np.asarray(generator.uniform(-0.9, 0.9, shape))


def above_one(*shape: int) -> Draw:
    """Numbers in [1.2, 3)."""
    return lambda generator: np.asarray(generator.uniform(1.2, 3.0, shape))


CASES = [
    *cases_of("sin", real, np.sin),
    *cases_of("cos", real, np.cos),
    *cases_of("tan", fractions, lambda x: np.sin(x) / np.cos(x)),
    *cases_of("asin", fractions, np.arcsin),
    *cases_of("acos", fractions, np.arccos),
    *cases_of("atan", real, np.arctan),
    *cases_of("sinh", real, lambda x: (np.exp(x) - np.exp(-x)) / 2),
    *cases_of("cosh", real, lambda x: (np.exp(x) + np.exp(-x)) / 2),
    *cases_of("asinh", real, np.arcsinh),
    *cases_of("acosh", above_one, lambda x: np.log(x + np.sqrt(x * x - 1))),
    *cases_of("atanh", fractions, lambda x: np.log((1 + x) / (1 - x)) / 2),
    *cases_of("deg2rad", real, np.deg2rad),
    *cases_of("rad2deg", real, np.rad2deg),
]
NAMES = [
    *("sin", "cos", "tan", "asin", "acos", "atan", "sinh", "cosh", "asinh", "acosh", "atanh"),
    *("deg2rad", "rad2deg"),
]
ALIASES = [(f"arc{name}", f"a{name}") for name in ("sin", "cos", "tan", "sinh", "cosh", "tanh")]

INF, NAN, PI = math.inf, math.nan, math.pi
EDGES = [
    ("sin", [0.0, -0.0, INF, NAN], [0, 0, NAN, NAN], [1, 1, NAN, NAN]),
    ("cos", [0.0, -0.0, -INF, NAN], [1, 1, NAN, NAN], [0, 0, NAN, NAN]),
    ("tan", [0.0, -0.0, INF, NAN], [0, 0, NAN, NAN], [1, 1, NAN, NAN]),
    ("asin", [1.0, -1.0, 2.0, INF, NAN], [PI / 2, -PI / 2, NAN, NAN, NAN], [INF, INF, NAN, NAN, NAN]),
    ("acos", [1.0, -1.0, 2.0, INF, NAN], [0, PI, NAN, NAN, NAN], [-INF, -INF, NAN, NAN, NAN]),
    ("atan", [0.0, -0.0, INF, -INF, NAN], [0, 0, PI / 2, -PI / 2, NAN], [1, 1, 0, 0, NAN]),
    ("sinh", [0.0, -0.0, INF, -INF, NAN, 1000.0], [0, 0, INF, -INF, NAN, INF], [1, 1, INF, INF, NAN, INF]),
    ("cosh", [0.0, -0.0, INF, -INF, NAN, -1000.0], [1, 1, INF, INF, NAN, INF], [0, 0, INF, -INF, NAN, -INF]),
    ("asinh", [0.0, -0.0, INF, -INF, NAN], [0, 0, INF, -INF, NAN], [1, 1, 0, 0, NAN]),
    ("acosh", [1.0, 0.5, 0.0, INF, NAN], [0, NAN, NAN, INF, NAN], [INF, NAN, NAN, 0, NAN]),
    ("atanh", [1.0, -1.0, 2.0, 0.0, NAN], [INF, -INF, NAN, 0, NAN], [INF, INF, -1 / 3, 1, NAN]),
    ("deg2rad", [180.0, INF, NAN], [PI, INF, NAN], [PI / 180] * 3),
    ("rad2deg", [PI, INF, NAN], [180, INF, NAN], [180 / PI] * 3),
]


@pytest.mark.parametrize(("check", "case"), checks_of(CASES))
def test_operation(check, case):
    check(case)


@pytest.mark.parametrize(
    ("check", "arguments"),
    function_checks_of(EDGES, as_float32=NAMES, in_place=[*NAMES, *(alias for alias, _ in ALIASES)], at=[0.25, 1.5]),
)
def test_function(check, arguments):
    check(*arguments)


@pytest.mark.parametrize(("alias", "name"), ALIASES)
def test_alias(alias, name):
    check_alias(alias, name)
