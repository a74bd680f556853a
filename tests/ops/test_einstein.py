"""Einstein's summation: every form of equation against NumPy and PyTorch, and what is refused."""

from __future__ import annotations

import numpy as np
import pytest
from operation_cases import Case, Refusal, checks_of, real, refusal_checks_of

import gradcli

#     equation, the shapes of its operands; NumPy understands them alike
EQUATIONS = [
    ("i->", (3,)),
    ("ij->", (2, 3)),
    ("ij->ji", (2, 3)),
    ("ji", (2, 3)),
    ("ij->i", (2, 3)),
    ("ii", (3, 3)),
    ("ii->i", (3, 3)),
    ("iji->j", (3, 2, 3)),
    ("iii->i", (2, 2, 2)),
    ("i,i->", (3,), (3,)),
    ("i,i->i", (3,), (3,)),
    ("i,j->ij", (3,), (4,)),
    ("ij,jk", (2, 3), (3, 4)),
    ("ij,jk->ki", (2, 3), (3, 4)),
    ("ij,jk->", (2, 3), (3, 4)),
    ("ij,j", (2, 3), (3,)),
    ("bij,bjk->bik", (2, 3, 4), (2, 4, 5)),
    ("bij,bij->b", (2, 3, 4), (2, 3, 4)),
    ("ij,kj->ik", (2, 3), (1, 3)),
    ("ab,bA->aA", (2, 3), (3, 2)),
    ("ij,jk,kl->il", (2, 3), (3, 4), (4, 2)),
    ("i,i,i->i", (3,), (3,), (3,)),
    ("bn,anm,bm->ba", (2, 3), (4, 3, 2), (2, 2)),
    ("...->...", (2, 3)),
    ("i...->...", (3, 3)),
    ("...ij,...jk->...ik", (5, 2, 3), (3, 4)),
    ("...ij,...jk", (5, 2, 3), (1, 3, 4)),
    ("...i->i", (2, 4, 3)),
    ("i...j,j->...", (2, 4, 3), (3,)),
    (" i j , j k -> i k ", (2, 3), (3, 4)),
    ("ij,ij->i", (0, 3), (0, 3)),
    ("ij,jk->ik", (2, 0), (0, 3)),
    (",i->i", (), (3,)),
    ("->", ()),
]
SWAPPED = "PyTorch swaps the operands of this product"

CASES = [
    *[
        Case(
            f"einsum {equation} {shapes}",
            lambda torch, *operands, e=equation: torch.einsum(e, *operands),
            *(real(*shape) for shape in shapes),
            expected=lambda *operands, e=equation: by_loops(e, *operands),
            graph_differs=SWAPPED if equation in ("ij,jk->ki", "bn,anm,bm->ba") else None,
            twice=0 not in np.concatenate([[1], *map(np.array, shapes)]),
        )
        for equation, *shapes in EQUATIONS
    ],
    Case(
        "einsum of sublists",
        lambda torch, x, y: torch.einsum(x, [0, 1], y, [1, 2], [2, 0]),
        real(2, 3),
        real(3, 4),
        expected=lambda x, y: (x @ y).T,
        graph_differs=SWAPPED,
    ),
    Case(
        "einsum of sublists without output",
        lambda torch, x, y: torch.einsum(x, [..., 1, 0], y, [1, 2]),
        real(5, 3, 2),
        real(3, 4),
        expected=lambda x, y: np.einsum(x, [..., 1, 0], y, [1, 2]),
        graph_differs=SWAPPED,
    ),
    Case(
        "einsum of a list",
        lambda torch, x, y: torch.einsum("ij,jk", [x, y]),
        real(2, 3),
        real(3, 4),
        expected=np.matmul,
    ),
]


def by_loops(equation, *operands):
    """NumPy's result, which has no capital letters first and sums no dims of `...`."""
    equation = equation.replace(" ", "")
    if equation == "...i->i":
        return operands[0].sum((0, 1))
    return np.einsum(equation, *operands)


REFUSALS = [
    Refusal(f"einsum {name}", lambda torch, e=equation, s=shapes: torch.einsum(e, *map(torch.ones, s)), error, message)
    for name, equation, shapes, error, message in [
        ("fewer", "ij,jk", [(2, 3)], RuntimeError, "fewer operands"),
        ("more", "ij", [(2, 3), (2, 3)], RuntimeError, "more operands"),
        ("none", "ij", [], ValueError, "at least one operand"),
        ("unknown output", "ij->k", [(2, 3)], RuntimeError, "output subscript k does not appear"),
        ("output twice", "ij->ii", [(2, 3)], RuntimeError, "more than once in the output"),
        ("sizes", "ij,jk->ik", [(2, 3), (4, 3)], RuntimeError, "subscript j has size 4 for operand 1"),
        ("too few", "i->i", [(2, 3)], RuntimeError, "does not match the number"),
        ("too many", "ijk->i", [(2, 3)], RuntimeError, "does not match the number"),
        ("diagonal", "ii->i", [(2, 3)], RuntimeError, "subscript i is repeated"),
        ("dot", "i.j->i", [(2, 3)], RuntimeError, "not part of any ellipsis"),
        ("two ellipses", "......->", [(2, 3)], RuntimeError, "ellipsis"),
        ("digit", "i1->i", [(2, 3)], RuntimeError, "invalid subscript"),
        ("two arrows", "i->i->i", [(2,)], RuntimeError, "invalid subscript"),
    ]
] + [
    Refusal("einsum number", lambda torch: torch.einsum(torch.ones(2), [52], [52]), ValueError, r"\[0, 52\)"),
    Refusal("einsum no equation", lambda torch: torch.einsum([torch.ones(2)], "i"), TypeError, "must be str"),
    Refusal(
        "einsum types",
        lambda torch: torch.einsum("ij,ij->", torch.ones(2, 3), torch.ones(2, 3, dtype=torch.float64)),
        RuntimeError,
        "dtype|scalar type",
    ),
]


@pytest.mark.parametrize(("check", "case"), checks_of(CASES))
def test_operation(check, case):
    check(case)


@pytest.mark.parametrize(("check", "refusal"), refusal_checks_of(REFUSALS))
def test_refusal(check, refusal):
    check(refusal)


def test_capital_letters_come_first_in_an_output_left_open():
    assert gradcli.einsum("aB", gradcli.zeros(2, 3)).shape == (3, 2)
