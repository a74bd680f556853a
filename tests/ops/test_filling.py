"""New values for a whole tensor in place: what it holds, where the gradient goes, and what is refused."""

from __future__ import annotations

import numpy as np
import pytest
from operation_cases import Case, Refusal, checks_of, integers, real, refusal_checks_of, transposed

CASES = [
    Case("copy_", lambda torch, x, y: x.clone().copy_(y), real(2, 3), real(2, 3), expected=lambda x, y: y),
    Case(
        "copy_ broadcast",
        lambda torch, x, y: x.clone().copy_(y),
        real(2, 3),
        real(3),
        expected=lambda x, y: np.broadcast_to(y, (2, 3)),
    ),
    Case(
        "copy_ transposed",
        lambda torch, x, y: x.clone().copy_(y),
        transposed(real(2, 3)),
        transposed(real(2, 3)),
        expected=lambda x, y: y,
    ),
    Case("copy_ number", lambda torch, x: x.clone().copy_(2), real(3), expected=lambda x: np.full_like(x, 2)),
    Case("copy_ 0-d", lambda torch, x, y: x.clone().copy_(y), real(), real(), expected=lambda x, y: y),
    Case("copy_ empty", lambda torch, x, y: x.clone().copy_(y), real(0, 3), real(3), expected=lambda x, y: x),
    Case(
        "copy_ part",
        lambda torch, x, y: (lambda whole: (whole[:, 1].copy_(y), whole)[1])(x.clone()),
        real(2, 3),
        real(2),
        expected=lambda x, y: np.stack([x[:, 0], y, x[:, 2]], 1),
        graph_differs="what was written into a view stands in the graph behind CopySlices, not inside of it",
    ),
    Case(
        "fill_",
        lambda torch, x: x.clone().fill_(1.5),
        real(2, 3),
        expected=lambda x: np.full_like(x, 1.5),
    ),
    Case(
        "fill_ tensor",
        lambda torch, x, y: x.clone().fill_(y),
        real(2, 3),
        real(),
        expected=lambda x, y: x * 0 + y,
    ),
    Case(
        "fill_ integers",
        lambda torch, x: x.clone().fill_(3),
        integers(9, 4),
        expected=lambda x: np.full_like(x, 3),
        differentiable=False,
    ),
    Case("fill", lambda torch, x: torch.fill(x, 2.0), real(3), expected=lambda x: np.full_like(x, 2.0)),
    Case("fill 0-d", lambda torch, x, y: torch.fill(x, y), real(3), real(), expected=lambda x, y: x * 0 + y),
    Case("zero_ function", lambda torch, x: torch.zero_(x.clone()), real(2), expected=np.zeros_like),
    Case("zero_", lambda torch, x: x.clone().zero_(), real(2, 3), expected=np.zeros_like),
]

REFUSALS = [
    Refusal("copy_ shape", lambda torch: torch.ones(2).copy_(torch.ones(3)), RuntimeError, r"\[2\].*\[3\]"),
    Refusal("copy_ larger", lambda torch: torch.ones(2).copy_(torch.ones(1, 2, 2)), RuntimeError, r"\[1, 2, 2\]"),
    Refusal("copy_ list", lambda torch: torch.ones(2).copy_([1.0, 1.0]), TypeError, "must be Tensor, not list"),
    Refusal("fill_ vector", lambda torch: torch.ones(2).fill_(torch.ones(2)), RuntimeError, "0-dimension"),
]


@pytest.mark.parametrize(("check", "case"), checks_of(CASES))
def test_operation(check, case):
    check(case)


@pytest.mark.parametrize(("check", "refusal"), refusal_checks_of(REFUSALS))
def test_refusal(check, refusal):
    check(refusal)
