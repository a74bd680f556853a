"""Products of matrices and vectors: every combination of dims, gradients, memory order, and what is refused."""

from __future__ import annotations

import numpy as np
import pytest
from operation_cases import Case, Refusal, checks_of, real, refusal_checks_of, strided, transposed

import gradcli

MATMUL_SHAPES = [
    ((3,), (3,)),
    ((2, 3), (3,)),
    ((3,), (3, 4)),
    ((2, 3), (3, 4)),
    ((5, 2, 3), (3,)),
    ((5, 2, 3), (3, 4)),
    ((3,), (5, 3, 4)),
    ((2, 3), (5, 3, 4)),
    ((5, 2, 3), (5, 3, 4)),
    ((5, 1, 2, 3), (4, 3, 2)),
    ((1, 2, 3), (4, 3, 2)),
    ((0, 3), (3, 4)),
    ((2, 0), (0, 4)),
    ((0, 2, 3), (3, 4)),
    ((0, 2, 3), (0, 3, 4)),
]
COPIED = "PyTorch has a node for the copy that makes a batch contiguous"


def scaled_addmm(m, a, b):
    return 0.5 * m + 2 * (a @ b)


CASES = [
    *[
        Case(
            f"matmul {first} {second}",
            lambda torch, x, y: x @ y,
            real(*first),
            real(*second),
            expected=np.matmul,
            graph_differs=COPIED if (len(first) < len(second) and len(second) > 2) or 1 in (*first, *second) else None,
        )
        for first, second in MATMUL_SHAPES
    ],
    Case("matmul function", lambda torch, x, y: torch.matmul(x, y), real(2, 3), real(3, 2), expected=np.matmul),
    Case("dot", lambda torch, x, y: torch.dot(x, y), real(3), real(3), expected=np.dot),
    Case("mv", lambda torch, x, y: torch.mv(x, y), transposed(real(2, 3)), real(3), expected=np.matmul),
    Case("mm", lambda torch, x, y: torch.mm(x, y), real(2, 3), real(3, 4), expected=np.matmul),
    Case(
        "mm transposed",
        lambda torch, x, y: torch.mm(x, y),
        transposed(real(2, 3)),
        transposed(real(3, 4)),
        expected=np.matmul,
    ),
    Case("mm strided", lambda torch, x, y: x.mm(y), strided(real(2, 3)), strided(real(3, 4)), expected=np.matmul),
    Case("mm by itself", lambda torch, x: x.mm(x.t()), real(2, 3), expected=lambda x: x @ x.T),
    Case("bmm", lambda torch, x, y: torch.bmm(x, y), real(2, 3, 4), real(2, 4, 2), expected=np.matmul),
    Case("bmm empty", lambda torch, x, y: torch.bmm(x, y), real(0, 3, 4), real(0, 4, 2), expected=np.matmul),
    Case(
        "addmm",
        lambda torch, m, a, b: torch.addmm(m, a, b),
        real(2),
        real(3, 4),
        real(4, 2),
        expected=lambda m, a, b: m + a @ b,
    ),
    Case(
        "addmm matrix",
        lambda torch, m, a, b: m.addmm(a, b),
        real(3, 1),
        real(3, 4),
        real(4, 2),
        expected=lambda m, a, b: m + a @ b,
    ),
    Case(
        "addmm scaled",
        lambda torch, m, a, b: torch.addmm(m, a, b, beta=0.5, alpha=2),
        real(2),
        real(3, 4),
        real(4, 2),
        expected=scaled_addmm,
    ),
    Case(
        "addmm beta 0",
        lambda torch, m, a, b: torch.addmm(m, a, b, beta=0),
        real(2),
        real(3, 4),
        real(4, 2),
        expected=lambda m, a, b: a @ b,
    ),
    Case(
        "addmm without depth",
        lambda torch, m, a, b: torch.addmm(m, a, b, beta=0.5),
        real(2),
        real(3, 0),
        real(0, 2),
        expected=lambda m, a, b: np.broadcast_to(0.5 * m, (3, 2)),
    ),
    Case(
        "baddbmm",
        lambda torch, m, a, b: torch.baddbmm(m, a, b),
        real(3, 1),
        real(2, 3, 4),
        real(2, 4, 2),
        expected=lambda m, a, b: m + a @ b,
    ),
    Case(
        "baddbmm scaled",
        lambda torch, m, a, b: m.baddbmm(a, b, beta=0.5, alpha=2),
        real(),
        real(2, 3, 4),
        real(2, 4, 2),
        expected=scaled_addmm,
    ),
]

REFUSALS = [
    Refusal("matmul", lambda torch: torch.ones(2, 3) @ torch.ones(2, 3), RuntimeError, r"2x3 and 2x3"),
    Refusal("matmul 0-d", lambda torch: torch.tensor(1.0) @ torch.ones(3), RuntimeError, "1D"),
    Refusal("matmul vectors", lambda torch: torch.ones(2) @ torch.ones(3), RuntimeError, "2.*3"),
    Refusal("matmul batches", lambda torch: torch.ones(5, 2, 3) @ torch.ones(4, 3, 2), RuntimeError, "5.*4"),
    Refusal(
        "matmul types",
        lambda torch: torch.ones(2, 2) @ torch.ones(2, 2, dtype=torch.float64),
        RuntimeError,
        "float32.*float64|float.*double",
    ),
    Refusal("matmul number", lambda torch: torch.ones(2) @ 3, TypeError, "int"),
    Refusal("bools", lambda torch: torch.tensor([[True]]) @ torch.tensor([[True]]), NotImplementedError, "bool"),
    Refusal("mm dims", lambda torch: torch.mm(torch.ones(2), torch.ones(2, 2)), RuntimeError, r"mm.*\[2\]"),
    Refusal("mv", lambda torch: torch.mv(torch.ones(2, 3), torch.ones(2)), RuntimeError, "2x3"),
    Refusal("dot", lambda torch: torch.dot(torch.ones(2), torch.ones(3)), RuntimeError, "2.*3"),
    Refusal(
        "baddbmm",
        lambda torch: torch.baddbmm(torch.ones(3), torch.ones(2, 2, 2), torch.ones(2, 2, 2)),
        RuntimeError,
        r"\[2, 2, 2\].*\[3\]",
    ),
    Refusal("mm number", lambda torch: torch.mm(torch.ones(2, 2), 3), TypeError, "int"),
    Refusal("bmm count", lambda torch: torch.bmm(torch.ones(2, 2, 3), torch.ones(3, 3, 2)), RuntimeError, "2 and 3"),
    Refusal(
        "addmm",
        lambda torch: torch.addmm(torch.ones(3), torch.ones(3, 4), torch.ones(4, 2)),
        RuntimeError,
        r"\[3, 2\].*\[3\]",
    ),
    Refusal(
        "addmm types",
        lambda torch: torch.addmm(torch.tensor([1]), torch.ones(3, 4), torch.ones(4, 2)),
        RuntimeError,
        "int64.*float32",
    ),
]


@pytest.mark.parametrize(("check", "case"), checks_of(CASES))
def test_operation(check, case):
    check(case)


@pytest.mark.parametrize(("check", "refusal"), refusal_checks_of(REFUSALS))
def test_refusal(check, refusal):
    check(refusal)


def test_beta_zero_forgets_nan():
    result = gradcli.addmm(gradcli.full((2,), float("nan")), gradcli.ones(3, 4), gradcli.ones(4, 2), beta=0)
    assert result.tolist() == [[4.0, 4.0]] * 3


def test_a_batch_with_gaps_is_not_copied_for_a_matrix_without_gradient():
    batch = gradcli.arange(24.0).reshape(2, 3, 4).transpose(0, 1).requires_grad_()
    matrix = gradcli.arange(8.0).reshape(4, 2)
    product = batch @ matrix
    assert type(product.grad_fn.next_functions[0][0]).__name__ == "BmmBackward0"
    np.testing.assert_array_equal(product.detach().array, batch.detach().array @ matrix.array)


def test_products_of_integers_stay_integers():
    product = gradcli.arange(4).reshape(2, 2) @ gradcli.arange(4).reshape(2, 2)
    assert product.dtype == gradcli.int64
    assert product.tolist() == [[2, 3], [6, 11]]
