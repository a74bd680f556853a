"""Option groups: dataclasses of options that a command takes as one parameter each.

Typer reads a command's options from the function's signature. Here a command says

    def step(model: ModelOptions, sgd: SGDOptions, steps: StepsOption = 1) -> None: ...

and `expand_option_groups` makes the function that Typer sees, with one keyword per field of each
group. So an option and its default are written down once, whatever the number of commands.
"""

from __future__ import annotations

import dataclasses
import functools
import inspect
from collections.abc import Callable
from typing import Any, get_type_hints

import typer


def expand_option_groups(function: Callable[..., None], *, accept: tuple[type, ...] = ()) -> Callable[..., None]:
    """Return `function` with every dataclass parameter replaced by that dataclass's fields.

    The groups in `accept` add their options behind the function's own; their values are read from
    the context and not passed on. A field of type `typer.Context` receives the context. Two
    options of one name are refused with a TypeError.
    """
    hints = get_type_hints(function, include_extras=True)
    expanded: dict[str, inspect.Parameter] = {}
    groups: dict[str, tuple[type, list[str]]] = {}
    dropped: set[str] = set()

    def add(name: str, annotation: Any, default: Any) -> None:
        if name in expanded and annotation is not typer.Context:
            raise TypeError(f"{function.__name__} gets the option {name!r} twice")
        expanded[name] = inspect.Parameter(name, inspect.Parameter.KEYWORD_ONLY, default=default, annotation=annotation)

    for name, parameter in inspect.signature(function).parameters.items():
        if dataclasses.is_dataclass(hints[name]):
            fields = _fields_with_hints(hints[name])
            groups[name] = (hints[name], list(fields))
            for field, (annotation, default) in fields.items():
                add(field, annotation, default)
        else:
            add(name, hints[name], parameter.default)
    for group in accept:
        for field, (annotation, default) in _fields_with_hints(group).items():
            add(field, annotation, default)
            dropped.add(field)

    @functools.wraps(function)
    def call_with_groups(**values: Any) -> None:
        arguments = {name: value for name, value in values.items() if name in hints and name not in groups}
        for name, (group, fields) in groups.items():
            arguments[name] = group(**{field: values[field] for field in fields})
        function(**arguments)

    call_with_groups.__signature__ = inspect.Signature(list(expanded.values()))  # type: ignore[attr-defined]
    call_with_groups.__annotations__ = {name: each.annotation for name, each in expanded.items()}
    return call_with_groups


@functools.cache
def _fields_with_hints(group: type) -> dict[str, tuple[Any, Any]]:
    hints = get_type_hints(group, include_extras=True)
    return {
        field.name: (
            hints[field.name],
            inspect.Parameter.empty if field.default is dataclasses.MISSING else field.default,
        )
        for field in dataclasses.fields(group)
    }
