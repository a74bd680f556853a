"""The largest and the smallest: values, indices, ties, NaN, empty tensors and what is refused."""

from __future__ import annotations

import math

import numpy as np
import pytest
from edge_cases import edge_checks_of
from operation_cases import Case, Refusal, checks_of, distinct, fixed, integers, refusal_checks_of, transposed

import gradcli

#     shape, dim, keepdim
ALONG = [
    ((2, 3, 4), 0, False),
    ((2, 3, 4), -1, True),
    ((2, 3, 4), (0, -1), False),
    ((2, 3), (), True),
    ((), 0, False),
    ((0, 3), 1, False),
]

BOTH = (("max", np.max), ("min", np.min))


def reduced(function, dim, keepdim):
    return lambda x: function(x, axis=None if dim == () or x.ndim == 0 else dim, keepdims=keepdim)


def elements(*shape):
    """Distinct ones, as an array also where there is one alone."""
    return distinct(*shape) if shape else fixed(0.5)


CASES = [
    *[
        Case(
            f"a{name} {shape} {dim} {keepdim}",
            lambda torch, x, n=name, d=dim, k=keepdim: getattr(torch, f"a{n}")(x, d, k),
            elements(*shape),
            expected=reduced(function, dim, keepdim),
        )
        for name, function in BOTH
        for shape, dim, keepdim in ALONG
    ],
    *[
        Case(
            f"{name} of all {shape}",
            lambda torch, x, n=name: getattr(x, n)(),
            elements(*shape),
            expected=function,
        )
        for name, function in BOTH
        for shape in ((3, 4), ())
    ],
    *[
        Case(
            f"{name} {shape} {dim} {keepdim} {part}",
            lambda torch, x, n=name, d=dim, k=keepdim, p=part: getattr(getattr(torch, n)(x, d, k), p),
            transposed(elements(*shape)),
            expected=reduced(function, dim, keepdim),
            differentiable=part == "values",
        )
        for name, values, indices in (("max", np.max, np.argmax), ("min", np.min, np.argmin))
        for part, function in (("values", values), ("indices", indices))
        for shape, dim, keepdim in ALONG
        if isinstance(dim, int)
    ],
    *[
        Case(
            f"{name} of two",
            lambda torch, x, y, n=name: getattr(torch, n)(x, y),
            distinct(2, 3),
            fixed([0.17, 0.23, 0.31]),
            expected=function,
        )
        for name, function in (("max", np.maximum), ("min", np.minimum))
    ],
    *[
        Case(
            f"aminmax {dim} {keepdim} {part}",
            lambda torch, x, d=dim, k=keepdim, p=part: getattr(torch.aminmax(x, dim=d, keepdim=k), p),
            distinct(2, 3, 4),
            expected=lambda x, f=function, d=dim, k=keepdim: f(x, axis=d, keepdims=k),
        )
        for part, function in (("min", np.min), ("max", np.max))
        for dim, keepdim in ((None, False), (1, False), (-1, True))
    ],
    Case(
        "both of aminmax",
        lambda torch, x: x.aminmax(dim=0).max * x.aminmax(dim=0).min,
        distinct(3, 4),
        expected=lambda x: x.max(0) * x.min(0),
    ),
    Case(
        "amax of integers",
        lambda torch, x: x.amax(0),
        integers(9, 3, 2),
        expected=lambda x: x.max(0),
        differentiable=False,
    ),
    *[
        Case(
            f"arg{name} {dim} {keepdim}",
            lambda torch, x, n=name, d=dim, k=keepdim: getattr(torch, f"arg{n}")(x, dim=d, keepdim=k),
            transposed(distinct(2, 3, 4)),
            expected=lambda x, f=function, d=dim, k=keepdim: f(x, axis=d, keepdims=k),
            differentiable=False,
        )
        for name, function in (("max", np.argmax), ("min", np.argmin))
        for dim, keepdim in ((None, False), (0, False), (-1, True), (1, False), (None, True))
    ],
]

REFUSALS = [
    Refusal("amax dim", lambda torch: torch.ones(2).amax(1), IndexError, r"range of \[-1, 0\], but got 1"),
    Refusal("amax twice", lambda torch: torch.ones(2, 2).amax((0, 0)), RuntimeError, "multiple times"),
    Refusal("amin of nothing", lambda torch: torch.ones(0, 2).amin(), RuntimeError, "dim to be specified"),
    Refusal("amax along nothing", lambda torch: torch.ones(0, 2).amax(0), IndexError, "dim 0 to have non-zero size"),
    Refusal("max of nothing", lambda torch: torch.ones(0).max(), RuntimeError, "dim to be specified"),
    Refusal("min along nothing", lambda torch: torch.ones(2, 0).min(-1), IndexError, "dim 1 to have non-zero size"),
    Refusal("max dim", lambda torch: torch.ones(2).max(1), IndexError, "but got 1"),
    Refusal("max of several dims", lambda torch: torch.ones(2, 2).max((0, 1)), TypeError, "integer"),
    Refusal("max of a float dim", lambda torch: torch.ones(2).max(0.0), TypeError, "dim"),
    Refusal("max of a number", lambda torch: torch.max(2, torch.ones(2)), TypeError, "tensor"),
    Refusal("aminmax of nothing", lambda torch: torch.aminmax(torch.ones(0, 2)), RuntimeError, "identity"),
    Refusal("aminmax along nothing", lambda torch: torch.aminmax(torch.ones(0, 2), dim=0), IndexError, "non-zero"),
    Refusal("aminmax dim", lambda torch: torch.aminmax(torch.ones(2), dim=1), IndexError, "but got 1"),
    Refusal("argmax", lambda torch: torch.ones(2).argmax(-2), IndexError, r"range of \[-1, 0\], but got -2"),
    Refusal("argmax of nothing", lambda torch: torch.ones(0).argmax(), IndexError, "argmax"),
    Refusal("argmin along nothing", lambda torch: torch.ones(2, 0).argmin(1), IndexError, "argmin"),
    Refusal("argmax of bools", lambda torch: torch.tensor([True]).argmax(), RuntimeError, "bool"),
]


@pytest.mark.parametrize(("check", "case"), checks_of(CASES))
def test_operation(check, case):
    check(case)


@pytest.mark.parametrize(("check", "refusal"), refusal_checks_of(REFUSALS))
def test_refusal(check, refusal):
    check(refusal)


TIES = [
    ("amax", lambda torch, x: x.amax(0), [[1, 2, 2]], [2, [0, 0.5, 0.5]]),
    ("amin", lambda torch, x: x.amin(0), [[1, 1, 2]], [1, [0.5, 0.5, 0]]),
    ("amax nan", lambda torch, x: x.amax(0), [[1, math.nan]], [math.nan, [math.nan, math.nan]]),
    ("max of all", lambda torch, x: x.max(), [[1, 2, 2]], [2, [0, 0.5, 0.5]]),
    ("max of all nan", lambda torch, x: x.max(), [[math.nan, 2, math.nan]], [math.nan, [0.5, 0, 0.5]]),
    ("max", lambda torch, x: x.max(0).values, [[1, 2, 2]], [2, [0, 1, 0]]),
    ("max nan", lambda torch, x: x.max(0).values, [[1, math.nan, math.nan]], [math.nan, [0, 1, 0]]),
    ("min", lambda torch, x: x.min(0).values, [[1, 1, 2]], [1, [1, 0, 0]]),
    ("aminmax", lambda torch, x: x.aminmax()[0], [[1, 1, 2]], [1, [0.5, 0.5, 0]]),
    ("aminmax along", lambda torch, x: x.aminmax(dim=0).max, [[1, 2, 2]], [2, [0, 0.5, 0.5]]),
]


@pytest.mark.parametrize(("check", "edge"), edge_checks_of(TIES))
def test_gradient_of_ties(check, edge):
    check(*edge)


def test_indices_are_those_of_the_first_of_equals_and_of_nan_before_all():
    assert gradcli.tensor([2.0, 5.0, 5.0]).argmax().item() == 1
    assert gradcli.tensor([2.0, math.nan, 5.0]).argmin().item() == 1
    values, indices = gradcli.tensor([[True, True], [False, True]]).max(0)
    assert (values.tolist(), indices.tolist()) == ([True, True], [0, 0])
