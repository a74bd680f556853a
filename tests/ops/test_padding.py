"""Padding: every mode against NumPy's, cropping, gradients of both orders, and what is refused."""

from __future__ import annotations

import numpy as np
import pytest
from operation_cases import Case, Refusal, channels_last, checks_of, real, refusal_checks_of, strided, transposed

import gradcli
from gradcli.nn import functional

NUMPY_MODES = {"constant": "constant", "reflect": "reflect", "replicate": "edge", "circular": "wrap"}

#     name, input, amounts
AMOUNTS = [
    ("last dim", real(2, 3, 5), (2, 1)),
    ("unbatched", real(3, 5), (0, 3)),
    ("two dims", real(2, 3, 5, 4), (2, 1, 0, 3)),
    ("two dims unbatched", strided(real(3, 5, 4)), (1, 1, 2, 2)),
    ("three dims", real(1, 2, 3, 4, 5), (1, 2, 2, 1, 0, 1)),
    ("three dims unbatched", transposed(real(2, 3, 4, 5)), (1, 0, 2, 1, 1, 2)),
    ("cropped", real(2, 3, 5), (-2, 3)),
    ("cropped on both sides", real(2, 3, 5, 4), (-2, -1, 1, -2)),
    ("untouched", real(2, 3, 5), (0, 0)),
    ("empty batch", real(0, 3, 5), (1, 1)),
    ("channels last", channels_last(real(2, 3, 5, 4)), (1, 2, 3, 0)),
]


def padded(x, amounts, mode):
    pairs = [(0, 0)] * (x.ndim - len(amounts) // 2) + list(zip(amounts[-2::-2], amounts[::-2], strict=True))
    if mode == "circular":  # what is cropped doesn't come in again
        x = x[tuple(slice(max(-a, 0), size + min(b, 0)) for (a, b), size in zip(pairs, x.shape, strict=True))]
        pairs = [(max(a, 0), max(b, 0)) for a, b in pairs]
    grown = np.pad(x, [(max(a, 0), max(b, 0)) for a, b in pairs], mode=NUMPY_MODES[mode])
    return grown[tuple(slice(max(-a, 0), size + min(b, 0)) for (a, b), size in zip(pairs, grown.shape, strict=True))]


CASES = [
    *[
        Case(
            f"{mode} {name}",
            lambda torch, x, a=amounts, m=mode: torch.nn.functional.pad(x, a, m),
            draw,
            expected=lambda x, a=amounts, m=mode: padded(x, a, m) if x.size else np.zeros((0, 3, 7)),
            graph_differs="PyTorch copies slices, gradcli records one node" if mode == "circular" else None,
        )
        for mode in NUMPY_MODES
        for name, draw, amounts in AMOUNTS
        if not (mode == "reflect" and name == "cropped")
    ],
    Case(
        "reflect after cropping",
        lambda torch, x: torch.nn.functional.pad(x, (-1, 4), "reflect"),
        real(2, 3, 5),
        expected=lambda x: x[..., [1, 2, 3, 4, 3, 2, 1, 0]],
    ),
    Case(
        "more than there is of the edge",
        lambda torch, x: torch.nn.functional.pad(x, (7, -6), "replicate"),
        real(1, 2, 3),
        expected=lambda x: x[..., [0, 0, 0, 0]],
    ),
    Case(
        "constant value",
        lambda torch, x: torch.nn.functional.pad(x, (1, 0), value=2.5),
        real(3),
        expected=lambda x: np.concatenate([[2.5], x]),
    ),
    Case(
        "constant all dims",
        lambda torch, x: torch.nn.functional.pad(x, [1, 1, 0, 2, 3, 0]),
        real(2, 1, 3),
        expected=lambda x: np.pad(x, ((3, 0), (0, 2), (1, 1))),
    ),
    Case("no amounts", lambda torch, x: torch.nn.functional.pad(x, ()), real(2, 3), expected=np.copy),
    Case(
        "constant around nothing",
        lambda torch, x: torch.nn.functional.pad(x, (1, 1)),
        real(2, 0),
        expected=lambda x: np.zeros((2, 2)),
    ),
    Case(
        "everything cropped",
        lambda torch, x: torch.nn.functional.pad(x, (-3, 0)),
        real(2, 3),
        expected=lambda x: x[:, :0],
    ),
    Case(
        "integers",
        lambda torch, x: torch.nn.functional.pad(x, (1, 1), value=1.5),
        lambda generator: np.arange(3),
        expected=lambda x: np.array([1, 0, 1, 2, 1]),
        differentiable=False,
    ),
]


def refuse(name, shape, amounts, error, message, mode="constant", value=None, dtype="float32"):
    return Refusal(
        name,
        lambda torch: torch.nn.functional.pad(torch.ones(shape, dtype=getattr(torch, dtype)), amounts, mode, value),
        error,
        message,
    )


REFUSALS = [
    refuse("odd", (2, 3), (1,), RuntimeError, "divisible by 2"),
    refuse("too many", (2, 3), (1,) * 6, RuntimeError, "padding length 6 and input of dimension 2"),
    refuse("fractions", (2, 3), (1.0, 1.0), TypeError, "sequence of integers"),
    refuse("a number", (2, 3), 1.5, TypeError, "sequence of integers"),
    refuse("cropped away", (2, 3), (-2, -2), RuntimeError, "crops more"),
    refuse("unknown mode", (2, 3), (1, 1), NotImplementedError, "foo", "foo"),
    refuse("value", (2, 3), (1, 1), RuntimeError, "value argument", "reflect", 1.0),
    *[refuse(f"{m} dims", (2, 3, 4, 5), (1, 1), NotImplementedError, "4D", m) for m in ("reflect", "circular")],
    refuse("four dims", (1,) * 6, (1,) * 8, NotImplementedError, "6D", "replicate"),
    refuse("1-d", (3,), (1, 1), NotImplementedError, "1D", "replicate"),
    refuse("reflect too far", (1, 2, 3), (3, 0), RuntimeError, "at most 2", "reflect"),
    refuse("circular too far", (1, 2, 3), (0, 4), RuntimeError, "at most 3", "circular"),
    refuse("reflect all cropped", (1, 2, 3), (-2, -1), RuntimeError, "crops all", "reflect"),
    refuse("circular cropped away", (1, 2, 3), (-2, -2), RuntimeError, "crops all", "circular"),
    refuse("circular nothing left", (1, 2, 3), (2, -4), RuntimeError, "crops all", "circular"),
    refuse("no pixels", (1, 2, 0), (1, 1), RuntimeError, "only the batch", "replicate"),
    refuse("no channels", (1, 0, 3), (1, 1), RuntimeError, "only the batch", "reflect"),
    refuse("bools", (1, 2, 3), (1, 1), NotImplementedError, "bool", "reflect", None, "bool"),
]


@pytest.mark.parametrize(("check", "case"), checks_of(CASES))
def test_operation(check, case):
    check(case)


@pytest.mark.parametrize(("check", "refusal"), refusal_checks_of(REFUSALS))
def test_refusal(check, refusal):
    check(refusal)


def test_circular_pads_bools_and_keeps_the_type():
    assert functional.pad(gradcli.tensor([[True, False]]), (1, 0), "circular").tolist() == [[False, True, False]]
