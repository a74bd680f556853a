"""Inner and outer products and tensordot: values, gradients, nodes, and what is refused."""

from __future__ import annotations

import numpy as np
import pytest
from operation_cases import Case, Refusal, checks_of, real, refusal_checks_of, transposed

COPIED = "PyTorch has nodes of its own for reshaping what has to be copied"


def contracted(first, second, dims):
    return np.tensordot(first, second, dims)


CASES = [
    Case("outer", lambda torch, x, y: torch.outer(x, y), real(3), real(2), expected=np.outer),
    Case("outer empty", lambda torch, x, y: x.outer(y), real(0), real(2), expected=np.outer),
    Case("ger", lambda torch, x, y: torch.ger(x, y), real(1), real(2), expected=np.outer),
    Case("inner", lambda torch, x, y: torch.inner(x, y), real(3), real(3), expected=np.inner),
    Case(
        "inner of matrices",
        lambda torch, x, y: x.inner(y),
        real(2, 3),
        real(4, 3),
        expected=np.inner,
        graph_differs=COPIED,
    ),
    Case("inner 0-d", lambda torch, x, y: torch.inner(x, y), real(), real(2, 3), expected=np.inner),
    Case(
        "tensordot",
        lambda torch, x, y: torch.tensordot(x, y),
        real(2, 3, 4),
        real(3, 4, 2),
        expected=lambda x, y: contracted(x, y, 2),
    ),
    Case(
        "tensordot of no dims",
        lambda torch, x, y: torch.tensordot(x, y, 0),
        real(2),
        real(3),
        expected=lambda x, y: contracted(x, y, 0),
    ),
    Case(
        "tensordot of listed dims",
        lambda torch, x, y: torch.tensordot(x, y, dims=([0, -1], [1, 0])),
        transposed(real(2, 3, 4)),
        real(4, 2),
        expected=lambda x, y: contracted(x, y, ([0, 2], [1, 0])),
        graph_differs=COPIED,
    ),
    Case(
        "tensordot broadcast",
        lambda torch, x, y: torch.tensordot(x, y, dims=([0, 1], [2, 0])),
        real(1, 4, 3),
        real(4, 5, 2),
        expected=lambda x, y: contracted(x[0], y.sum(2), ([0], [0])),
        graph_differs=COPIED,
    ),
]

REFUSALS = [
    Refusal("outer", lambda torch: torch.outer(torch.ones(2, 2), torch.ones(2)), RuntimeError, "1-D.*2-D"),
    Refusal("inner", lambda torch: torch.inner(torch.ones(2, 3), torch.ones(2, 4)), RuntimeError, "last dimension"),
    Refusal(
        "tensordot sizes",
        lambda torch: torch.tensordot(torch.ones(2, 3), torch.ones(4, 5), 1),
        RuntimeError,
        "contracted dimensions need to match",
    ),
    Refusal("tensordot dims", lambda torch: torch.tensordot(torch.ones(2), torch.ones(2), 2), RuntimeError, "dims=2"),
    Refusal("below zero", lambda torch: torch.tensordot(torch.ones(2), torch.ones(2), -1), RuntimeError, ">= 0"),
    Refusal(
        "tensordot lists",
        lambda torch: torch.tensordot(torch.ones(2), torch.ones(2), ([0], [])),
        RuntimeError,
        "same length",
    ),
]


@pytest.mark.parametrize(("check", "case"), checks_of(CASES))
def test_operation(check, case):
    check(case)


@pytest.mark.parametrize(("check", "refusal"), refusal_checks_of(REFUSALS))
def test_refusal(check, refusal):
    check(refusal)
