"""What every function of two tensors is tested for: broadcasting, and the same in place."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
from operation_cases import Case, Draw, strided, transposed

import gradcli

Function = Callable[..., Any]
Numbers = list[float]

BROADCASTS: list[tuple[str, tuple[int, ...], tuple[int, ...]]] = [
    ("same", (2, 3), (2, 3)),
    ("rows", (2, 3), (3,)),
    ("columns", (2, 3), (2, 1)),
    ("outer", (2, 1), (1, 3)),
    ("0-d", (2, 3), ()),
    ("0-d left", (), (2, 3)),
    ("0-d both", (), ()),
    ("empty", (0, 3), (1, 3)),
    ("empty from one", (0, 3), (2, 0, 1)),
    ("leading", (3,), (4, 2, 3)),
]


def cases_of(
    name: str, first: Callable[..., Draw], second: Callable[..., Draw], expected: Function, **options: Any
) -> list[Case]:
    """A function (and method) of tensors that `first` and `second` draw for a shape, and what it should give."""

    def call(torch: Any, x: Any, y: Any) -> Any:
        return getattr(torch, name)(x, y)

    return [
        *(
            Case(f"{name} {shapes}", call, first(*one), second(*other), expected=expected, **options)
            for shapes, one, other in BROADCASTS
        ),
        Case(
            f"{name} memory orders", call, transposed(first(3, 4)), strided(second(3, 4)), expected=expected, **options
        ),
        Case(
            f"{name} method",
            lambda torch, x, y: getattr(x, name)(y),
            first(2, 3),
            second(3),
            expected=expected,
            **options,
        ),
    ]


def check_in_place(name: str, *arguments: Any, at: Numbers) -> None:
    """`name_` writes what `name` gives into the same memory, with the same gradient, and returns the tensor."""
    x = gradcli.tensor(at, dtype=gradcli.float64)
    memory = x.array
    assert getattr(x, f"{name}_")(*arguments) is x
    np.testing.assert_array_equal(memory, getattr(gradcli.tensor(at, dtype=gradcli.float64), name)(*arguments).array)

    gradients = []
    for in_place in (True, False):
        leaf = gradcli.tensor(at, dtype=gradcli.float64, requires_grad=True)
        changed = leaf.clone()
        result = getattr(changed, f"{name}_" if in_place else name)(*arguments)
        result.sum().backward()
        gradients.append(leaf.grad.tolist())
    assert gradients[0] == gradients[1]
