"""Running sums and products, and the product of all: values, types, gradients where elements are zero."""

from __future__ import annotations

import numpy as np
import pytest
from operation_cases import Case, Refusal, checks_of, fixed, integers, nonzero, real, refusal_checks_of, transposed

import gradcli

#     name, input
FACTORS = [
    ("without zeros", nonzero(3, 4)),
    ("a zero", fixed([[3.0, 0, 2, -1], [1, 2, 3, 0.5], [2, 1, -2, 4]])),
    ("zeros", fixed([[0.0, 0, 2, 1], [1, 0, 0, 0], [0.5, 1, 0, -3]])),
    ("only zeros", fixed(np.zeros((3, 5)))),
    ("one", fixed([[2.0]])),
]

CASES = [
    *[
        Case(
            f"cumsum {shape} {dim}",
            lambda torch, x, d=dim: torch.cumsum(x, d),
            draw,
            expected=lambda x, d=dim: np.cumsum(x, d).reshape(x.shape),
        )
        for shape, draw, dim in (
            ("rows", real(2, 3, 4), 1),
            ("negative", real(2, 3, 4), -1),
            ("transposed", transposed(real(3, 4)), 0),
            ("0-d", real(), 0),
            ("empty", real(0, 3), 1),
        )
    ],
    *[
        Case(
            f"cumprod {name} {dim}",
            lambda torch, x, d=dim: x.cumprod(d),
            draw,
            expected=lambda x, d=dim: np.cumprod(x, d),
        )
        for name, draw in FACTORS
        for dim in (0, -1)
    ],
    Case("cumprod 0-d", lambda torch, x: x.cumprod(0), nonzero(), expected=np.asarray),
    *[
        Case(f"prod {name}", lambda torch, x: x.prod(), draw, expected=np.prod)
        for name, draw in (*FACTORS, ("0-d", real()), ("nothing", real(0, 3)))
    ],
    *[
        Case(
            f"prod {name} {dim} {keepdim}",
            lambda torch, x, d=dim, k=keepdim: torch.prod(x, d, k),
            draw,
            expected=lambda x, d=dim, k=keepdim: np.prod(x, axis=d if x.ndim else None, keepdims=k),
        )
        for name, draw in (*FACTORS, ("nothing", real(3, 0)))
        for dim, keepdim in ((0, False), (-1, True))
    ],
    Case("prod 0-d along", lambda torch, x: x.prod(-1), nonzero(), expected=np.asarray),
    *[
        Case(
            f"{name} of integers",
            lambda torch, x, n=name: getattr(torch, n)(x, 0),
            integers(4, 5),
            expected=lambda x, n=name: getattr(np, n)(x, 0),
            differentiable=False,
        )
        for name in ("cumsum", "cumprod", "prod")
    ],
]

REFUSALS = [
    *(
        Refusal(
            f"{name} as integers",
            lambda torch, name=name: getattr(torch.ones(2, requires_grad=True), name)(0, dtype=torch.int64),
            RuntimeError,
            "Autograd not support dtype: Long",
        )
        for name in ("cumsum", "cumprod", "prod", "sum", "nansum")
    ),
    Refusal("cumsum dim", lambda torch: torch.ones(2).cumsum(1), IndexError, r"range of \[-1, 0\], but got 1"),
    Refusal("cumsum 0-d dim", lambda torch: torch.ones(()).cumsum(1), IndexError, "but got 1"),
    Refusal("cumsum without dim", lambda torch: torch.ones(2).cumsum(), TypeError, "dim"),
    Refusal("cumprod dim", lambda torch: torch.ones(2).cumprod(-2), IndexError, "but got -2"),
    Refusal("cumprod as bools", lambda torch: torch.ones(2).cumprod(0, dtype=torch.bool), NotImplementedError, "ool"),
    Refusal("prod dim", lambda torch: torch.ones(2).prod(1), IndexError, "but got 1"),
    Refusal("prod of several dims", lambda torch: torch.ones(2, 2).prod((0, 1)), TypeError, "integer"),
    Refusal("prod keepdim without dim", lambda torch: torch.ones(2).prod(keepdim=True), TypeError, "keepdim"),
]


@pytest.mark.parametrize(("check", "case"), checks_of(CASES))
def test_operation(check, case):
    check(case)


@pytest.mark.parametrize(("check", "refusal"), refusal_checks_of(REFUSALS))
def test_refusal(check, refusal):
    check(refusal)


@pytest.mark.parametrize("name", ["cumsum", "cumprod", "prod"])
def test_type(name):
    x = gradcli.tensor([100, 100], dtype=gradcli.int8)
    assert getattr(x, name)(0).dtype == gradcli.int64
    assert getattr(x, name)(0, dtype=gradcli.float32).dtype == gradcli.float32
    assert getattr(x.half(), name)(0).dtype == gradcli.float16


def test_running_float32_sum_of_many_stays_accurate():
    assert gradcli.full((1_000_000,), 0.1).cumsum(0)[-1].item() == pytest.approx(1e5, rel=1e-6)


def test_gradient_through_a_wider_product_comes_back_in_the_first_type():
    x = gradcli.tensor([2.0, 3.0], requires_grad=True)
    x.prod(dtype=gradcli.float64).backward()
    assert (x.grad.dtype, x.grad.tolist()) == (gradcli.float32, [3, 2])
