"""Layer normalization: values, gradients of both orders, precision, and what is refused."""

from __future__ import annotations

import numpy as np
import pytest
from operation_cases import Case, Refusal, checks_of, positive, real, refusal_checks_of, transposed

import gradcli
from gradcli.nn.functional import layer_norm


def normalized(x, ndim, weight=1.0, bias=0.0, eps=1e-5):
    axes = tuple(range(-ndim, 0))
    return (x - x.mean(axes, keepdims=True)) / np.sqrt(x.var(axes, keepdims=True) + eps) * weight + bias


def call(torch, *operands, **options):
    return torch.nn.functional.layer_norm(*operands, **options)


CASES = [
    *[
        Case(
            f"{name} over {shape}",
            lambda torch, x, w, b, s=shape: call(torch, x, s, w, b),
            draw,
            positive(*shape),
            real(*shape),
            expected=lambda x, w, b: normalized(x, w.ndim, w, b),
        )
        for name, draw, shape in [
            ("rows", real(3, 4), (4,)),
            ("one row", real(4), (4,)),
            ("planes", real(2, 3, 4), (3, 4)),
            ("everything", real(2, 3), (2, 3)),
            ("transposed", transposed(real(2, 3, 4)), (4,)),
        ]
    ],
    Case("plain", lambda torch, x: call(torch, x, [4]), real(3, 4), expected=lambda x: normalized(x, 1)),
    Case(
        "weight only",
        lambda torch, x, w: call(torch, x, (4,), w),
        real(3, 4),
        positive(4),
        expected=lambda x, w: normalized(x, 1, w),
    ),
    Case(
        "bias only",
        lambda torch, x, b: call(torch, x, (4,), None, b, 0.3),
        real(3, 4),
        real(4),
        expected=lambda x, b: normalized(x, 1, 1.0, b, 0.3),
    ),
    Case("no rows", lambda torch, x: call(torch, x, (4,)), real(0, 4), expected=np.copy),
    Case("no columns", lambda torch, x: call(torch, x, (0,)), real(3, 0), expected=np.copy),
]


def refuse(name, message, shape=(3,), weight=None, bias=None, error=RuntimeError, dtype="float32"):
    def vector(torch, size):
        return None if size is None else torch.ones(size)

    return Refusal(
        name,
        lambda torch: call(
            torch, torch.ones(2, 3, dtype=getattr(torch, dtype)), shape, vector(torch, weight), vector(torch, bias)
        ),
        error,
        message,
    )


REFUSALS = [
    refuse("shape", r"\[2\].*\[2, 3\]", (2,)),
    refuse("too many dims", r"\[2, 2, 3\]", (2, 2, 3)),
    refuse("no dims", "1-dimensional", ()),
    refuse("a number", "sequence", 3, error=TypeError),
    refuse("weight", r"weight of shape \[2\]", weight=2),
    refuse("bias", r"bias of shape \[2\]", bias=2),
    refuse("mixed types", "mixed dtype", weight=3, dtype="float64"),
    refuse("integers", "layer_norm.*int64", error=NotImplementedError, dtype="int64"),
]


@pytest.mark.parametrize(("check", "case"), checks_of(CASES))
def test_operation(check, case):
    check(case)


@pytest.mark.parametrize(("check", "refusal"), refusal_checks_of(REFUSALS))
def test_refusal(check, refusal):
    check(refusal)


def test_a_large_mean_costs_no_digits():
    x = gradcli.tensor([[10000.0, 10001.0, 10002.0]])
    np.testing.assert_allclose(layer_norm(x, (3,)).tolist(), [[-1.224736, 0.0, 1.224736]], rtol=1e-6, atol=1e-6)


def test_a_constant_row_is_zero_with_a_gradient_of_zero():
    x = gradcli.full((1, 4), 3.0, requires_grad=True)
    out = layer_norm(x, (4,))
    out.sum().backward()
    assert out.tolist() == [[0.0] * 4]
    assert x.grad.tolist() == [[0.0] * 4]
