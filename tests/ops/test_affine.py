"""The linear layer's product: any number of leading dims, gradients, memory order, and what is refused."""

from __future__ import annotations

import numpy as np
import pytest
from operation_cases import Case, Refusal, checks_of, real, refusal_checks_of

import gradcli
from gradcli.nn import functional

CASES = [
    Case(
        "linear",
        lambda torch, x, w, b: torch.nn.functional.linear(x, w, b),
        real(2, 3),
        real(4, 3),
        real(4),
        expected=lambda x, w, b: x @ w.T + b,
    ),
    Case(
        "linear bias matrix",
        lambda torch, x, w, b: torch.nn.functional.linear(x, w, b),
        real(5, 2, 3),
        real(4, 3),
        real(2, 4),
        expected=lambda x, w, b: x @ w.T + b,
        graph_differs="PyTorch adds in place, without expanding",
    ),
    Case(
        "linear without bias",
        lambda torch, x, w: torch.nn.functional.linear(x, w),
        real(2, 3),
        real(4, 3),
        expected=lambda x, w: x @ w.T,
    ),
    Case(
        "linear vector",
        lambda torch, x, w, b: torch.nn.functional.linear(x, w, b),
        real(3),
        real(4, 3),
        real(4),
        expected=lambda x, w, b: x @ w.T + b,
    ),
    Case(
        "linear of 3 dims",
        lambda torch, x, w, b: torch.nn.functional.linear(x, w, b),
        real(5, 2, 3),
        real(4, 3),
        real(4),
        expected=lambda x, w, b: x @ w.T + b,
    ),
    Case(
        "linear weight vector",
        lambda torch, x, w: torch.nn.functional.linear(x, w),
        real(2, 3),
        real(3),
        expected=np.matmul,
    ),
    Case(
        "linear empty",
        lambda torch, x, w, b: torch.nn.functional.linear(x, w, b),
        real(0, 3),
        real(4, 3),
        real(4),
        expected=lambda x, w, b: x @ w.T + b,
    ),
]

REFUSALS = [
    Refusal(
        "linear 0-d",
        lambda torch: torch.nn.functional.linear(torch.tensor(1.0), torch.ones(2, 3)),
        RuntimeError,
        "shapes",
    ),
    Refusal(
        "linear",
        lambda torch: torch.nn.functional.linear(torch.ones(2, 3), torch.ones(4, 2)),
        RuntimeError,
        "2x3 and 2x4",
    ),
    Refusal(
        "linear bias",
        lambda torch: torch.nn.functional.linear(torch.ones(2, 3), torch.ones(4, 3), torch.ones(5)),
        RuntimeError,
        r"\[2, 4\].*\[5\]",
    ),
]


@pytest.mark.parametrize(("check", "case"), checks_of(CASES))
def test_operation(check, case):
    check(case)


@pytest.mark.parametrize(("check", "refusal"), refusal_checks_of(REFUSALS))
def test_refusal(check, refusal):
    check(refusal)


@pytest.mark.parametrize("batch", [1, 5])
def test_gradient_of_a_linear_weight_is_row_major_like_the_weight(batch):
    weight = gradcli.ones(4, 3, requires_grad=True)
    functional.linear(gradcli.ones(batch, 3), weight, gradcli.zeros(4)).sum().backward()
    assert weight.grad.array.flags.c_contiguous
