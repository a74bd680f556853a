"""Assignment to parts of a tensor, copy_, fill_ and zero_: values, history and gradients, and what is refused."""

from __future__ import annotations

import pytest
from programs import Programs

import gradcli

programs = Programs()


def numbers(torch):
    return torch.arange(6.0).view(2, 3)


KEYS = {
    "integer": lambda torch: 1,
    "negative integer": lambda torch: -1,
    "slice": lambda torch: slice(0, 1),
    "step": lambda torch: (slice(None), slice(None, None, 2)),
    "empty slice": lambda torch: slice(5, 9),
    "integers": lambda torch: (1, 2),
    "Ellipsis": lambda torch: ...,
    "Ellipsis and integer": lambda torch: (..., 0),
    "None": lambda torch: None,
    "None between": lambda torch: (0, None, slice(1, None)),
    "0-d tensor": lambda torch: torch.tensor(1),
    "index tensor": lambda torch: torch.tensor([1, 0]),
    "list": lambda torch: [1],
    "index tensor of the second dim": lambda torch: (slice(None), torch.tensor([2, 0])),
    "two index tensors": lambda torch: (torch.tensor([0, 1]), torch.tensor([2, 0])),
    "index tensors broadcast": lambda torch: (torch.tensor([[0], [1]]), torch.tensor([2, 0])),
    "integer and index tensor": lambda torch: (1, torch.tensor([2, 0])),
    "negative indices": lambda torch: (torch.tensor([-1]), torch.tensor([-3])),
    "mask": lambda torch: numbers(torch) > 2,
    "mask of rows": lambda torch: torch.tensor([False, True]),
    "mask of columns": lambda torch: (slice(None), torch.tensor([True, False, True])),
    "empty mask": lambda torch: numbers(torch) > 10,
    "truth value": lambda torch: True,
    "mask and None": lambda torch: (None, torch.tensor([False, True])),
    "no indices": lambda torch: torch.tensor([], dtype=torch.int64),
}


def assigned(torch, key, value):
    """A tensor after an assignment to a part of it, and the gradients of its weighted sum."""
    x = numbers(torch).requires_grad_()
    y = x * 2
    given = value(torch)
    y[key(torch)] = given
    (y * (numbers(torch) + 1)).sum().backward()
    of_value = given.grad if hasattr(given, "grad") else None
    return y, x.grad, of_value


NUMBER = lambda torch: 10.0  # noqa: E731
SCALAR = lambda torch: torch.tensor(10.0, requires_grad=True)  # noqa: E731
programs.results(
    {
        f"{name}: {kind}": (lambda torch, key=KEYS[name], value=value: assigned(torch, key, value), expected)
        for name, expected_of in {
            "integer": [[[0.0, 2.0, 4.0], [10.0, 10.0, 10.0]], [[2.0, 4.0, 6.0], [0.0, 0.0, 0.0]], 15.0],
            "negative integer": [[[0.0, 2.0, 4.0], [10.0, 10.0, 10.0]], [[2.0, 4.0, 6.0], [0.0, 0.0, 0.0]], 15.0],
            "slice": [[[10.0, 10.0, 10.0], [6.0, 8.0, 10.0]], [[0.0, 0.0, 0.0], [8.0, 10.0, 12.0]], 6.0],
            "step": [[[10.0, 2.0, 10.0], [10.0, 8.0, 10.0]], [[0.0, 4.0, 0.0], [0.0, 10.0, 0.0]], 14.0],
            "empty slice": [[[0.0, 2.0, 4.0], [6.0, 8.0, 10.0]], [[2.0, 4.0, 6.0], [8.0, 10.0, 12.0]], 0.0],
            "integers": [[[0.0, 2.0, 4.0], [6.0, 8.0, 10.0]], [[2.0, 4.0, 6.0], [8.0, 10.0, 0.0]], 6.0],
            "Ellipsis": [[[10.0, 10.0, 10.0], [10.0, 10.0, 10.0]], [[0.0, 0.0, 0.0], [0.0, 0.0, 0.0]], 21.0],
            "Ellipsis and integer": [[[10.0, 2.0, 4.0], [10.0, 8.0, 10.0]], [[0.0, 4.0, 6.0], [0.0, 10.0, 12.0]], 5.0],
            "None": [[[10.0, 10.0, 10.0], [10.0, 10.0, 10.0]], [[0.0, 0.0, 0.0], [0.0, 0.0, 0.0]], 21.0],
            "None between": [[[0.0, 10.0, 10.0], [6.0, 8.0, 10.0]], [[2.0, 0.0, 0.0], [8.0, 10.0, 12.0]], 5.0],
            "0-d tensor": [[[0.0, 2.0, 4.0], [10.0, 10.0, 10.0]], [[2.0, 4.0, 6.0], [0.0, 0.0, 0.0]], 15.0],
            "index tensor": [[[10.0, 10.0, 10.0], [10.0, 10.0, 10.0]], [[0.0, 0.0, 0.0], [0.0, 0.0, 0.0]], 21.0],
            "list": [[[0.0, 2.0, 4.0], [10.0, 10.0, 10.0]], [[2.0, 4.0, 6.0], [0.0, 0.0, 0.0]], 15.0],
            "index tensor of the second dim": [
                [[10.0, 2.0, 10.0], [10.0, 8.0, 10.0]],
                [[0.0, 4.0, 0.0], [0.0, 10.0, 0.0]],
                14.0,
            ],
            "two index tensors": [[[0.0, 2.0, 10.0], [10.0, 8.0, 10.0]], [[2.0, 4.0, 0.0], [0.0, 10.0, 12.0]], 7.0],
            "index tensors broadcast": [
                [[10.0, 2.0, 10.0], [10.0, 8.0, 10.0]],
                [[0.0, 4.0, 0.0], [0.0, 10.0, 0.0]],
                14.0,
            ],
            "integer and index tensor": [
                [[0.0, 2.0, 4.0], [10.0, 8.0, 10.0]],
                [[2.0, 4.0, 6.0], [0.0, 10.0, 0.0]],
                10.0,
            ],
            "negative indices": [[[0.0, 2.0, 4.0], [10.0, 8.0, 10.0]], [[2.0, 4.0, 6.0], [0.0, 10.0, 12.0]], 4.0],
            "mask": [[[0.0, 2.0, 4.0], [10.0, 10.0, 10.0]], [[2.0, 4.0, 6.0], [0.0, 0.0, 0.0]], 15.0],
            "mask of rows": [[[0.0, 2.0, 4.0], [10.0, 10.0, 10.0]], [[2.0, 4.0, 6.0], [0.0, 0.0, 0.0]], 15.0],
            "mask of columns": [[[10.0, 2.0, 10.0], [10.0, 8.0, 10.0]], [[0.0, 4.0, 0.0], [0.0, 10.0, 0.0]], 14.0],
            "empty mask": [[[0.0, 2.0, 4.0], [6.0, 8.0, 10.0]], [[2.0, 4.0, 6.0], [8.0, 10.0, 12.0]], 0.0],
            "truth value": [[[10.0, 10.0, 10.0], [10.0, 10.0, 10.0]], [[0.0, 0.0, 0.0], [0.0, 0.0, 0.0]], 21.0],
            "mask and None": [[[0.0, 2.0, 4.0], [10.0, 10.0, 10.0]], [[2.0, 4.0, 6.0], [0.0, 0.0, 0.0]], 15.0],
            "no indices": [[[0.0, 2.0, 4.0], [6.0, 8.0, 10.0]], [[2.0, 4.0, 6.0], [8.0, 10.0, 12.0]], 0.0],
        }.items()
        for kind, value, expected in [
            ("number", NUMBER, [*expected_of[:2], None]),
            ("tensor", SCALAR, expected_of),
        ]
    }
)


@programs.gives([[[10.0, 20.0, 30.0], [10.0, 20.0, 30.0]], [[0.0, 0.0, 0.0], [0.0, 0.0, 0.0]], [5.0, 7.0, 9.0]])
def a_row_is_broadcast(torch):
    x = numbers(torch).requires_grad_()
    row = torch.tensor([10.0, 20.0, 30.0], requires_grad=True)
    y = x * 1
    y[:] = row
    (y * (numbers(torch) + 1)).sum().backward()
    return y, x.grad, row.grad


@programs.gives([[[10.0, 1.0, 10.0], [20.0, 4.0, 20.0]], [[0.0, 2.0, 0.0], [0.0, 5.0, 0.0]], [[4.0], [10.0]]])
def a_column_is_broadcast_to_what_is_gathered(torch):
    x = numbers(torch).requires_grad_()
    column = torch.tensor([[10.0], [20.0]], requires_grad=True)
    y = x * 1
    y[:, torch.tensor([2, 0])] = column
    (y * (numbers(torch) + 1)).sum().backward()
    return y, x.grad, column.grad


@programs.gives([[[0.0, 1.0, 2.0], [10.0, 20.0, 30.0]], [[1.0, 2.0, 3.0], [0.0, 0.0, 0.0]], [4.0, 5.0, 6.0]])
def a_value_for_each_place_of_a_mask(torch):
    x = numbers(torch).requires_grad_()
    values = torch.tensor([10.0, 20.0, 30.0], requires_grad=True)
    y = x * 1
    y[y.detach() > 2] = values
    (y * (numbers(torch) + 1)).sum().backward()
    return y, x.grad, values.grad


@programs.gives([5.0, 1.0, 1.0])
def leading_dims_of_size_1_are_ignored(torch):
    y = torch.zeros(3)
    y[1:] = torch.ones(1, 1, 2)
    y[torch.tensor([0])] = torch.full((1, 1), 5.0)
    return y


@programs.gives([[1.0, 2.0, 3.5], "torch.float32", [1, -1], "torch.int64"])
def values_are_brought_to_the_type(torch):
    y = torch.zeros(3)
    y[0] = 1
    y[1] = torch.tensor(2, dtype=torch.int64)
    y[2] = torch.tensor(3.5, dtype=torch.float64)
    whole = torch.zeros(2, dtype=torch.int64)
    whole[0] = 1.7
    whole[1] = torch.tensor(-1.7)
    return y, y.dtype, whole, whole.dtype


@programs.gives([[1.0, 2.0, 0.0], [2.0, 4.0], "torch.float64"])
def a_value_of_another_type_gets_its_gradient_in_its_own(torch):
    value = torch.tensor([1.0, 2.0], dtype=torch.float64, requires_grad=True)
    y = torch.zeros(3)
    y[:2] = value
    (y * y).sum().backward()
    return y, value.grad, value.grad.dtype


@programs.gives([["CopySlices", "CopySlices", "CopySlices", "IndexPutBackward0", "IndexPutBackward0"], 5])
def the_history_after_an_assignment(torch):
    y = numbers(torch).requires_grad_() * 1
    names = []
    for key in (0, (0, 1), None):
        y[key] = 1.0
        names.append(y.grad_fn)
    for key in (torch.tensor([0]), y.detach() > 2):
        y[key] = torch.tensor(1.0)
        names.append(y.grad_fn)
    return names, y._version


@programs.gives([[[0.0, 2.0], [1.0, 2.0]], True, True, [10.0, 8.0]])
def a_tensor_without_gradient_requires_one_after(torch):
    result = torch.zeros(2, 2)
    view = result[0]
    x = torch.tensor([1.0, 2.0], requires_grad=True)
    result[0, 1] = x[0] * x[1]
    result[torch.tensor([1])] = x
    (result * result).sum().backward()
    return result, result.requires_grad, view.requires_grad, x.grad


@programs.gives([[1.0, 2.0, 6.0], [9.0, 4.0, 2.0]])
def filling_a_result_in_a_loop(torch):
    x = torch.tensor([1.0, 2.0, 3.0], requires_grad=True)
    result = torch.empty(3)
    previous = torch.tensor(1.0)
    for step in range(3):
        previous = previous * x[step]
        result[step] = previous
    result.sum().backward()
    return result, x.grad


@programs.gives([[[0.0, 7.0, 8.0], [3.0, 7.0, 5.0]], [[0.0, 0.0, 0.0], [6.0, 0.0, 10.0]]])
def an_assignment_to_a_view(torch):
    x = numbers(torch).requires_grad_()
    y = x * 1
    y.t()[1] = 7.0
    y[0][1:][1] = 8.0
    (y * y).sum().backward()
    return y, x.grad


@programs.gives([[3.0, 6.0], 3.0, 3.0])
def a_part_assigned_twice(torch):
    first, second = (torch.tensor(value, requires_grad=True) for value in (2.0, 3.0))
    y = torch.zeros(2)
    y[0] = first
    y[0] = second
    y[1] = first * second
    y.sum().backward()
    return y, first.grad, second.grad


@programs.gives([[3.0, 3.0, 2.0], [0.0, 100.0, 11.0]])
def a_part_assigned_to_another(torch):
    x = torch.tensor([1.0, 2.0, 3.0], requires_grad=True)
    y = x * 1
    y[0] = y[2]
    y[1:] = y[:2].clone()
    (y * torch.tensor([1.0, 10.0, 100.0])).sum().backward()
    return y, x.grad


@programs.gives([[20.0, 4.0, 60.0], [400.0, 16.0, 2400.0], 5])
def augmented_assignment_to_a_part(torch):
    x = torch.tensor([1.0, 2.0, 3.0], requires_grad=True)
    y = x * 1
    y[0] += 1
    y[1:] *= 2
    y[torch.tensor([0, 2])] *= 10
    (y * y).sum().backward()
    return y, x.grad, y._version


@programs.gives([0.0, 5.0])
def an_index_twice_keeps_one_value(torch):
    y = torch.zeros(2)
    y[torch.tensor([1, 1])] = 5.0
    return y


@programs.gives([[31.0, 32.0], [62.0, 64.0], [64.0, 64.0, 62.0]])
def accumulating_at_indices(torch):
    x = torch.tensor([1.0, 2.0], requires_grad=True)
    values = torch.tensor([10.0, 20.0, 30.0], requires_grad=True)
    y = x * 1
    y.index_put_((torch.tensor([1, 1, 0]),), values, accumulate=True)
    (y * y).sum().backward()
    return y, x.grad, values.grad


@programs.gives([[[0.0, 0.0, 96.0], [6216.0, 18750.0]], [[0.0, 0.0, 80.0], [7746.0, 18750.0]]])
def assignment_twice_differentiated(torch):
    x, value = (torch.tensor(values, requires_grad=True) for values in ([1.0, 2.0, 3.0], [4.0, 5.0]))
    y = x**3
    y[1:] = value**3
    y[torch.tensor([0])] = value[0] * x[2]
    first = torch.autograd.grad((y**2).sum(), [x, value], create_graph=True)
    return first, torch.autograd.grad(sum(g.sum() for g in first), [x, value])


# --- copy_, fill_, zero_ ----------------------------------------------------------------------------------------------


@programs.gives([[3.0, 4.0], "CopyBackwards", [0.0, 0.0], [6.0, 8.0]])
def copy_takes_values_and_history(torch):
    x, source = (torch.tensor(values, requires_grad=True) for values in ([1.0, 2.0], [3.0, 4.0]))
    y = x * 1
    y.copy_(source)
    (y * y).sum().backward()
    return y, y.grad_fn, x.grad, source.grad


@programs.gives([[[1.0, 2.0], [1.0, 2.0], [1.0, 2.0]], "torch.float32", [3.0, 3.0], "torch.float64"])
def copy_broadcasts_and_converts(torch):
    source = torch.tensor([1.0, 2.0], dtype=torch.float64, requires_grad=True)
    y = torch.zeros(3, 2)
    y.copy_(source)
    y.sum().backward()
    return y, y.dtype, source.grad, source.grad.dtype


@programs.gives([[6.0, 8.0, 3.0, 4.0], [0.0, 0.0, 30.0, 40.0]])
def copy_of_a_part_to_a_part(torch):
    x = torch.tensor([1.0, 2.0, 3.0, 4.0], requires_grad=True)
    y = x * 1
    y[:2].copy_(y[2:].clone() * 2)
    (y * y).sum().backward()
    return y, x.grad


@programs.gives([[3.0, 3.0], [0.0, 0.0], 12.0])
def fill_with_a_tensor(torch):
    x, value = torch.tensor([1.0, 2.0], requires_grad=True), torch.tensor(3.0, requires_grad=True)
    y = x * 1
    y.fill_(value)
    (y * y).sum().backward()
    return y, x.grad, value.grad


@programs.gives([[7.0, 0.0, 6.0], [0.0, 0.0, 0.0], [0.0, 0.0, 2.0], ["CopySlices", "ZeroBackward0"]])
def fill_with_a_number_and_zero(torch):
    x = torch.tensor([1.0, 2.0, 3.0], requires_grad=True)
    y = x * 2
    y[0].fill_(7)
    y[1:2].zero_()
    name = y.grad_fn
    y.sum().backward()
    z = (x * 2).zero_()
    names = name, z.grad_fn
    z.sum().backward()
    return y, z, x.grad, names


def assign(x, key, value):
    x[key] = value


programs.refusals(
    {
        "too large": (
            lambda torch: assign(torch.zeros(3), slice(0, 2), torch.ones(3)),
            RuntimeError,
            r"3.*2|2.*3",
        ),
        "too large for indices": (
            lambda torch: assign(torch.zeros(3), torch.tensor([0, 1]), torch.ones(3)),
            RuntimeError,
            "shape mismatch",
        ),
        "too large for a mask": (
            lambda torch: assign(torch.zeros(3), torch.tensor([True, False, True]), torch.ones(3)),
            RuntimeError,
            "shape mismatch",
        ),
        "integer out of range": (lambda torch: assign(torch.zeros(3), 3, 1.0), IndexError, "out of (range|bounds)"),
        "index out of range": (
            lambda torch: assign(torch.zeros(3), torch.tensor([3]), 1.0),
            IndexError,
            "out of (range|bounds)",
        ),
        "too many indices": (lambda torch: assign(torch.zeros(3), (0, 0), 1.0), IndexError, "too many indices"),
        "mask of another shape": (
            lambda torch: assign(torch.zeros(3), torch.tensor([True, False]), 1.0),
            IndexError,
            r"mask.*\[2\].*\[3\]|shape",
        ),
        "floats as indices": (lambda torch: assign(torch.zeros(3), torch.tensor([0.0]), 1.0), IndexError, "long|int"),
        "leaf": (
            lambda torch: assign(torch.zeros(3, requires_grad=True), torch.tensor([0]), 1.0),
            RuntimeError,
            "a leaf Variable that requires grad",
        ),
        "used before": (lambda torch: assigned_after_use(torch), RuntimeError, "modified by an inplace operation"),
    }
)


def assigned_after_use(torch):
    y = torch.ones(3, requires_grad=True) * 1
    z = y * y
    y[0] = 5.0
    z.sum().backward()


@programs.each
def test_program(program):
    program.check(gradcli)


@pytest.mark.parity
@programs.each
def test_parity(program):
    program.check(pytest.importorskip("torch"))
