"""What operations of an expression are given: where a list or number stands for a tensor, and of which type it is.

A list of numbers becomes a tensor of the expression's float type, except that truth values stay what they are, and
integers too where they are positions. What makes tensors of floats makes them of that type.
"""

from __future__ import annotations

import inspect
import operator
from collections.abc import Callable, Mapping
from typing import Any

from gradcli.autograd import Tensor
from gradcli.autograd.dtypes import DType, dtype
from gradcli.inspection.expressions.functions import Function, parameters
from gradcli.inspection.expressions.syntax import MAX_INTEGER
from gradcli.ops.creation import tensor
from gradcli.ops.joining import stack

VALUES = (Tensor, bool, int, float, str, type(None), type(...), list, tuple, slice, dtype)
"""The types of all values that an expression handles."""

BINARY: dict[str, Callable[..., Any]] = {
    "+": operator.add,
    "-": operator.sub,
    "*": operator.mul,
    "/": operator.truediv,
    "//": operator.floordiv,
    "%": operator.mod,
    "**": operator.pow,
    "@": operator.matmul,
    "&": operator.and_,
    "|": operator.or_,
    "<": operator.lt,
    "<=": operator.le,
    ">": operator.gt,
    ">=": operator.ge,
    "==": operator.eq,
    "!=": operator.ne,
}
"""Operators between two values."""
UNARY: dict[str, Callable[..., Any]] = {
    "-": operator.neg,
    "+": operator.pos,
    "~": lambda value: not value if isinstance(value, bool) else operator.invert(value),
}
"""Operators before a value."""

_TENSORS = (
    frozenset({"input", "other", "self", "tensor", "tensor1", "tensor2", "a", "b", "end", "condition", "mask"})
    | {"mat1", "mat2", "vec", "vec2", "batch1", "batch2", "src", "source", "values"}
    | {"weight", "bias", "pos_weight", "running_mean", "running_var"}
)
"""Parameters in whose place a list stands for a tensor."""
_POSITIONS = frozenset({"index", "indices", "target"})
"""Those too, but a list of integers is one of positions there, or of classes."""
_SEQUENCES = frozenset({"tensors"})
"""Parameters that are lists of tensors, in which a list stands for a tensor."""
_MAKES_FLOATS = frozenset({"zeros", "ones", "eye", "linspace", "logspace", "rand", "randn", "scalar_tensor"})
_MAKES_FLOATS_OF_FLOATS = frozenset({"tensor", "full", "arange"})


class Operands:
    """Makes tensors of lists and numbers; `float_type` is that of floats."""

    def __init__(self, float_type: DType) -> None:
        self.float_type = float_type

    def tensor(self, value: Any, *, positions: bool = False) -> Tensor:
        """A number, or a nested list of numbers and tensors, as a tensor; gradients go through the tensors in it.

        Integers become floats unless they are `positions`. TypeError for other values, ValueError for ragged lists.
        """
        if isinstance(value, Tensor):
            return value
        if isinstance(value, list | tuple):
            if any(map(_holds_tensors, value)):
                return self._stacked([self.tensor(element, positions=positions) for element in value])
            kinds = _kinds(value)
            if kinds == {bool} or (positions and float not in kinds):
                return tensor(value)
            return tensor(value, dtype=self.float_type)
        if isinstance(value, bool) or (isinstance(value, int) and positions):
            return tensor(value)
        if isinstance(value, int | float):
            return tensor(value, dtype=self.float_type)
        raise TypeError(f"expected numbers or tensors, but got a {type(value).__name__}")

    def _stacked(self, tensors: list[Tensor]) -> Tensor:
        shapes = {tuple(each.shape) for each in tensors}
        if len(shapes) > 1:
            raise ValueError(
                f"a list of tensors of different shapes ({', '.join(map(str, map(list, sorted(shapes))))})"
            )
        stacked: Tensor = stack(tensors)
        return stacked

    def operand(self, value: Any, sign: str) -> Any:
        """One side of an operator: numbers and tensors as they are, lists as tensors; TypeError for anything else."""
        if isinstance(value, Tensor | bool | int | float):
            return value
        if isinstance(value, list | tuple):
            return self.tensor(value)
        raise TypeError(f"{sign} takes tensors and numbers, not a {type(value).__name__}")

    def arguments(
        self, name: str, function: Function, args: tuple[Any, ...], options: Mapping[str, Any]
    ) -> tuple[tuple[Any, ...], dict[str, Any]]:
        """The arguments of a call with tensors where the function declares some, and with the type of floats."""
        declared = parameters(function)
        by_position = [each for each in declared if each.kind is each.POSITIONAL_OR_KEYWORD]
        by_name = {each.name: each for each in declared}
        converted = tuple(
            self._argument(by_position[place], value) if place < len(by_position) else value
            for place, value in enumerate(args)
        )
        chosen = {
            key: self._argument(by_name[key], value) if key in by_name else value for key, value in options.items()
        }
        if name in _MAKES_FLOATS or (name in _MAKES_FLOATS_OF_FLOATS and float in _kinds([*args, *options.values()])):
            chosen.setdefault("dtype", self.float_type)
        return converted, chosen

    def _argument(self, parameter: inspect.Parameter, value: Any) -> Any:
        name, declared = parameter.name, str(parameter.annotation)
        if isinstance(value, list | tuple):
            if name in _SEQUENCES or declared == "Sequence[Any]":
                return [self._element(element, name) for element in value]
            if name in _TENSORS or name in _POSITIONS:
                return self.tensor(value, positions=name in _POSITIONS)
        elif isinstance(value, int | float) and (declared.startswith(("Array", "Tensor")) or name == "input"):
            return self.tensor(value)
        return value

    def _element(self, value: Any, name: str) -> Any:
        return self.tensor(value, positions=name in _POSITIONS) if isinstance(value, list | tuple) else value


def _holds_tensors(value: Any) -> bool:
    return isinstance(value, Tensor) or (isinstance(value, list | tuple) and any(map(_holds_tensors, value)))


def _kinds(value: Any) -> set[type]:
    """The types of all that nested lists hold."""
    if not isinstance(value, list | tuple):
        return {type(value)}
    return set().union(*map(_kinds, value))


def is_numeric(value: Any) -> bool:
    """Whether nested lists hold numbers only."""
    return _kinds(value) <= {bool, int, float}


def of_numbers(sign: str, left: Any, right: Any) -> Any:
    """An operator between two Python numbers. OverflowError for integers that a tensor would not hold."""
    if sign == "**" and isinstance(left, int) and isinstance(right, int):
        large = abs(right) * max(left.bit_length() - 1, 0) > MAX_INTEGER.bit_length()
        if large and right > 0:
            raise OverflowError(_too_large(f"{left}**{right}"))
    try:
        result = BINARY[sign](left, right)
    except OverflowError:
        raise OverflowError(f"{left}{sign}{right} is too large for a float") from None
    if isinstance(result, complex):
        raise ValueError(f"{left}{sign}{right} is a complex number")
    if isinstance(result, int) and abs(result) >= MAX_INTEGER:
        raise OverflowError(_too_large(f"{left}{sign}{right}"))
    return result


def _too_large(what: str) -> str:
    return f"{what} is beyond 2**63, where integers end; write a float such as 1e20"
