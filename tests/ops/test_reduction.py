"""Reductions over all elements or along dims: values, types, gradients, empty tensors and what is refused."""

from __future__ import annotations

import math

import numpy as np
import pytest
from operation_cases import Case, Refusal, checks_of, fixed, integers, real, refusal_checks_of, transposed

import gradcli

#     shape, dim, keepdim
ALONG = [
    ((2, 3, 4), 0, False),
    ((2, 3, 4), -1, False),
    ((2, 3, 4), (0, -1), True),
    ((2, 3, 4), [1], False),
    ((2, 3), (), False),
    ((2, 3), (), True),
    ((3,), 0, True),
    ((), 0, False),
    ((), -1, True),
    ((0, 3), 1, False),
    ((2, 3), (1, 0), False),
]


def axes(dim):
    return None if dim == () else tuple(dim) if isinstance(dim, list) else dim


def numpy_reduction(name, dim, keepdim):
    def reduce(x):
        return getattr(np, name)(x, axis=axes(dim) if x.ndim else None, keepdims=keepdim)

    return reduce


def with_nan(generator):
    return np.where(np.eye(3, 4) == 1, math.nan, generator.standard_normal((3, 4)))


CASES = [
    *[
        Case(
            f"{name} {shape} {dim} {keepdim}",
            lambda torch, x, n=name, d=dim, k=keepdim: getattr(torch, n)(x, d, keepdim=k),
            real(*shape),
            expected=numpy_reduction(name, dim, keepdim),
        )
        for name in ("sum", "mean")
        for shape, dim, keepdim in ALONG
    ],
    *[
        Case(f"{name} all {kind}", lambda torch, x, n=name: getattr(x, n)(), draw, expected=getattr(np, name))
        for name in ("sum", "mean")
        for kind, draw in (("matrix", real(2, 3)), ("0-d", real()), ("transposed", transposed(real(3, 4))))
    ],
    Case("sum empty", lambda torch, x: x.sum(), real(0, 3), expected=np.sum),
    Case("sum along empty", lambda torch, x: x.sum(0), real(0, 3), expected=lambda x: x.sum(0)),
    Case(
        "mean all keepdim",
        lambda torch, x: x.mean(dim=None, keepdim=True),
        real(2, 3),
        expected=lambda x: x.mean(keepdims=True),
    ),
    Case("sum of integers", lambda torch, x: x.sum(), integers(9, 4), expected=np.sum, differentiable=False),
    Case(
        "sum of bools",
        lambda torch, x: x.sum(0),
        fixed([[True], [True]], bool),
        expected=lambda x: x.sum(0),
        differentiable=False,
    ),
    Case(
        "sum_to_size",
        lambda torch, x: x.sum_to_size(3, 1),
        real(2, 3, 4),
        expected=lambda x: x.sum((0, 2))[:, None],
        graph_differs="PyTorch adds a view",
    ),
    Case("sum_to_size same", lambda torch, x: x.sum_to_size(2, 3) * 2, real(2, 3), expected=lambda x: 2 * x),
    Case(
        "sum_to_size ones",
        lambda torch, x: x.sum_to_size(1, 1, 4),
        real(2, 3, 4),
        expected=lambda x: x.sum((0, 1), keepdims=True),
    ),
    Case(
        "sum_to_size of one",
        lambda torch, x: x.sum_to_size(()),
        real(2, 3),
        expected=np.sum,
    ),
    *[
        Case(
            f"{name} {dim} {keepdim}",
            lambda torch, x, n=name, d=dim, k=keepdim: getattr(torch, n)(x, d, k),
            with_nan,
            expected=lambda x, n=name, d=dim, k=keepdim: getattr(np, n)(x, axis=d, keepdims=k),
            twice=False,
        )
        for name in ("nansum", "nanmean")
        for dim, keepdim in ((None, False), (0, False), (-1, True), ((0, 1), False))
    ],
    Case("nansum without nan", lambda torch, x: x.nansum(1), real(2, 3), expected=lambda x: x.sum(1)),
    Case("nansum of integers", lambda torch, x: x.nansum(), integers(9, 4), expected=np.sum, differentiable=False),
]

REFUSALS = [
    Refusal("dim", lambda torch: torch.ones(2, 3).sum(2), IndexError, r"range of \[-2, 1\], but got 2"),
    Refusal("twice", lambda torch: torch.ones(2, 3).mean((0, -2)), RuntimeError, "dim 0 appears multiple times"),
    Refusal("mean of integers", lambda torch: torch.tensor([1, 2]).mean(), RuntimeError, "dtype"),
    Refusal("mean as integers", lambda torch: torch.ones(2).mean(dtype=torch.int64), RuntimeError, "dtype"),
    Refusal("sum_to_size", lambda torch: torch.ones(2, 3).sum_to_size(2), RuntimeError, r"size \[2\].*size \[2, 3\]"),
    Refusal("nanmean of integers", lambda torch: torch.nanmean(torch.tensor([1])), RuntimeError, "floating point"),
    Refusal("mean dtype before dim", lambda torch: torch.tensor([1]).mean(3), RuntimeError, "dtype"),
]


@pytest.mark.parametrize(("check", "case"), checks_of(CASES))
def test_operation(check, case):
    check(case)


@pytest.mark.parametrize(("check", "refusal"), refusal_checks_of(REFUSALS))
def test_refusal(check, refusal):
    check(refusal)


def test_mean_of_nothing_is_nan_without_a_warning():
    assert math.isnan(gradcli.ones(0).mean().item())
    assert all(map(math.isnan, gradcli.ones(2, 0).mean(1).tolist()))
    x = gradcli.ones(0, requires_grad=True)
    x.mean().backward()
    assert x.grad.shape == (0,)


@pytest.mark.parametrize(
    ("given", "result"), [("int8", "int64"), ("uint8", "int64"), ("bool", "int64"), ("float16", "float16")]
)
def test_type_of_a_sum(given, result):
    x = gradcli.tensor([1, 1]).to(getattr(gradcli, given))
    for total in (x.sum(), x.sum(0), x.sum_to_size(1)):
        assert total.dtype == getattr(gradcli, result)
        assert total.item() == 2


def test_sum_and_mean_in_a_type_asked_for():
    x = gradcli.tensor([1, 2])
    assert x.sum(dtype=gradcli.float64).dtype == gradcli.float64
    assert x.mean(dtype=gradcli.float32).item() == 1.5


def test_sum_of_small_integers_does_not_overflow():
    assert gradcli.full((300,), 100, dtype=gradcli.int8).sum().item() == 30000


def test_float32_sum_of_many_stays_accurate():
    assert gradcli.full((1_000_000,), 0.1).sum().item() == pytest.approx(1e5, rel=1e-6)


def test_summing_a_broadcast_gradient_keeps_its_digits():
    grad = np.random.default_rng(0).random((4096, 3), dtype=np.float32)
    bias = gradcli.zeros(3, requires_grad=True)
    (gradcli.zeros(4096, 3) + bias).backward(gradient=gradcli.tensor(grad))
    assert bias.grad.tolist() == grad.sum(axis=0, dtype=np.float64).astype(np.float32).tolist()
