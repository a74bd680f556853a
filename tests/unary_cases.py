"""What every function of one variable is tested for, each function a row of its family's tables.

`cases_of` makes the cases of a function: as function and method, of every shape and memory order. A row of edges says
what it gives where its formula divides by zero, overflows or is undefined, and its gradient there.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import numpy as np
import pytest
from operation_cases import Case, Draw, strided, transposed

import gradcli
from gradcli.autograd.dtypes import Array

Edge = tuple[str, list[float], list[float], list[float]]
"""A function's name, inputs, the values there, and the gradients."""

WHOLE_NUMBERS = ["bool", "uint8", "int8", "int64"]


def cases_of(name: str, draw: Callable[..., Draw], expected: Callable[[Array], Array]) -> list[Case]:
    """A function with inputs that `draw` draws for a shape, and what it should give."""
    inputs = {
        "": draw(2, 3),
        " 0-d": draw(),
        " empty": draw(0, 2),
        " transposed": transposed(draw(2, 3)),
        " strided": strided(draw(2, 3)),
    }
    function = Case(name, lambda torch, x: getattr(torch, name)(x), draw(2, 3), expected=expected)
    return [
        function,
        *(
            Case(f"{name} method{shape}", lambda torch, x: getattr(x, name)(), drawn, expected=expected)
            for shape, drawn in inputs.items()
        ),
    ]


def check_edge(name: str, at: list[float], values: list[float], gradients: list[float]) -> None:
    for dtype in (gradcli.float64, gradcli.float32):
        x = gradcli.tensor(at, dtype=dtype, requires_grad=True)
        result = getattr(gradcli, name)(x)
        result.backward(gradcli.ones_like(result))
        tolerance = 1e-14 if dtype == gradcli.float64 else 1e-6
        np.testing.assert_allclose(result.tolist(), values, rtol=tolerance)
        np.testing.assert_allclose(x.grad.tolist(), gradients, rtol=tolerance)


def check_edge_parity(name: str, at: list[float]) -> None:
    """PyTorch gives the same, down to the signs of zeros."""
    torch = pytest.importorskip("torch")
    outcomes = []
    for module in (gradcli, torch):
        x = module.tensor(at, dtype=module.float64, requires_grad=True)
        result = getattr(module, name)(x)
        result.backward(module.ones_like(result))
        outcomes.append(np.array([result.tolist(), x.grad.tolist()]))
    ours, theirs = outcomes
    np.testing.assert_allclose(ours, theirs, rtol=1e-13)
    number = ~np.isnan(ours)
    np.testing.assert_array_equal(np.signbit(ours[number]), np.signbit(theirs[number]))


def whole_numbers(module: Any, dtype: str) -> Any:
    """A tensor of gradcli, or PyTorch, with zero and one, and for signed types -3."""
    numbers = [0, 1, 1, -3] if dtype.startswith("int") else [0, 1, 1, 0]
    return module.tensor(numbers, dtype=getattr(module, dtype))


def check_whole_numbers_count_as_float32(name: str, dtype: str) -> None:
    x = whole_numbers(gradcli, dtype)
    result = getattr(gradcli, name)(x)
    assert result.dtype == gradcli.float32
    np.testing.assert_array_equal(result.numpy(), getattr(gradcli, name)(x.float()).numpy())


def check_whole_numbers_parity(name: str, dtype: str) -> None:
    """PyTorch gives the same numbers of the same type, or refuses them with the same type of error."""
    torch = pytest.importorskip("torch")
    try:
        theirs = getattr(torch, name)(whole_numbers(torch, dtype))
    except (RuntimeError, NotImplementedError) as error:
        with pytest.raises(type(error)):
            getattr(gradcli, name)(whole_numbers(gradcli, dtype))
        return
    ours = getattr(gradcli, name)(whole_numbers(gradcli, dtype))
    assert str(ours.dtype) == str(theirs.dtype)
    np.testing.assert_allclose(ours.numpy(), theirs.numpy(), rtol=1e-6)


def check_alias(alias: str, name: str) -> None:
    """Both names stand for one function and one method."""
    assert getattr(gradcli, alias) is getattr(gradcli, name)
    assert getattr(gradcli.Tensor, alias) is getattr(gradcli.Tensor, name)


def function_checks_of(
    edges: Sequence[Edge],
    *,
    in_place: Sequence[str],
    at: list[float],
    as_float32: Sequence[str] = (),
    whole: Sequence[str] = (),
) -> list[Any]:
    """What a family's test of its functions is parametrised with: every check with its arguments.

    `as_float32` names the functions that count whole numbers as float32, `whole` others that take them; those of
    `in_place` are written over the values `at`.
    """
    rows: list[tuple[Callable[..., None], tuple[Any, ...], str]] = []
    for number, edge in enumerate(edges):
        rows += [(check_edge, edge, f"{edge[0]}-{number}"), (check_edge_parity, edge[:2], f"{edge[0]}-{number}")]
    for dtype in WHOLE_NUMBERS:
        rows += [(check_whole_numbers_count_as_float32, (name, dtype), f"{name}-{dtype}") for name in as_float32]
        rows += [(check_whole_numbers_parity, (name, dtype), f"{name}-{dtype}") for name in (*as_float32, *whole)]
    rows += [(check_in_place, (name, at), name) for name in in_place]
    return [
        pytest.param(
            check,
            arguments,
            id=f"{check.__name__}-{name}",
            marks=[pytest.mark.parity] if check.__name__.endswith("parity") else [],
        )
        for check, arguments, name in rows
    ]


def check_in_place(name: str, values: list[float]) -> None:
    """`name_` writes what `name` gives over the tensor, and its gradient is the same."""
    leaves = [gradcli.tensor(values, dtype=gradcli.float64, requires_grad=True) for _ in range(2)]
    expected = getattr(gradcli, name)(leaves[0] * 1)
    tensor = leaves[1] * 1
    assert getattr(tensor, f"{name}_")() is tensor
    for result in (expected, tensor):
        result.backward(gradcli.ones_like(result))
    np.testing.assert_array_equal(tensor.tolist(), expected.tolist())
    np.testing.assert_array_equal(leaves[1].grad.tolist(), leaves[0].grad.tolist())
