"""Operations in place that are refused: of leaves, and results whose shape or type does not fit."""

from __future__ import annotations

import numpy as np
import pytest
from programs import Programs

import gradcli

programs = Programs()


def leaf(torch, *values):
    return torch.tensor(values or (1.0, 2.0, 3.0), requires_grad=True)


# --- refusals ---------------------------------------------------------------------------------------------------------

OF_A_LEAF = "a leaf Variable that requires grad is being used in an in-place operation"
OF_A_VIEW = "a view of a leaf Variable that requires grad is being used in an in-place operation"


def assign(x, key, value):
    x[key] = value


def augment(x):
    x += 1


programs.refusals(
    {
        "leaf: mul_": (lambda torch: leaf(torch).mul_(2), RuntimeError, OF_A_LEAF),
        "leaf: +=": (lambda torch: augment(leaf(torch)), RuntimeError, OF_A_LEAF),
        "leaf: copy_": (lambda torch: leaf(torch).copy_(torch.ones(3)), RuntimeError, OF_A_LEAF),
        "leaf: zero_": (lambda torch: leaf(torch).zero_(), RuntimeError, OF_A_LEAF),
        "leaf: fill_": (lambda torch: leaf(torch).fill_(1), RuntimeError, OF_A_LEAF),
        "leaf: exp_": (lambda torch: leaf(torch).exp_(), RuntimeError, OF_A_LEAF),
        "leaf: assignment": (lambda torch: assign(leaf(torch), 0, 1.0), RuntimeError, OF_A_VIEW),
        "leaf: assignment by mask": (
            lambda torch: assign(leaf(torch), torch.tensor([True, False, True]), 1.0),
            RuntimeError,
            OF_A_LEAF,
        ),
        "leaf: view": (lambda torch: leaf(torch)[0].mul_(2), RuntimeError, OF_A_VIEW),
        "leaf: view of a view": (lambda torch: leaf(torch)[1:][0].mul_(2), RuntimeError, OF_A_VIEW),
        "leaf: operand requires grad": (lambda torch: leaf(torch).mul_(leaf(torch)), RuntimeError, OF_A_LEAF),
        "shape: mul_": (
            lambda torch: torch.ones(2).mul_(torch.ones(3, 2)),
            RuntimeError,
            r"output with shape \[2\] doesn't match the broadcast shape \[3, 2\]",
        ),
        "shape: recorded": (
            lambda torch: (leaf(torch)[:1] * 1).add_(torch.ones(2, 1)),
            RuntimeError,
            r"output with shape \[1\] doesn't match the broadcast shape \[2, 1\]",
        ),
        "shape: incompatible": (lambda torch: torch.ones(2).add_(torch.ones(3)), RuntimeError, r"2.*3"),
        "shape: copy_": (lambda torch: torch.ones(2).copy_(torch.ones(3)), RuntimeError, r"3.*2|2.*3"),
        "type: integers times a half": (
            lambda torch: torch.ones(2, dtype=torch.int64).mul_(0.5),
            RuntimeError,
            "result type Float can't be cast to the desired output type Long",
        ),
        "type: integers plus floats": (
            lambda torch: torch.ones(2, dtype=torch.int64).add_(torch.ones(2)),
            RuntimeError,
            "result type Float can't be cast to the desired output type Long",
        ),
        "type: integers divided": (
            lambda torch: torch.ones(2, dtype=torch.int64).div_(2),
            RuntimeError,
            "result type Float can't be cast to the desired output type Long",
        ),
        "type: truth values plus integers": (
            lambda torch: torch.ones(2, dtype=torch.bool).add_(torch.ones(2, dtype=torch.int64)),
            RuntimeError,
            "result type Long can't be cast to the desired output type Bool",
        ),
        "fill_ with many": (
            lambda torch: torch.ones(2).fill_(torch.ones(2)),
            RuntimeError,
            "fill_ only supports 0-dimension value tensor but got tensor with 1 dimensions",
        ),
        "requires_grad_ of a non-leaf": (
            lambda torch: (leaf(torch) * 1).requires_grad_(False),
            RuntimeError,
            "you can only change requires_grad flags of leaf variables",
        ),
        "requires_grad_ of integers": (
            lambda torch: torch.ones(2, dtype=torch.int64).requires_grad_(),
            RuntimeError,
            "only Tensors of floating point",
        ),
    }
)


@programs.gives([[True, True, True], [1.0, 2.0, 3.0], [2.0, 4.0, 6.0], True, 0, 0])
def a_refused_change_leaves_everything(torch):
    x = leaf(torch)
    y = x * 2
    before = y.grad_fn
    errors = []
    for change in (lambda: x.mul_(2), lambda: y.mul_(torch.ones(2, 3)), lambda: y.copy_(torch.ones(2))):
        try:
            change()
        except RuntimeError:
            errors.append(True)
    return errors, x, y, y.grad_fn is before, x._version, y._version


def test_read_only_memory_is_not_written():
    array = np.arange(3.0)
    array.flags.writeable = False
    x = gradcli.from_numpy(array)
    for change in (lambda: x.add_(1), lambda: x[1:].zero_()):
        with pytest.raises(RuntimeError, match=r"read-only; clone\(\) the tensor"):
            change()
    assert array.tolist() == [0.0, 1.0, 2.0]
    assert x.clone().add_(1).tolist() == [1.0, 2.0, 3.0]


@programs.each
def test_program(program):
    program.check(gradcli)


@pytest.mark.parity
@programs.each
def test_parity(program):
    program.check(pytest.importorskip("torch"))
