"""Dataclasses of options as parameters of a command."""

from __future__ import annotations

import inspect
from dataclasses import dataclass
from typing import Annotated

import pytest
import typer

from gradcli.cli.option_expansion import expand_option_groups

SizeOption = Annotated[int, typer.Option("--size")]


@dataclass(frozen=True, kw_only=True)
class Box:
    """A group with a default and the context."""

    context: typer.Context
    size: SizeOption = 3
    name: Annotated[str, typer.Option()] = "box"


@dataclass(frozen=True, kw_only=True)
class Lid:
    """A second group that wants the context too."""

    context: typer.Context
    colour: Annotated[str, typer.Option()] = "red"


@dataclass(frozen=True, kw_only=True)
class Common:
    """A group that is accepted but not passed on."""

    quiet: Annotated[bool, typer.Option()] = False


received: list[tuple[object, ...]] = []


def command(box: Box, lid: Lid, count: Annotated[int, typer.Option()] = 1) -> None:
    """What the command does."""
    received.append((box, lid, count))


def sized_twice(box: Box, size: SizeOption = 1) -> None:
    """A command with two sizes."""


def test_the_signature_has_a_keyword_per_field_in_order() -> None:
    expanded = expand_option_groups(command, accept=(Common,))
    parameters = inspect.signature(expanded).parameters
    assert list(parameters) == ["context", "size", "name", "colour", "count", "quiet"]
    assert [parameters[name].default for name in ("size", "name", "count", "quiet")] == [3, "box", 1, False]
    assert parameters["size"].annotation == SizeOption
    assert (expanded.__name__, expanded.__doc__) == ("command", "What the command does.")


def test_the_function_receives_its_groups_and_nothing_of_the_accepted_ones() -> None:
    context = object()
    expanded = expand_option_groups(command, accept=(Common,))
    expanded(context=context, size=5, name="crate", colour="blue", count=2, quiet=True)
    box, lid, count = received.pop()
    assert box == Box(context=context, size=5, name="crate")  # type: ignore[arg-type]
    assert lid == Lid(context=context, colour="blue")  # type: ignore[arg-type]
    assert count == 2


def test_an_option_that_comes_twice_is_refused() -> None:
    with pytest.raises(TypeError, match="sized_twice gets the option 'size' twice"):
        expand_option_groups(sized_twice)
