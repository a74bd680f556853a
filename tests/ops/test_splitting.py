"""Parts of tensors: values, gradients where some parts get none, uneven and empty parts, and what is refused."""

from __future__ import annotations

import numpy as np
import pytest
from operation_cases import Case, Refusal, checks_of, real, refusal_checks_of, transposed

import gradcli


def weighted(parts):
    """The parts as one tensor of three elements per part: every part has its own weight in the gradient."""
    total = parts[0].sum()
    for number, part in enumerate(parts[1:], start=2):
        total = total + (part * part).sum() * number
    return total


def expected_weighted(parts):
    return sum(((part if number == 1 else part * part) * number).sum() for number, part in enumerate(parts, start=1))


CASES = [
    *[
        Case(
            f"split by {size} along {dim}",
            lambda torch, x, s=size, d=dim: weighted(torch.split(x, s, d)),
            real(4, 5),
            expected=lambda x, s=size, d=dim: expected_weighted(np.split(x, range(s, x.shape[d], s), d)),
        )
        for size, dim in [(2, 0), (2, 1), (3, -1), (4, 0), (9, 1)]
    ],
    Case("split one of them", lambda torch, x: x.split(2)[1], real(5, 2), expected=lambda x: x[2:4]),
    Case("split the last", lambda torch, x: x.split(split_size=2, dim=1)[2], real(2, 5), expected=lambda x: x[:, 4:]),
    Case("split transposed", lambda torch, x: x.split(2)[0], transposed(real(4, 3)), expected=lambda x: x[:2]),
    Case("split empty", lambda torch, x: x.split(0)[0], real(0, 3), expected=np.copy),
    Case(
        "split with sizes",
        lambda torch, x: weighted(torch.split(x, [1, 3, 0], 1)),
        real(2, 4),
        expected=lambda x: expected_weighted([x[:, :1], x[:, 1:], x[:, 4:]]),
    ),
    Case("split_with_sizes", lambda torch, x: torch.split_with_sizes(x, (1, 2))[1], real(3), expected=lambda x: x[1:]),
    Case("split_with_sizes method", lambda torch, x: x.split_with_sizes([3], -1)[0], real(2, 3), expected=np.copy),
    *[
        Case(
            f"chunk {chunks}",
            lambda torch, x, c=chunks: weighted(torch.chunk(x, c, dim=1)),
            real(2, 6),
            expected=lambda x, c=chunks: expected_weighted(np.split(x, range(-(-6 // c), 6, -(-6 // c)), 1)),
        )
        for chunks in (1, 2, 4, 6, 9)
    ],
    Case("chunk empty", lambda torch, x: x.chunk(2)[1], real(0, 3), expected=np.copy),
    *[
        Case(
            f"unbind {dim}",
            lambda torch, x, d=dim: weighted(torch.unbind(x, d)),
            real(2, 3, 4),
            expected=lambda x, d=dim: expected_weighted(np.moveaxis(x, d, 0)),
        )
        for dim in (0, 1, -1)
    ],
    Case("unbind one of them", lambda torch, x: x.unbind()[1], real(3), expected=lambda x: x[1]),
    Case("unbind a single one", lambda torch, x: x.unbind()[0], real(1, 3), expected=lambda x: x[0]),
    *[
        Case(
            f"tensor_split {indices}",
            lambda torch, x, i=indices: weighted(torch.tensor_split(x, i, dim=1)),
            real(2, 5),
            expected=lambda x, i=indices: expected_weighted(np.array_split(x, i, 1)),
        )
        for indices in (1, 3, 7, (1, 3), [2, 2], (2, 9), (3, -1), ())
    ],
    Case(
        "tensor_split by a tensor",
        lambda torch, x: weighted(x.tensor_split(torch.tensor([1, 2]))),
        real(4),
        expected=lambda x: expected_weighted([x[:1], x[1:2], x[2:]]),
    ),
    Case(
        "tensor_split by a number in a tensor",
        lambda torch, x: weighted(x.tensor_split(torch.tensor(2))),
        real(3),
        expected=lambda x: expected_weighted([x[:2], x[2:]]),
    ),
    Case("narrow", lambda torch, x: torch.narrow(x, 1, 1, 2), real(2, 4), expected=lambda x: x[:, 1:3]),
    Case("narrow from the end", lambda torch, x: x.narrow(-1, -2, 1), real(2, 4), expected=lambda x: x[:, 2:3]),
    Case("narrow nothing", lambda torch, x: x.narrow(0, 2, 0), real(2, 4), expected=lambda x: x[2:]),
    Case(
        "narrow by a tensor",
        lambda torch, x: x.narrow(dim=0, start=torch.tensor(1), length=1),
        real(2, 4),
        expected=lambda x: x[1:],
    ),
]

REFUSALS = [
    Refusal("split 0-d", lambda torch: torch.tensor(1.0).split(1), RuntimeError, "at least a 1-dim"),
    Refusal("split by nothing", lambda torch: torch.ones(2).split(0), RuntimeError, "split_size can only be 0"),
    Refusal("split negative", lambda torch: torch.ones(2).split(-1), RuntimeError, "non-negative"),
    Refusal("split by a float", lambda torch: torch.ones(2).split(1.0), TypeError, "float"),
    Refusal("split dim", lambda torch: torch.ones(2).split(1, 1), IndexError, "but got 1"),
    Refusal("split with other sizes", lambda torch: torch.ones(3).split([1, 1]), RuntimeError, "sum exactly to 3"),
    Refusal("split with negative", lambda torch: torch.ones(3).split([-1, 4]), RuntimeError, "non-negative entries"),
    Refusal("split with floats", lambda torch: torch.ones(3).split([1.0, 2]), TypeError, "integers"),
    Refusal("split_with_sizes 1", lambda torch: torch.ones(3).split_with_sizes(1), TypeError, "tuple of ints"),
    Refusal("chunk 0-d", lambda torch: torch.tensor(1.0).chunk(1), RuntimeError, "at least a 1-dim"),
    Refusal("chunk into nothing", lambda torch: torch.ones(2).chunk(0), RuntimeError, "greater than 0"),
    Refusal("chunk by a float", lambda torch: torch.ones(2).chunk(2.0), TypeError, "float"),
    Refusal("chunk dim", lambda torch: torch.ones(2).chunk(2, 1), IndexError, "but got 1"),
    Refusal("unbind 0-d", lambda torch: torch.tensor(1.0).unbind(), IndexError, "no dimensions"),
    Refusal("unbind dim", lambda torch: torch.ones(2).unbind(1), IndexError, "but got 1"),
    Refusal("tensor_split 0-d", lambda torch: torch.tensor(1.0).tensor_split(1), RuntimeError, "at least a 1-dim"),
    Refusal("tensor_split into nothing", lambda torch: torch.ones(2).tensor_split(0), RuntimeError, "larger than 0"),
    Refusal("tensor_split by a float", lambda torch: torch.ones(2).tensor_split(1.0), TypeError, "float"),
    Refusal(
        "tensor_split by floats", lambda torch: torch.ones(2).tensor_split(torch.tensor([1.0])), RuntimeError, "long"
    ),
    Refusal(
        "tensor_split by a matrix",
        lambda torch: torch.ones(2).tensor_split(torch.tensor([[1]])),
        RuntimeError,
        "zero-dimensional or one-dimensional",
    ),
    Refusal("narrow 0-d", lambda torch: torch.tensor(1.0).narrow(0, 0, 1), RuntimeError, "0-dim"),
    Refusal("narrow dim", lambda torch: torch.ones(2).narrow(1, 0, 1), IndexError, "but got 1"),
    Refusal("narrow start", lambda torch: torch.ones(2).narrow(0, 3, 0), IndexError, "start out of range"),
    Refusal("narrow too long", lambda torch: torch.ones(2).narrow(0, 1, 2), RuntimeError, "exceeds dimension size"),
    Refusal("narrow negative", lambda torch: torch.ones(2).narrow(0, 0, -1), RuntimeError, "non-negative"),
    Refusal("narrow by floats", lambda torch: torch.ones(2).narrow(0, torch.ones(()), 1), RuntimeError, "integral"),
    Refusal("narrow by a float", lambda torch: torch.ones(2).narrow(0, 1.0, 1), TypeError, "float"),
]


@pytest.mark.parametrize(("check", "case"), checks_of(CASES))
def test_operation(check, case):
    check(case)


@pytest.mark.parametrize(("check", "refusal"), refusal_checks_of(REFUSALS))
def test_refusal(check, refusal):
    check(refusal)


@pytest.mark.parametrize(
    "split",
    [
        lambda x: x.split(1),
        lambda x: x.split([2, 0]),
        lambda x: x.chunk(2, 1),
        lambda x: x.unbind(1),
        lambda x: x.flatten().unbind(),
        lambda x: x.tensor_split(2),
        lambda x: (x.narrow(0, 1, 1),),
    ],
)
def test_parts_share_memory(split):
    x = gradcli.ones(2, 3)
    parts = split(x)
    assert type(parts) is tuple
    assert all(np.shares_memory(part.array, x.array) for part in parts if part.numel())


def test_parts_have_one_node_and_a_number_each():
    x = gradcli.ones(6, requires_grad=True)
    first, second, third = x.split(2)
    assert first.grad_fn is second.grad_fn is third.grad_fn
    assert [target for _, target in (first * third).grad_fn.next_functions] == [0, 2]


def test_gradients_of_some_parts_only():
    x = gradcli.ones(6, requires_grad=True)
    _, second, third = x.split(2)
    (second.sum() * 2 + third[0] * 3).backward()
    assert x.grad.tolist() == [0, 0, 2, 2, 3, 0]


def test_no_parts():
    assert gradcli.ones(0, 3).unbind() == ()
    assert gradcli.ones(0, 3).split([]) == ()


def test_a_tensor_is_iterated_over_by_unbinding_it():
    first, second = gradcli.ones(2, requires_grad=True) * 1
    assert first.grad_fn is second.grad_fn
    assert first.grad_fn.name() == "UnbindBackward0"
    with pytest.raises(RuntimeError, match="returns multiple views"):
        first.add_(1)
    with pytest.raises(TypeError, match="iteration over a 0-d tensor"):
        iter(gradcli.tensor(1.0))
