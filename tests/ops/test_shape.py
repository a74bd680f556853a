"""Same elements in other shapes: values, views, gradients, inferred sizes, and what is refused."""

from __future__ import annotations

import numpy as np
import pytest
from operation_cases import Case, Refusal, channels_last, checks_of, integers, real, refusal_checks_of, transposed

import gradcli

CASES = [
    Case("reshape", lambda torch, x: x.reshape(3, 2), real(2, 3), expected=lambda x: x.reshape(3, 2)),
    Case(
        "reshape sequence", lambda torch, x: torch.reshape(x, (6, -1)), real(2, 3), expected=lambda x: x.reshape(6, 1)
    ),
    Case("reshape by name", lambda torch, x: x.reshape(shape=[6]), real(2, 3), expected=np.ravel),
    Case("reshape to 0-d", lambda torch, x: x.reshape(()), real(1, 1), expected=lambda x: x.reshape(())),
    Case("reshape empty", lambda torch, x: x.reshape(3, 0), real(0, 3), expected=lambda x: x.reshape(3, 0)),
    Case("reshape empty inferred", lambda torch, x: x.reshape(-1, 5), real(0, 3), expected=lambda x: np.zeros((0, 5))),
    Case(
        "reshape transposed",
        lambda torch, x: x.reshape(-1),
        transposed(real(2, 3)),
        expected=np.ravel,
        graph_differs="PyTorch copies first, in a node of its own",
    ),
    Case(
        "reshape_as",
        lambda torch, x, y: x.reshape_as(y) * y,
        real(6),
        real(2, 3),
        expected=lambda x, y: x.reshape(2, 3) * y,
    ),
    Case("view", lambda torch, x: x.view(2, 1, -1), real(2, 3), expected=lambda x: x.reshape(2, 1, 3)),
    Case("view by name", lambda torch, x: x.view(size=(6,)), real(2, 3), expected=np.ravel),
    Case(
        "view_as", lambda torch, x, y: x.view_as(y) * y, real(6), real(2, 3), expected=lambda x, y: x.reshape(2, 3) * y
    ),
    Case(
        "view as another type",
        lambda torch, x: x.view(torch.int32),
        integers(9, 2, 3),
        expected=lambda x: x.view(np.int32),
        differentiable=False,
    ),
    Case("flatten", lambda torch, x: torch.flatten(x, 1), real(2, 3, 4), expected=lambda x: x.reshape(2, 12)),
    Case(
        "flatten middle", lambda torch, x: x.flatten(-3, -2), real(2, 3, 4, 5), expected=lambda x: x.reshape(2, 12, 5)
    ),
    Case("flatten all", lambda torch, x: x.flatten(), real(2, 3), expected=np.ravel),
    Case("flatten one dim", lambda torch, x: x.flatten(1, 1) * 2, real(2, 3), expected=lambda x: 2 * x),
    Case("flatten 0-d", lambda torch, x: x.flatten(), real(), expected=np.ravel),
    Case("ravel", lambda torch, x: torch.ravel(x), real(2, 3), expected=np.ravel),
    Case("ravel transposed", lambda torch, x: x.ravel(), transposed(real(2, 3)), expected=np.ravel),
    Case("ravel channels-last", lambda torch, x: x.ravel(), channels_last(real(1, 2, 2, 3)), expected=np.ravel),
    Case("ravel empty", lambda torch, x: x.ravel(), real(0, 3), expected=np.ravel),
    Case(
        "unflatten", lambda torch, x: torch.unflatten(x, 1, (2, 3)), real(2, 6), expected=lambda x: x.reshape(2, 2, 3)
    ),
    Case(
        "unflatten inferred",
        lambda torch, x: x.unflatten(dim=-2, sizes=[3, -1]),
        real(6, 2),
        expected=lambda x: x.reshape(3, 2, 2),
    ),
    Case(
        "unflatten empty", lambda torch, x: x.unflatten(1, (-1, 3)), real(2, 0), expected=lambda x: np.zeros((2, 0, 3))
    ),
    *[
        Case(
            f"unsqueeze {dim}",
            lambda torch, x, d=dim: torch.unsqueeze(x, d),
            real(2, 3),
            expected=lambda x, d=dim: np.expand_dims(x, d),
        )
        for dim in (0, 1, 2, -1, -3)
    ],
    Case("unsqueeze 0-d", lambda torch, x: x.unsqueeze(-1), real(), expected=np.ravel),
    Case(
        "unsqueeze transposed", lambda torch, x: x.unsqueeze(1), transposed(real(2, 3)), expected=lambda x: x[:, None]
    ),
    Case("squeeze", lambda torch, x: torch.squeeze(x), real(1, 2, 1), expected=np.squeeze),
    Case("squeeze dim", lambda torch, x: x.squeeze(-1), real(1, 2, 1), expected=lambda x: x[..., 0]),
    Case("squeeze nothing", lambda torch, x: x.squeeze(1), real(1, 2, 1), expected=np.copy),
    Case("squeeze dims", lambda torch, x: x.squeeze((0, 1)), real(1, 2, 1), expected=lambda x: x[0]),
    Case("squeeze dims one by one", lambda torch, x: x.squeeze(0, -1), real(1, 2, 1), expected=lambda x: x[0, :, 0]),
    Case("squeeze dims by name", lambda torch, x: torch.squeeze(x, dim=[0]), real(1, 2, 1), expected=lambda x: x[0]),
    Case("squeeze no dims", lambda torch, x: x.squeeze(()), real(1, 2, 1), expected=np.copy),
    Case("squeeze 0-d", lambda torch, x: x.squeeze(0), real(), expected=np.copy),
    Case("squeeze dims of 0-d", lambda torch, x: x.squeeze((0,)), real(), expected=np.copy),
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
    Refusal("reshape ambiguous", lambda torch: torch.ones(0, 3).reshape(-1, 0), RuntimeError, "ambiguous"),
    Refusal(
        "reshape to a wrong 0-d", lambda torch: torch.ones(2).reshape(()), RuntimeError, r"shape '\[\]' is invalid"
    ),
    Refusal("reshape by floats", lambda torch: torch.ones(2, 3).reshape(3.0, 2), TypeError, "3.0|float"),
    Refusal("reshape by text", lambda torch: torch.ones(2, 3).reshape("6"), TypeError, "str"),
    Refusal("reshape by numbers", lambda torch: torch.reshape(torch.ones(2, 3), 3, 2), TypeError, "reshape"),
    Refusal("reshape by a number", lambda torch: torch.reshape(torch.ones(2, 3), 6), TypeError, "tuple of ints"),
    Refusal("reshape without shape", lambda torch: torch.ones(1).reshape(), TypeError, "shape"),
    Refusal("view negative", lambda torch: torch.ones(2, 3).view(-2, 3), RuntimeError, "invalid shape dimension -2 at"),
    Refusal("view by floats", lambda torch: torch.ones(2, 3).view(3.0, 2), TypeError, "3.0"),
    Refusal("view without shape", lambda torch: torch.ones(1).view(), TypeError, "shape"),
    Refusal("view of 0-d as bits", lambda torch: torch.tensor(1.0).view(torch.uint8), RuntimeError, "cannot be 0"),
    Refusal("view of a few as wider", lambda torch: torch.ones(3).view(torch.int64), RuntimeError, "divisible by 2"),
    Refusal("view of steps as wider", lambda torch: torch.ones(4)[::2].view(torch.int64), RuntimeError, "but got 2"),
    Refusal("view_as", lambda torch: torch.ones(2).view_as(torch.ones(3)), RuntimeError, "size 2"),
    Refusal("flatten", lambda torch: torch.ones(2, 3).flatten(1, 0), RuntimeError, "start_dim"),
    Refusal("flatten dim", lambda torch: torch.ones(2, 3).flatten(2), IndexError, "but got 2"),
    Refusal("unflatten", lambda torch: torch.ones(2, 3).unflatten(1, (2, 2)), RuntimeError, "multiply up"),
    Refusal("unflatten inferred", lambda torch: torch.ones(2, 3).unflatten(1, (-1, 2)), RuntimeError, "multiply up"),
    Refusal("unflatten twice", lambda torch: torch.ones(2, 3).unflatten(1, (-1, -1)), RuntimeError, "unflatten"),
    Refusal("unflatten negative", lambda torch: torch.ones(6).unflatten(0, (-2, -3)), RuntimeError, "unflatten"),
    Refusal("unflatten to nothing", lambda torch: torch.ones(2, 3).unflatten(1, ()), RuntimeError, "non-empty"),
    Refusal("unflatten by a number", lambda torch: torch.ones(2, 3).unflatten(1, 3), TypeError, "tuple of ints"),
    Refusal("unflatten dim", lambda torch: torch.ones(2, 3).unflatten(2, (3,)), IndexError, "but got 2"),
    Refusal("unflatten 0-d", lambda torch: torch.tensor(1.0).unflatten(0, (1,)), RuntimeError, "0-d"),
    Refusal("unsqueeze", lambda torch: torch.ones(2).unsqueeze(2), IndexError, "but got 2"),
    Refusal("squeeze", lambda torch: torch.ones(2).squeeze(1), IndexError, "but got 1"),
    Refusal("squeeze twice", lambda torch: torch.ones(1, 2).squeeze((0, -2)), RuntimeError, "multiple times"),
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
        lambda x: x.view(gradcli.int32),
        lambda x: x.ravel(),
        lambda x: x.unsqueeze(0),
        lambda x: x.flatten(),
        lambda x: x.unflatten(1, (1, 3)),
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


def test_flatten_of_a_single_dim_is_the_tensor_itself():
    x = gradcli.ones(2, 3)
    assert x.flatten(1) is x


def test_a_view_is_possible_whatever_the_memory_layout():
    # PyTorch refuses this; here the memory layout is an inner matter, and activations may be channels-last.
    assert gradcli.arange(6).reshape(2, 3).t().view(-1).tolist() == [0, 3, 1, 4, 2, 5]


def test_a_view_as_another_type_reads_the_same_bits():
    x = gradcli.tensor([1.0, -2.0])
    assert x.view(gradcli.int32).tolist() == [0x3F800000, -0x40000000]
    assert x.view(dtype=gradcli.int32).view(gradcli.float32).tolist() == [1.0, -2.0]
    assert x.view(gradcli.float64).shape == (1,)
