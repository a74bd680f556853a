"""Dims in another order: values, views, gradients, negative and missing dims, and what is refused."""

from __future__ import annotations

import numpy as np
import pytest
from operation_cases import Case, Refusal, checks_of, real, refusal_checks_of, strided

import gradcli

CASES = [
    Case(
        "permute", lambda torch, x: torch.permute(x, (2, 0, 1)), real(2, 3, 4), expected=lambda x: x.transpose(2, 0, 1)
    ),
    Case(
        "permute negative",
        lambda torch, x: x.permute(-1, 0, -2),
        real(2, 3, 4),
        expected=lambda x: x.transpose(2, 0, 1),
    ),
    Case("permute by name", lambda torch, x: x.permute(dims=[1, 0]), real(2, 3), expected=np.transpose),
    Case("permute 0-d", lambda torch, x: x.permute(()), real(), expected=np.copy),
    Case("permute empty", lambda torch, x: x.permute(1, 0), real(0, 3), expected=np.transpose),
    Case("transpose", lambda torch, x: torch.transpose(x, 0, -1), real(2, 3, 4), expected=lambda x: x.swapaxes(0, 2)),
    Case("transpose strided", lambda torch, x: x.transpose(1, 0), strided(real(2, 3)), expected=np.transpose),
    Case("transpose 0-d", lambda torch, x: x.transpose(0, -1), real(), expected=np.copy),
    Case("swapaxes", lambda torch, x: torch.swapaxes(x, axis0=0, axis1=1), real(2, 3), expected=np.transpose),
    Case("swapdims", lambda torch, x: x.swapdims(dim0=0, dim1=1), real(2, 3), expected=np.transpose),
    Case("t", lambda torch, x: torch.t(x), real(2, 3), expected=np.transpose),
    Case("t of a vector", lambda torch, x: x.t(), real(3), expected=np.copy),
    Case("T", lambda torch, x: x.T, real(2, 3), expected=np.transpose),
    Case("H", lambda torch, x: x.H, real(2, 3), expected=np.transpose),
    Case("mT", lambda torch, x: x.mT, real(2, 3, 4), expected=lambda x: x.swapaxes(1, 2)),
    Case("mH", lambda torch, x: x.mH, real(2, 3, 4), expected=lambda x: x.swapaxes(1, 2)),
    Case("adjoint", lambda torch, x: torch.adjoint(x), real(2, 3, 4), expected=lambda x: x.swapaxes(1, 2)),
    *[
        Case(
            f"movedim {source} to {destination}",
            lambda torch, x, s=source, d=destination: torch.movedim(x, s, d),
            real(2, 3, 4),
            expected=lambda x, s=source, d=destination: np.moveaxis(x, s, d),
        )
        for source, destination in [(0, 1), (0, -1), (-1, 0), ((0, 1), (1, 2)), ([0, -1], [-1, 0]), ((), ())]
    ],
    Case("movedim method", lambda torch, x: x.movedim(0, 1), real(2, 3), expected=np.transpose),
    Case("moveaxis", lambda torch, x: x.moveaxis(source=0, destination=1), real(2, 3), expected=np.transpose),
]

REFUSALS = [
    Refusal("permute count", lambda torch: torch.ones(2, 3).permute(0), RuntimeError, "permute"),
    Refusal("permute twice", lambda torch: torch.ones(2, 3).permute(0, 0), RuntimeError, "multiple|duplicate"),
    Refusal("permute dim", lambda torch: torch.ones(2, 3).permute(0, 2), IndexError, "but got 2"),
    Refusal("permute by numbers", lambda torch: torch.permute(torch.ones(2, 3), 1, 0), TypeError, "permute"),
    Refusal(
        "permute a number", lambda torch: torch.permute(torch.ones(2), 0), TypeError, "'dims' must be tuple of ints"
    ),
    Refusal("permute nothing", lambda torch: torch.ones(2).permute(), TypeError, "dims"),
    Refusal("transpose", lambda torch: torch.ones(2, 3).transpose(0, 2), IndexError, "but got 2"),
    Refusal("transpose 0-d", lambda torch: torch.tensor(1.0).transpose(0, 1), IndexError, "but got 1"),
    Refusal("t", lambda torch: torch.ones(2, 3, 4).t(), RuntimeError, "3D"),
    Refusal("mT", lambda torch: torch.ones(2).mT, RuntimeError, "mT.*1-D"),
    Refusal("mH", lambda torch: torch.ones(2).mH, RuntimeError, "mH.*1-D"),
    Refusal("H", lambda torch: torch.ones(2).H, RuntimeError, "H.*1-D"),
    Refusal("adjoint", lambda torch: torch.ones(2).adjoint(), RuntimeError, "adjoint.*1-D"),
    Refusal("movedim dim", lambda torch: torch.ones(2, 3).movedim(0, 2), IndexError, "but got 2"),
    Refusal("movedim count", lambda torch: torch.ones(2, 3).movedim((0, 1), (0,)), RuntimeError, "same number"),
    Refusal("movedim source", lambda torch: torch.ones(2, 3).movedim((0, 0), (0, 1)), RuntimeError, "in `source`"),
    Refusal("movedim target", lambda torch: torch.ones(2, 3).movedim((0, 1), (1, 1)), RuntimeError, "in `destination`"),
    Refusal("movedim kinds", lambda torch: torch.ones(2, 3).movedim(0, (1,)), TypeError, "movedim"),
]


@pytest.mark.parametrize(("check", "case"), checks_of(CASES))
def test_operation(check, case):
    check(case)


@pytest.mark.parametrize(("check", "refusal"), refusal_checks_of(REFUSALS))
def test_refusal(check, refusal):
    check(refusal)


@pytest.mark.parametrize(
    "view",
    [
        lambda x: x.t(),
        lambda x: x.permute(1, 0),
        lambda x: x.transpose(0, 1),
        lambda x: x.movedim(0, 1),
        lambda x: x.T,
        lambda x: x.mT,
    ],
)
def test_views_share_memory(view):
    x = gradcli.ones(2, 3)
    assert np.shares_memory(view(x).array, x.array)


@pytest.mark.parametrize("name", ["mT", "mH", "H"])
def test_a_0d_tensor_is_its_own_transpose(name):
    x = gradcli.tensor(2.0)
    assert getattr(x, name) is x
