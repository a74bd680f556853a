"""Same elements in other shapes: values, views, gradients, negative and missing dims, and what is refused."""

from __future__ import annotations

import numpy as np
import pytest
from operation_cases import Case, Refusal, checks_of, real, refusal_checks_of, strided, transposed

import gradcli

CASES = [
    Case("reshape", lambda torch, x: x.reshape(3, 2), real(2, 3), expected=lambda x: x.reshape(3, 2)),
    Case(
        "reshape sequence", lambda torch, x: torch.reshape(x, (6, -1)), real(2, 3), expected=lambda x: x.reshape(6, 1)
    ),
    Case("reshape to 0-d", lambda torch, x: x.reshape(()), real(1, 1), expected=lambda x: x.reshape(())),
    Case("reshape empty", lambda torch, x: x.reshape(3, 0), real(0, 3), expected=lambda x: x.reshape(3, 0)),
    Case(
        "reshape transposed",
        lambda torch, x: x.reshape(-1),
        transposed(real(2, 3)),
        expected=np.ravel,
        graph_differs="PyTorch copies first, in a node of its own",
    ),
    Case("view", lambda torch, x: x.view(2, 1, -1), real(2, 3), expected=lambda x: x.reshape(2, 1, 3)),
    Case("flatten", lambda torch, x: torch.flatten(x, 1), real(2, 3, 4), expected=lambda x: x.reshape(2, 12)),
    Case(
        "flatten middle", lambda torch, x: x.flatten(-3, -2), real(2, 3, 4, 5), expected=lambda x: x.reshape(2, 12, 5)
    ),
    Case("flatten all", lambda torch, x: x.flatten(), real(2, 3), expected=np.ravel),
    Case("flatten 0-d", lambda torch, x: x.flatten(), real(), expected=np.ravel),
    Case(
        "permute", lambda torch, x: torch.permute(x, (2, 0, 1)), real(2, 3, 4), expected=lambda x: x.transpose(2, 0, 1)
    ),
    Case(
        "permute negative",
        lambda torch, x: x.permute(-1, 0, -2),
        real(2, 3, 4),
        expected=lambda x: x.transpose(2, 0, 1),
    ),
    Case("transpose", lambda torch, x: torch.transpose(x, 0, -1), real(2, 3, 4), expected=lambda x: x.swapaxes(0, 2)),
    Case("transpose strided", lambda torch, x: x.transpose(1, 0), strided(real(2, 3)), expected=np.transpose),
    Case("t", lambda torch, x: torch.t(x), real(2, 3), expected=np.transpose),
    Case("t of a vector", lambda torch, x: x.t(), real(3), expected=np.copy),
    Case("T", lambda torch, x: x.T, real(2, 3), expected=np.transpose),
    Case("mT", lambda torch, x: x.mT, real(2, 3, 4), expected=lambda x: x.swapaxes(1, 2)),
    *[
        Case(
            f"unsqueeze {dim}",
            lambda torch, x, d=dim: torch.unsqueeze(x, d),
            real(2, 3),
            expected=lambda x, d=dim: np.expand_dims(x, d),
        )
        for dim in (0, 1, 2, -1, -3)
    ],
    Case("squeeze", lambda torch, x: torch.squeeze(x), real(1, 2, 1), expected=np.squeeze),
    Case("squeeze dim", lambda torch, x: x.squeeze(-1), real(1, 2, 1), expected=lambda x: x[..., 0]),
    Case("squeeze nothing", lambda torch, x: x.squeeze(1), real(1, 2, 1), expected=np.copy),
    Case("squeeze dims", lambda torch, x: x.squeeze((0, 1)), real(1, 2, 1), expected=lambda x: x[0]),
    Case("squeeze 0-d", lambda torch, x: x.squeeze(0), real(), expected=np.copy),
    Case("expand", lambda torch, x: x.expand(2, 3, 4), real(3, 1), expected=lambda x: np.broadcast_to(x, (2, 3, 4))),
    Case(
        "expand keep",
        lambda torch, x: x.expand(4, -1, -1),
        real(1, 2, 3),
        expected=lambda x: np.broadcast_to(x, (4, 2, 3)),
    ),
    Case("expand to empty", lambda torch, x: x.expand(0, 3), real(1, 3), expected=lambda x: np.broadcast_to(x, (0, 3))),
    Case("expand_as", lambda torch, x, y: x.expand_as(y) * y, real(3), real(2, 3), expected=np.multiply),
    Case(
        "broadcast_to",
        lambda torch, x: torch.broadcast_to(x, (2, 3)),
        real(3),
        expected=lambda x: np.broadcast_to(x, (2, 3)),
    ),
    Case("contiguous", lambda torch, x: x.t().contiguous(), real(2, 3), expected=np.transpose),
    Case("contiguous already", lambda torch, x: x.contiguous() * 2, real(2, 3), expected=lambda x: 2 * x),
]

REFUSALS = [
    Refusal(
        "reshape",
        lambda torch: torch.ones(2, 3).reshape(4, 2),
        RuntimeError,
        r"shape '\[4, 2\]' is invalid for input of size 6",
    ),
    Refusal("reshape unknown", lambda torch: torch.ones(2, 3).reshape(-1, -1), RuntimeError, "only one dim"),
    Refusal("view negative", lambda torch: torch.ones(2, 3).view(-2, 3), RuntimeError, "invalid shape dimension -2"),
    Refusal("reshape by floats", lambda torch: torch.ones(2, 3).reshape(3.0, 2), TypeError, "3.0|float"),
    Refusal("flatten", lambda torch: torch.ones(2, 3).flatten(1, 0), RuntimeError, "start_dim"),
    Refusal("flatten dim", lambda torch: torch.ones(2, 3).flatten(2), IndexError, "but got 2"),
    Refusal("permute count", lambda torch: torch.ones(2, 3).permute(0), RuntimeError, "permute"),
    Refusal("permute twice", lambda torch: torch.ones(2, 3).permute(0, 0), RuntimeError, "multiple|duplicate"),
    Refusal("transpose", lambda torch: torch.ones(2, 3).transpose(0, 2), IndexError, "but got 2"),
    Refusal("t", lambda torch: torch.ones(2, 3, 4).t(), RuntimeError, "3D"),
    Refusal("mT", lambda torch: torch.ones(2).mT, RuntimeError, "mT.*1-D"),
    Refusal("unsqueeze", lambda torch: torch.ones(2).unsqueeze(2), IndexError, "but got 2"),
    Refusal("squeeze", lambda torch: torch.ones(2).squeeze(1), IndexError, "but got 1"),
    Refusal("expand", lambda torch: torch.ones(2).expand(3), RuntimeError, "expanded size"),
    Refusal("expand fewer dims", lambda torch: torch.ones(2, 3).expand(3), RuntimeError, "expand|number of sizes"),
    Refusal("expand new dim by -1", lambda torch: torch.ones(2).expand(-1, 2), RuntimeError, "leading"),
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
        lambda x: x.view(6),
        lambda x: x.t(),
        lambda x: x.permute(1, 0),
        lambda x: x.transpose(0, 1),
        lambda x: x.unsqueeze(0),
        lambda x: x.flatten(),
        lambda x: x.expand(2, 2, 3),
        lambda x: x.contiguous(),
        lambda x: x[0],
        lambda x: x[:, 1:],
    ],
)
def test_views_share_memory(view):
    x = gradcli.ones(2, 3)
    assert np.shares_memory(view(x).array, x.array)


def test_contiguous_copies_only_what_is_not():
    x = gradcli.ones(2, 3)
    assert x.contiguous() is x
    assert x.t().contiguous().array.flags.c_contiguous


def test_a_view_is_possible_whatever_the_memory_layout():
    # PyTorch refuses this; here the memory layout is an inner matter, and activations may be channels-last.
    assert gradcli.arange(6).reshape(2, 3).t().view(-1).tolist() == [0, 3, 1, 4, 2, 5]
