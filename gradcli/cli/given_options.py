"""Which options were given, in the order of the configuration file and then the command line.

click hands every option its own values and forgets how different options interleave. The freeze
rules need that order, so each command records it while it parses.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

_META_KEY = "gradcli.given_options"


def record_given_options(context: Any, values: Mapping[str, Any], order: Sequence[Any]) -> None:
    """Record the command line's options: the parser's `values` by name, and its `order`.

    `order` holds an option object for every time the option occurred; an option that may be
    repeated has a list of as many values.
    """
    seen: dict[str, int] = {}
    given: list[tuple[str, Any]] = []
    for parameter in order:
        if parameter.param_type_name == "argument":
            continue  # these are in the parser's order even if they were left out
        value = values[parameter.name]
        if isinstance(value, list):
            position = seen.get(parameter.name, 0)
            seen[parameter.name] = position + 1
            value = value[position]
        given.append((parameter.name, value))
    context.meta[_META_KEY] = given


def record_configured_options(context: Any, configured: Sequence[tuple[str, Any]]) -> None:
    """Record the configuration file's options, in file order, before the command line's."""
    context.meta[_META_KEY] = [*configured, *given_options(context)]


def given_options(context: Any) -> list[tuple[str, Any]]:
    """(parameter name, raw value) of every option given, oldest first."""
    return list(context.meta.get(_META_KEY, []))
