"""Broadcasting without copying: values, gradients summed back, sizes kept by -1, and what is refused."""

from __future__ import annotations

import numpy as np
import pytest
from operation_cases import Case, Refusal, checks_of, real, refusal_checks_of

import gradcli

CASES = [
    Case("expand", lambda torch, x: x.expand(2, 3, 4), real(3, 1), expected=lambda x: np.broadcast_to(x, (2, 3, 4))),
    Case(
        "expand keep",
        lambda torch, x: x.expand(4, -1, -1),
        real(1, 2, 3),
        expected=lambda x: np.broadcast_to(x, (4, 2, 3)),
    ),
    Case("expand to its shape", lambda torch, x: x.expand(size=(1, 2, 3)), real(2, 3), expected=lambda x: x[None]),
    Case("expand to empty", lambda torch, x: x.expand(0, 3), real(1, 3), expected=lambda x: np.broadcast_to(x, (0, 3))),
    Case("expand empty", lambda torch, x: x.expand(2, -1), real(0), expected=lambda x: np.broadcast_to(x, (2, 0))),
    Case("expand 0-d", lambda torch, x: x.expand(2, 3), real(), expected=lambda x: np.broadcast_to(x, (2, 3))),
    Case("expand 0-d to itself", lambda torch, x: x.expand(()), real(), expected=np.copy),
    Case("expand_as", lambda torch, x, y: x.expand_as(y) * y, real(3), real(2, 3), expected=np.multiply),
    Case(
        "broadcast_to",
        lambda torch, x: torch.broadcast_to(x, (2, 3)),
        real(3),
        expected=lambda x: np.broadcast_to(x, (2, 3)),
    ),
    Case(
        "broadcast_to method",
        lambda torch, x: x.broadcast_to(2, -1),
        real(1, 3),
        expected=lambda x: np.broadcast_to(x, (2, 3)),
    ),
]

REFUSALS = [
    Refusal("expand", lambda torch: torch.ones(2).expand(3), RuntimeError, "expanded size"),
    Refusal("expand to nothing", lambda torch: torch.ones(2).expand(0), RuntimeError, "expanded size"),
    Refusal("expand fewer dims", lambda torch: torch.ones(2, 3).expand(3), RuntimeError, "number of sizes provided"),
    Refusal("expand new dim by -1", lambda torch: torch.ones(2).expand(-1, 2), RuntimeError, "leading"),
    Refusal("expand negative", lambda torch: torch.ones(2).expand(-2, 2), RuntimeError, "-2"),
    Refusal("expand without sizes", lambda torch: torch.ones(2).expand(), TypeError, "size"),
    Refusal("broadcast_to a number", lambda torch: torch.broadcast_to(torch.ones(1), 2), TypeError, "tuple of ints"),
    Refusal("broadcast_to", lambda torch: torch.broadcast_to(torch.ones(2), (2, 3)), RuntimeError, "expanded size"),
]


@pytest.mark.parametrize(("check", "case"), checks_of(CASES))
def test_operation(check, case):
    check(case)


@pytest.mark.parametrize(("check", "refusal"), refusal_checks_of(REFUSALS))
def test_refusal(check, refusal):
    check(refusal)


@pytest.mark.parametrize("shape", [(2, 2, 3), (1, 2, 3), (2, 3)])
def test_results_share_memory(shape):
    x = gradcli.ones(2, 3)
    assert np.shares_memory(x.expand(shape).array, x.array)


def test_where_nothing_is_repeated_the_memory_can_be_written_through():
    x = gradcli.ones(2, 3)
    assert x.expand(1, 2, 3).array.flags.writeable
    assert not x.expand(2, 2, 3).array.flags.writeable
