"""Absolute values, signs and rounding: values, gradients of zero, ties, signed zeros, integers and bools."""

from __future__ import annotations

import math

import numpy as np
import pytest
from operation_cases import Case, Draw, Refusal, checks_of, fixed, nonzero, refusal_checks_of
from unary_cases import cases_of, check_alias, function_checks_of

import gradcli


def between_steps(*shape: int) -> Draw:
    """Numbers of both signs, at least 0.1 away from where any of the functions steps."""
    return lambda generator: np.asarray(
        generator.randint(-3, 3, shape) + generator.choice([0.1, 0.9], shape) + generator.uniform(0.0, 0.3, shape)
    )


CASES = [
    *cases_of("abs", nonzero, lambda x: np.where(x < 0, -x, x)),
    *cases_of("sign", nonzero, lambda x: np.where(x < 0, -1.0, 1.0)),
    *cases_of("ceil", between_steps, np.ceil),
    *cases_of("floor", between_steps, np.floor),
    *cases_of("trunc", between_steps, np.trunc),
    *cases_of("round", between_steps, np.rint),
    *cases_of("frac", between_steps, lambda x: np.fmod(x, 1)),
    # PyTorch's gradient of sgn alone is a tensor without memory, which it can't show.
    Case("sgn", lambda torch, x: torch.sgn(x) * x, nonzero(2, 3), expected=np.abs),
    Case("sgn method", lambda torch, x: x.sgn() * x, nonzero(2, 3), expected=np.abs),
    Case("abs operator", lambda torch, x: abs(x), nonzero(2, 3), expected=np.abs),
    *[
        Case(
            f"round to {decimals} decimals",
            lambda torch, x, d=decimals: torch.round(x, decimals=d),
            fixed([[1234.5678, -0.12121], [1830.0, 7.77777]]),
            expected=lambda x, d=decimals: np.round(x, d),
        )
        for decimals in (0, 1, 3, -2)
    ],
    Case(
        "signbit",
        lambda torch, x: torch.signbit(x),
        fixed([0.0, -0.0, -2.5, math.inf, -math.inf]),
        expected=lambda x: np.array([False, True, True, False, True]),
        differentiable=False,
    ),
]
NAMES = ["abs", "sign", "sgn", "signbit", "ceil", "floor", "trunc", "round", "frac"]
ALIASES = [("absolute", "abs"), ("fix", "trunc")]

REFUSALS = [
    *[
        Refusal(
            f"{name} of bools",
            lambda torch, n=name: getattr(torch, n)(torch.tensor([True])),
            NotImplementedError,
            f"{name}.*[Bb]ool",
        )
        for name in ("abs", "ceil", "floor", "trunc", "round", "frac")
    ],
    Refusal("frac of integers", lambda torch: torch.frac(torch.tensor([1])), NotImplementedError, "frac.*int64"),
    Refusal(
        "integers to 0 decimals",
        lambda torch: torch.round(torch.tensor([15]), decimals=0),
        NotImplementedError,
        "round.*int64",
    ),
    Refusal("half a decimal", lambda torch: torch.round(torch.ones(2), decimals=0.5), TypeError, "float"),
    Refusal("decimals by position", lambda torch: torch.round(torch.ones(2), 2), TypeError, "positional"),
]

INF, NAN = math.inf, math.nan
EDGES = [
    ("abs", [0.0, -0.0, NAN, INF, -INF], [0, 0, NAN, INF, INF], [0, 0, 0, 1, -1]),
    ("sign", [0.0, -0.0, NAN, INF, -INF], [0, 0, 0, 1, -1], [0] * 5),
    ("ceil", [0.0, -0.0, NAN, INF, -INF, 1.5, -0.5], [0, 0, NAN, INF, -INF, 2, 0], [0] * 7),
    ("floor", [0.0, -0.0, NAN, INF, -INF, 1.5, -0.5], [0, 0, NAN, INF, -INF, 1, -1], [0] * 7),
    ("trunc", [0.0, -0.0, NAN, INF, -INF, 1.5, -0.5], [0, 0, NAN, INF, -INF, 1, 0], [0] * 7),
    ("round", [0.5, 1.5, 2.5, -0.5, -1.5, NAN, INF], [0, 2, 2, 0, -2, NAN, INF], [0] * 7),
    ("frac", [0.0, -0.0, NAN, INF, -INF, 1.5, -1.5], [0, 0, NAN, NAN, NAN, 0.5, -0.5], [1] * 7),
]


@pytest.mark.parametrize(("check", "case"), checks_of(CASES))
def test_operation(check, case):
    check(case)


@pytest.mark.parametrize(("check", "refusal"), refusal_checks_of(REFUSALS))
def test_refusal(check, refusal):
    check(refusal)


@pytest.mark.parametrize(
    ("check", "arguments"),
    function_checks_of(
        EDGES,
        whole=NAMES,
        in_place=[name for name in [*NAMES, "absolute", "fix"] if name != "signbit"],
        at=[0.25, -1.5],
    ),
)
def test_function(check, arguments):
    check(*arguments)


@pytest.mark.parametrize(("alias", "name"), ALIASES)
def test_alias(alias, name):
    check_alias(alias, name)


def test_sgn_is_sign():
    x = gradcli.tensor([0.0, -0.0, NAN, INF, -2.5])
    assert x.sgn().tolist() == x.sign().tolist() == [0, 0, 0, 1, -1]


@pytest.mark.parametrize("name", ["ceil", "floor", "trunc", "round"])
def test_integers_are_copied(name):
    x = gradcli.tensor([2, -3])
    result = getattr(gradcli, name)(x)
    assert result.dtype == gradcli.int64
    assert result.tolist() == [2, -3]
    assert not np.shares_memory(result.numpy(), x.numpy())


#     values, dtype, decimals, rounded
DECIMALS = [
    ([1e300, NAN, INF, 1.2345], "float64", 10, [INF, NAN, INF, 1.2345]),
    ([1.25, 1.35, -0.05], "float64", 1, [1.2, 1.4, 0.0]),
    ([12345.0, 50.0, 150.0], "float32", -2, [12300.0, 0.0, 200.0]),
    ([1.0, 15.0, 126.0], "float16", 3, [1.0, 15.0, 126.0]),
    ([12345.0], "float64", 400, [NAN]),
    ([12345.0], "float64", -400, [NAN]),
]


@pytest.mark.parametrize(("values", "dtype", "decimals", "rounded"), DECIMALS)
def test_rounding_to_decimals(values, dtype, decimals, rounded):
    result = gradcli.tensor(values, dtype=getattr(gradcli, dtype)).round(decimals=decimals)
    assert str(result.dtype) == f"torch.{dtype}"
    np.testing.assert_allclose(result.tolist(), rounded, rtol=1e-6)


@pytest.mark.parity
@pytest.mark.parametrize(("values", "dtype", "decimals", "rounded"), DECIMALS)
def test_parity_of_rounding_to_decimals(values, dtype, decimals, rounded):
    torch = pytest.importorskip("torch")
    ours, theirs = (
        module.tensor(values, dtype=getattr(module, dtype)).round(decimals=decimals) for module in (gradcli, torch)
    )
    np.testing.assert_array_equal(ours.tolist(), theirs.tolist())
