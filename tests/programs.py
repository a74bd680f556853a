"""Programs that mean the same with gradcli and with PyTorch, written once, beside what they must give.

    programs = Programs()

    @programs.gives([4.0, 9.0])
    def square(torch):
        return torch.tensor([2.0, 3.0]) ** 2

    @programs.raises(RuntimeError, "a leaf Variable that requires grad")
    def leaf_in_place(torch):
        torch.ones(2, requires_grad=True).mul_(2)

A test runs every program with gradcli, and a parity test the very same programs with PyTorch: both must give the value
written down, or raise the error with that part of the message.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any

import pytest

Function = Callable[[Any], Any]


class Program:
    """A function of `torch`, which may be gradcli, and what must come of it."""

    def __init__(self, name: str, function: Function, expected: Any, error: tuple[type[Exception], str] | None) -> None:
        self.name = name
        self.function = function
        self.expected = expected
        self.error = error

    def check(self, torch: Any) -> None:
        """Run it with gradcli or PyTorch; AssertionError if anything else comes of it."""
        if self.error is not None:
            kind, message = self.error
            with pytest.raises(Exception, match=message) as caught:
                self.function(torch)
            assert caught.type is kind
            return
        result = plain(self.function(torch))
        assert same(result, plain(self.expected)), f"got {result}, expected {self.expected}"


class Programs:
    """The programs of one test module."""

    def __init__(self) -> None:
        self.table: list[Program] = []

    def gives(self, expected: Any) -> Callable[[Function], Function]:
        """Enter a function that returns this: tensors stand for their values, nodes for their names."""

        def enter(function: Function) -> Function:
            self.table.append(Program(function.__name__, function, expected, None))
            return function

        return enter

    def raises(self, error: type[Exception], message: str) -> Callable[[Function], Function]:
        """Enter a function that raises this, with a message in which that regular expression is found."""

        def enter(function: Function) -> Function:
            self.table.append(Program(function.__name__, function, None, (error, message)))
            return function

        return enter

    def refusals(self, table: dict[str, tuple[Function, type[Exception], str]]) -> None:
        """Enter many functions that raise something: by name, with the error and the message."""
        for name, (function, error, message) in table.items():
            self.table.append(Program(name, function, None, (error, message)))

    def results(self, table: dict[str, tuple[Function, Any]]) -> None:
        """Enter many functions by name, with what they return."""
        for name, (function, expected) in table.items():
            self.table.append(Program(name, function, expected, None))

    @property
    def each(self) -> pytest.MarkDecorator:
        """Parametrises a test over all programs entered so far, as `program`."""
        return pytest.mark.parametrize("program", self.table, ids=[program.name for program in self.table])


def plain(value: Any) -> Any:
    """Numbers, truth values, texts and None in lists and dicts, made of what a program returned."""
    if isinstance(value, dict):
        return {key: plain(item) for key, item in value.items()}
    if hasattr(value, "tolist"):
        return value.tolist()
    if hasattr(value, "next_functions"):
        return value.name().rpartition("::")[2]  # PyTorch's nodes without a type of their own carry its namespace
    if isinstance(value, tuple | list):
        return [plain(item) for item in value]
    if value is None or isinstance(value, bool | int | float | str):
        return value
    return str(value)


def same(first: Any, second: Any) -> bool:
    """Whether two plain values agree, numbers up to rounding in single precision."""
    if isinstance(first, list) and isinstance(second, list):
        return len(first) == len(second) and all(same(a, b) for a, b in zip(first, second, strict=True))
    if isinstance(first, dict) and isinstance(second, dict):
        return first.keys() == second.keys() and all(same(first[key], second[key]) for key in first)
    if isinstance(first, float) and isinstance(second, float):
        return math.isclose(first, second, rel_tol=2e-6, abs_tol=1e-12) or (math.isnan(first) and math.isnan(second))
    return type(first) is type(second) and bool(first == second)
