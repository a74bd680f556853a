"""Softmax and its logarithm: values, gradients, extremes, types and what is refused."""

from __future__ import annotations

import math

import numpy as np
import pytest
from operation_cases import Case, Refusal, checks_of, fixed, real, refusal_checks_of, transposed

import gradcli


def log_softmax(x, dim):
    return x - np.log(np.exp(x).sum(dim, keepdims=True))


#     name, input, dim
SOFTMAX = [
    ("rows", real(3, 4), 1),
    ("columns", real(3, 4), 0),
    ("negative", real(2, 3, 4), -2),
    ("transposed", transposed(real(3, 4)), -1),
    ("0-d", real(), 0),
    ("0-d negative", real(), -1),
    ("no rows", real(0, 3), 1),
    ("large", fixed([[700.0, -700.0, 0.0]]), 1),
]


def stable_log_softmax(x, dim):
    x = np.atleast_1d(x) if x.ndim == 0 else x
    return log_softmax(x - x.max(dim, keepdims=True, initial=-np.inf), dim) if x.size else x


CASES = [
    *[
        Case(
            f"log_softmax {name}",
            lambda torch, x, d=dim: torch.log_softmax(x, d),
            draw,
            expected=lambda x, d=dim: stable_log_softmax(x, d).reshape(x.shape),
        )
        for name, draw, dim in SOFTMAX
    ],
    *[
        Case(
            f"softmax {name}",
            lambda torch, x, d=dim: torch.softmax(x, d),
            draw,
            expected=lambda x, d=dim: np.exp(stable_log_softmax(x, d)).reshape(x.shape),
        )
        for name, draw, dim in SOFTMAX
    ],
    Case(
        "softmax in its own type",
        lambda torch, x: torch.softmax(x, -1, x.dtype),
        real(2, 3),
        expected=lambda x: np.exp(log_softmax(x, -1)),
    ),
    *[
        Case(
            f"logsumexp {name} {dim} {keepdim}",
            lambda torch, x, d=dim, k=keepdim: torch.logsumexp(x, d, k),
            draw,
            expected=lambda x, d=dim, k=keepdim: np.log(np.sum(np.exp(x), axis=d if x.ndim else None, keepdims=k)),
        )
        for name, draw in (("rows", real(3, 4)), ("transposed", transposed(real(3, 4))), ("0-d", real()))
        for dim, keepdim in ((0, False), (-1, True))
    ],
    Case(
        "logsumexp of all",
        lambda torch, x: x.logsumexp((0, 1)),
        fixed([[700.0, 0.0], [-700.0, 701.0]]),
        expected=lambda x: 701 + np.log(np.exp(x - 701).sum()),
    ),
    Case("logsumexp no rows", lambda torch, x: x.logsumexp(1), real(0, 3), expected=lambda x: x.sum(1)),
]

REFUSALS = [
    Refusal("logsumexp dim", lambda torch: torch.ones(2).logsumexp(1), IndexError, "but got 1"),
    Refusal("logsumexp twice", lambda torch: torch.ones(2, 2).logsumexp((0, 0)), RuntimeError, "multiple times"),
    Refusal("softmax dim", lambda torch: torch.softmax(torch.ones(2, 3), 2), IndexError, "but got 2"),
    Refusal("softmax 0-d", lambda torch: torch.ones(()).softmax(1), IndexError, "but got 1"),
    Refusal("softmax type", lambda torch: torch.softmax(torch.tensor([1]), 0), NotImplementedError, "softmax.*int64"),
    Refusal("log_softmax empty", lambda torch: torch.log_softmax(torch.ones(0, 3), 5), IndexError, "but got 5"),
    Refusal("softmax without dim", lambda torch: torch.softmax(torch.ones(2)), TypeError, "dim"),
]


@pytest.mark.parametrize(("check", "case"), checks_of(CASES))
def test_operation(check, case):
    check(case)


@pytest.mark.parametrize(("check", "refusal"), refusal_checks_of(REFUSALS))
def test_refusal(check, refusal):
    check(refusal)


def test_softmax_of_many_halves_keeps_its_sum():
    x = gradcli.zeros(70000, dtype=gradcli.float16)
    assert gradcli.softmax(x, dim=0)[0].item() == pytest.approx(1 / 70000, rel=1e-2)


@pytest.mark.parametrize("name", ["softmax", "log_softmax"])
def test_type_asked_for(name):
    x = gradcli.tensor([0.5, -1.0], requires_grad=True)
    result = getattr(x, name)(0, dtype=gradcli.float64)
    assert result.dtype == gradcli.float64
    result[0].backward()
    assert x.grad.dtype == gradcli.float32
    assert x.grad.sum().item() == pytest.approx(0, abs=1e-7)
    assert getattr(gradcli, name)(gradcli.tensor([1, 1]), 0, gradcli.float32).dtype == gradcli.float32


@pytest.mark.parametrize(
    ("values", "expected"),
    [
        ([], -math.inf),
        ([-math.inf, -math.inf], -math.inf),
        ([math.inf, 1.0], math.inf),
        ([math.inf, math.inf], math.inf),
        ([math.nan, math.inf], math.nan),
        ([0, 0], math.log(2)),
    ],
)
def test_logsumexp_of_extremes(values, expected):
    result = gradcli.tensor(values).logsumexp(0)
    assert result.dtype == gradcli.float32
    assert result.item() == pytest.approx(expected, nan_ok=True)
