"""Tensors joined: values, gradients for each, mixed types, empty tensors, and what is refused."""

from __future__ import annotations

import gc

import numpy as np
import pytest
from operation_cases import Case, Refusal, checks_of, integers, real, refusal_checks_of

import gradcli
from gradcli.autograd.operation import Operation

CASES = [
    Case(
        "cat",
        lambda torch, x, y: torch.cat((x, y)),
        real(2, 3),
        real(1, 3),
        expected=lambda x, y: np.concatenate((x, y)),
    ),
    Case(
        "cat three along the last dim",
        lambda torch, x, y, z: torch.cat([x, y, z], dim=-1),
        real(2, 3),
        real(2, 1),
        real(2, 2),
        expected=lambda x, y, z: np.concatenate((x, y, z), 1),
    ),
    Case("cat one", lambda torch, x: torch.cat([x], 1), real(2, 3), expected=np.copy),
    Case(
        "cat with itself",
        lambda torch, x: torch.cat((x, x * 2, x)),
        real(2),
        expected=lambda x: np.hstack([x, x * 2, x]),
    ),
    Case(
        "cat with an empty vector",
        lambda torch, x, y: torch.cat((x, y), 1),
        real(0),
        real(2, 3),
        expected=lambda x, y: y,
    ),
    Case("cat empty vectors", lambda torch, x, y: torch.cat((x, y)), real(0), real(0), expected=lambda x, y: x),
    Case(
        "cat with an empty matrix",
        lambda torch, x, y: torch.cat((x, y)),
        real(0, 3),
        real(2, 3),
        expected=lambda x, y: y,
    ),
    Case(
        "cat with integers",
        lambda torch, x, y: torch.cat((x, y)),
        real(2),
        integers(9, 3),
        expected=lambda x, y: np.concatenate((x, y)),
    ),
    Case(
        "concat",
        lambda torch, x, y: torch.concat((x, y), dim=0),
        real(2),
        real(1),
        expected=lambda x, y: np.concatenate((x, y)),
    ),
    Case(
        "concatenate",
        lambda torch, x, y: torch.concatenate((x, y), dim=0),
        real(2),
        real(1),
        expected=lambda x, y: np.concatenate((x, y)),
    ),
    *[
        Case(
            f"stack {dim}",
            lambda torch, x, y, d=dim: torch.stack((x, y), d),
            real(2, 3),
            real(2, 3),
            expected=lambda x, y, d=dim: np.stack((x, y), d),
        )
        for dim in (0, 1, 2, -1, -3)
    ],
    Case("stack 0-d", lambda torch, x, y: torch.stack([x, y]), real(), real(), expected=lambda x, y: np.array([x, y])),
    Case("stack one", lambda torch, x: torch.stack([x]), real(2, 3), expected=lambda x: x[None]),
    Case(
        "stack empty", lambda torch, x: torch.stack([x, x], dim=1), real(0, 3), expected=lambda x: np.zeros((0, 2, 3))
    ),
    *[
        Case(
            f"{name} {shape}",
            lambda torch, x, y, n=name: getattr(torch, n)((x, y)),
            real(*shape),
            real(*shape),
            expected=lambda x, y, f=function: f((x, y)),
        )
        for name, function in (("hstack", np.hstack), ("vstack", np.vstack))
        for shape in ((), (2,), (2, 3), (2, 1, 3))
    ],
]

REFUSALS = [
    Refusal("cat nothing", lambda torch: torch.cat([]), ValueError, "non-empty"),
    Refusal("cat a tensor", lambda torch: torch.cat(torch.ones(2, 3)), TypeError, "tuple of Tensors, not Tensor"),
    Refusal("cat a number", lambda torch: torch.cat((torch.ones(2), 3)), TypeError, "element 1.*int"),
    Refusal("cat 0-d", lambda torch: torch.cat((torch.ones(1), torch.tensor(1.0))), RuntimeError, "position 1"),
    Refusal("cat dims", lambda torch: torch.cat((torch.ones(2), torch.ones(2, 2))), RuntimeError, "number of dim"),
    Refusal(
        "cat sizes",
        lambda torch: torch.cat((torch.ones(2, 3), torch.ones(2, 4))),
        RuntimeError,
        "Expected size 3.*size 4",
    ),
    Refusal("cat dim", lambda torch: torch.cat((torch.ones(2),), 1), IndexError, "but got 1"),
    Refusal("stack nothing", lambda torch: torch.stack([]), RuntimeError, "non-empty"),
    Refusal("stack sizes", lambda torch: torch.stack((torch.ones(2), torch.ones(3))), RuntimeError, "equal size"),
    Refusal("stack dim", lambda torch: torch.stack((torch.ones(2),), 2), IndexError, "but got 2"),
    Refusal("stack a tensor", lambda torch: torch.stack(torch.ones(2)), TypeError, "tuple of Tensors"),
    Refusal("hstack nothing", lambda torch: torch.hstack([]), RuntimeError, "non-empty"),
    Refusal(
        "hstack dims", lambda torch: torch.hstack((torch.ones(2), torch.ones(2, 2))), RuntimeError, "number of dim"
    ),
    Refusal("vstack nothing", lambda torch: torch.vstack(()), RuntimeError, "non-empty"),
    Refusal("vstack sizes", lambda torch: torch.vstack((torch.ones(2), torch.ones(3))), RuntimeError, "Sizes"),
]


@pytest.mark.parametrize(("check", "case"), checks_of(CASES))
def test_operation(check, case):
    check(case)


@pytest.mark.parametrize(("check", "refusal"), refusal_checks_of(REFUSALS))
def test_refusal(check, refusal):
    check(refusal)


@pytest.mark.parametrize("join", [gradcli.cat, gradcli.stack])
@pytest.mark.parametrize(
    ("first", "second", "expected"),
    [
        (gradcli.float32, gradcli.float64, gradcli.float64),
        (gradcli.int64, gradcli.float32, gradcli.float32),
        (gradcli.bool, gradcli.uint8, gradcli.uint8),
        (gradcli.uint8, gradcli.int8, gradcli.int16),
    ],
)
def test_types_are_promoted(join, first, second, expected):
    assert join((gradcli.ones(2, dtype=first), gradcli.ones(2, dtype=second))).dtype == expected


def test_each_gradient_has_the_type_of_its_tensor():
    single = gradcli.ones(2, requires_grad=True)
    double = gradcli.ones(2, dtype=gradcli.float64, requires_grad=True)
    (gradcli.cat((single, double)) * gradcli.arange(4)).sum().backward()
    assert (single.grad.dtype, single.grad.tolist()) == (gradcli.float32, [0, 1])
    assert (double.grad.dtype, double.grad.tolist()) == (gradcli.float64, [2, 3])


def test_a_joined_tensor_that_needs_no_gradient_gets_none():
    x, y = gradcli.ones(2, requires_grad=True), gradcli.ones(2)
    gradcli.stack((y, x)).sum().backward()
    assert y.grad is None
    assert x.grad.tolist() == [1, 1]


@pytest.mark.parametrize("name", ["cat", "stack"])
def test_hundreds_of_tensors_are_one_node(name):
    tensors = [gradcli.tensor([float(number)], requires_grad=True) for number in range(300)]
    joined = getattr(gradcli, name)(tensors)
    assert len(joined.grad_fn.next_functions) == 300
    joined.sum().backward()
    assert all(tensor.grad.tolist() == [1] for tensor in tensors)


def test_lists_of_every_length_leave_little_behind():
    x = gradcli.ones(1, requires_grad=True)
    for count in range(1, 200):
        gradcli.cat([x] * count).sum().backward()
    gc.collect()
    kept = [thing for thing in gc.get_objects() if type(thing) is Operation and thing.name == "cat"]
    assert len(kept) <= 70
