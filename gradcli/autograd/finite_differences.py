"""Derivatives from values alone: central differences of a function of tensors, which are perturbed where they are
stored, so that a function that finds them in another way than by its arguments sees the change too."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from types import EllipsisType
from typing import Any, NamedTuple

import numpy as np

from gradcli.autograd.dtypes import Array, Size
from gradcli.autograd.tensor import Tensor
from gradcli.deferred import settle_deferred
from gradcli.numpy_settings import quietly

Place = tuple[int, ...] | EllipsisType
"""Where an array is perturbed: at one element, or everywhere."""


class Numbered(NamedTuple):
    """An input or output, and its position among all of them."""

    position: int
    tensor: Tensor


def is_float(value: Any) -> bool:
    """Whether this input or output is a tensor of floats."""
    return isinstance(value, Tensor) and value.is_floating_point()


def numerical_jacobians(
    function: Callable[[], Sequence[Any]], leaf: Numbered, outputs: Sequence[Numbered], eps: float
) -> list[Array]:
    """The Jacobian of each output with respect to `leaf`: a row for each of its elements, in the output's type."""
    size = leaf.tensor.numel()
    jacobians = [np.zeros((size, output.tensor.numel()), output.tensor.array.dtype) for output in outputs]
    for row, place in enumerate(np.ndindex(*leaf.tensor.shape)):
        quotients = difference_quotients(function, leaf, outputs, place, 1.0, eps)
        for jacobian, quotient in zip(jacobians, quotients, strict=True):
            jacobian[row] = quotient.ravel()
    return jacobians


def difference_quotients(
    function: Callable[[], Sequence[Any]],
    leaf: Numbered,
    outputs: Sequence[Numbered],
    place: Place,
    direction: float | Array,
    eps: float,
) -> list[Array]:
    """(f(x + εu) - f(x - εu)) / 2ε for each output, where x is `leaf` at `place` and u the direction.

    Afterwards x is as it was. AssertionError where an output of `function` changes its shape or type, or is no tensor.
    """
    array = leaf.tensor.array
    original = np.array(array[place])
    try:
        _write(array, place, original - eps * direction)
        below = _values(function, outputs)
        _write(array, place, original + eps * direction)
        above = _values(function, outputs)
    finally:
        _write(array, place, original)
    return [
        quietly(_quotient, _alike(leaf, output, values, place, eps), eps)
        for *values, output in zip(below, above, outputs, strict=True)
    ]


def _quotient(values: Sequence[Array], eps: float) -> Array:
    below, above = values
    return np.asarray((above - below) / (2 * eps))


def _values(function: Callable[[], Sequence[Any]], outputs: Sequence[Numbered]) -> list[Array | None]:
    """The values of those outputs, copied: one may be an input itself, or a view of it."""
    called = function()
    chosen = [called[output.position] if output.position < len(called) else None for output in outputs]
    return [np.array(value.array) if isinstance(value, Tensor) else None for value in chosen]


def _write(array: Array, place: Place, values: Array) -> None:
    """Write without counting it as a change: the values that a recorded graph saved will be there again."""
    settle_deferred()
    array[place] = values


def _alike(leaf: Numbered, output: Numbered, values: Sequence[Array | None], place: Place, eps: float) -> list[Array]:
    """The values of an output, which must all have its shape and type."""
    expected = output.tensor.array
    for value in values:
        if value is not None and value.shape == expected.shape and value.dtype == expected.dtype:
            continue
        found = "none" if value is None else f"{Size(value.shape)} of {value.dtype}"
        where = "" if place is ... else f" on index {place}"
        raise AssertionError(
            f"Expected `func` to return outputs with the same shape and dtype when input {leaf.position} is perturbed"
            f"{where} by {eps}, but output {output.position} became {found} instead of "
            f"{Size(expected.shape)} of {expected.dtype}."
        )
    return [value for value in values if value is not None]
