"""Reading the `dim` and `*shape` arguments that PyTorch's functions take, with its errors."""

from __future__ import annotations

import functools
import operator
from collections.abc import Callable, Sequence
from typing import Any, TypeVar

from gradcli.autograd.operation import tensor_method

F = TypeVar("F", bound=Callable[..., Any])

Dims = int | Sequence[int] | None
"""What reductions take as `dim`: one, several, or None for all."""

IntPair = tuple[int, int]
"""(height, width) or (vertical, horizontal)."""


def canonical_dim(dim: int, ndim: int) -> int:
    """`dim` counted from the front. IndexError outside [-ndim, ndim - 1]; a 0-d tensor counts as 1-d."""
    bound = max(ndim, 1)
    try:
        within = -bound <= dim < bound
    except TypeError:
        raise TypeError(f"dim must be int, not {type(dim).__name__}") from None
    if not within:
        raise IndexError(f"Dimension out of range (expected to be in range of [{-bound}, {bound - 1}], but got {dim})")
    return dim % bound


def canonical_dims(dims: Dims, ndim: int) -> tuple[int, ...]:
    """Dims counted from the front; None and an empty sequence stand for all of them, as in PyTorch's reductions."""
    if dims is None or (isinstance(dims, Sequence) and not dims):
        return tuple(range(ndim))
    chosen = (dims,) if isinstance(dims, int) else tuple(dims)
    canonical = tuple(canonical_dim(dim, ndim) for dim in chosen)
    for position, dim in enumerate(canonical):
        if dim in canonical[:position]:
            raise RuntimeError(f"dim {dim} appears multiple times in the list of dims")
    return canonical if ndim else ()


def sizes(shape: tuple[Any, ...]) -> tuple[int, ...]:
    """The shape given as `f(2, 3)`, `f((2, 3))` or `f([2, 3])`; TypeError for sizes that are no integers."""
    if len(shape) == 1 and isinstance(shape[0], Sequence):
        shape = tuple(shape[0])
    try:
        return tuple(operator.index(size) for size in shape)
    except TypeError:
        raise TypeError(f"sizes must be integers, but got {list(shape)}") from None


def integer(function: str, argument: str, value: Any) -> int:
    """An argument that must be an integer; TypeError for anything else."""
    try:
        return operator.index(value)
    except TypeError:
        raise TypeError(f"{function}(): argument {argument!r} must be int, not {type(value).__name__}") from None


def integers(function: str, argument: str, value: Any) -> tuple[int, ...]:
    """An argument that must be a sequence of integers, as a tuple; TypeError for anything else, a single one too."""
    if not isinstance(value, Sequence) or isinstance(value, str):
        raise TypeError(f"{function}(): argument {argument!r} must be tuple of ints, not {type(value).__name__}")
    return sizes((value,))


def variadic_method(name: str | None = None) -> Callable[[F], F]:
    """Attach a function `f(input, sizes)` to Tensor as a method that takes the sizes one by one too: `x.f(2, 3)`."""

    def attach(function: F) -> F:
        @functools.wraps(function)
        def method(input: Any, *values: Any, **options: Any) -> Any:
            if values:
                given = values[0] if len(values) == 1 and isinstance(values[0], Sequence) else values
                return function(input, given, **options)
            return function(input, **options)

        tensor_method(name or function.__name__)(method)
        return function

    return attach


def pair(value: int | Sequence[int], name: str) -> IntPair:
    """(height, width) of an option given as one number or two."""
    if type(value) is tuple and len(value) == 2 and type(value[0]) is type(value[1]) is int:
        return value  # as layers give it, at every call
    try:
        numbers = tuple(map(operator.index, value if isinstance(value, Sequence) else (value,)))
    except TypeError:
        raise TypeError(f"{name} must be a single integer or two, but got {value!r}") from None
    if len(numbers) not in (1, 2):
        raise RuntimeError(f"expected {name} to be a single integer or two, but got {list(numbers)}")
    return numbers[0], numbers[-1]
