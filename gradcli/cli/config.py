"""`--config FILE.toml`: values for any of a command's options, checked as the command line is."""

from __future__ import annotations

import difflib
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import typer

from gradcli.cli.given_options import given_options, record_configured_options
from gradcli.errors import UsageError

# Meaningless inside a file: these act before, or instead of, the command.
_NOT_CONFIGURABLE = frozenset({"config", "help"})

# An option on the command line also silences those in the file that contradict it.
_RIVALS = {
    "json": ("format",),
    "format": ("json",),
    "input": ("shape",),
    "shape": ("input",),
    "quiet": ("verbose",),
    "verbose": ("quiet",),
}

# The same for single values of an option: what they leave nothing to do.
_CROPS_AND_JITTER = ("crop_scale", "crop_ratio", "horizontal_flip", "brightness", "contrast", "saturation", "hue")
_RIVALS_OF_VALUE = {
    ("optimizer", "sgd"): ("betas", "eps"),
    ("optimizer", "adamw"): ("momentum", "dampening", "nesterov"),
    ("schedule", "constant"): ("min_lr", "step_size", "gamma"),
    ("schedule", "cosine"): ("step_size", "gamma"),
    ("schedule", "step"): ("min_lr",),
    ("schedule", "one-cycle"): ("warmup_epochs", "min_lr", "step_size", "gamma"),
    ("augment", "none"): ("views", *_CROPS_AND_JITTER),
}


def apply_config_file(context: typer.Context, path: Path | None) -> Path | None:
    """Make the file's values the command's defaults, behind the command line and the environment.

    A key is an option's long name, with dashes or underscores, or the name of a positional
    argument. Keys stand at the top level or in a table named as the command (`[step]`,
    `[weights.convert]`), which wins; other commands' tables are left to them. Freeze rules are the
    one exception to "the command line wins": there the file's rules come first and the command
    line's are added. UsageError for a file that can't be read, an unknown key or a wrong value.

    This is the callback of an eager option, so it runs before the other options look for defaults.
    """
    if path is None or context.resilient_parsing:
        return path
    parameters = _configurable_parameters(context.command)
    values: dict[str, Any] = {}
    for key, value in _settings(context, path, _read(path)):
        parameter = parameters.get(key.replace("_", "-"))
        if parameter is None:
            raise UsageError(f"{path}: {_unknown(key, parameters)}")
        values.pop(parameter.name, None)  # a value of the command's table takes its place in that table
        values[parameter.name] = _checked_value(context, parameter, value, f"{path}: {key}")
    for name, given in given_options(context):  # so far the command line's
        rivals = (*_RIVALS.get(name, ()), *_RIVALS_OF_VALUE.get((name, str(given)), ()))
        if name == "output" and Path(given).suffix:
            rivals = ("format", "json")
        for rival in rivals:
            values.pop(rival, None)
    context.default_map = {**(context.default_map or {}), **values}
    record_configured_options(
        context,
        [(name, each) for name, value in values.items() for each in (value if isinstance(value, list) else [value])],
    )
    return path


def _read(path: Path) -> dict[str, Any]:
    import tomllib

    try:
        with path.open("rb") as file:
            return tomllib.load(file)
    except OSError as error:
        raise UsageError(f"--config {path}: {error.strerror}") from error
    except (tomllib.TOMLDecodeError, UnicodeDecodeError) as error:
        raise UsageError(f"--config {path}: not valid TOML: {error}") from error


def _configurable_parameters(command: Any) -> dict[str, Any]:
    """The command's parameters by key: every long option name, and the names of arguments."""
    parameters: dict[str, Any] = {}
    for parameter in command.params:
        if parameter.name in _NOT_CONFIGURABLE:
            continue
        if parameter.param_type_name == "argument":
            parameters[parameter.name.replace("_", "-")] = parameter
        for name in parameter.opts:
            if name.startswith("--"):
                parameters[name.removeprefix("--")] = parameter
    return parameters


def _settings(context: Any, path: Path, document: dict[str, Any]) -> Iterator[tuple[str, Any]]:
    """Every (key, value) that concerns the command: the top level, then its table."""
    command_names = context.command_path.split()[1:]  # behind the program's name
    root = context.find_root()
    tables = set(root.command.list_commands(root)) if hasattr(root.command, "list_commands") else set()
    for key, value in document.items():
        if not isinstance(value, dict):
            yield key, value
        elif key not in tables:
            raise UsageError(f"{path}: [{key}] is the name of no command; a table is named as its command")
    table: Any = document
    for name in command_names:
        table = table.get(name) if isinstance(table, dict) else None
    if isinstance(table, dict) and table is not document:
        yield from table.items()


def _unknown(key: str, parameters: dict[str, Any]) -> str:
    near = difflib.get_close_matches(key.replace("_", "-"), parameters, cutoff=0.5)
    hint = f"did you mean {' or '.join(near)}?" if near else "keys are the long names of the command's options"
    return f"unknown key {key!r}; {hint}"


def _checked_value(context: Any, parameter: Any, value: Any, place: str) -> Any:
    """`value` as the command line would have written it, after trying it on the option."""
    if getattr(parameter, "is_flag", False):
        if not isinstance(value, bool):
            raise UsageError(f"{place} = {_as_toml(value)}: must be true or false")
        return value
    multiple = getattr(parameter, "multiple", False) or parameter.nargs == -1
    items = value if isinstance(value, list) else [value]
    if any(isinstance(item, bool) or not isinstance(item, str | int | float) for item in items):
        raise UsageError(f"{place} = {_as_toml(value)}: must be a string or a number{' or a list of those' * multiple}")
    words = [item if isinstance(item, str) else repr(item) for item in items]
    # A list for an option that takes one value is its comma-separated form: shape = [1, 3, 64, 64].
    text = words if multiple else ",".join(words)
    try:
        parameter.process_value(context, text)
    except typer.BadParameter as error:
        raise UsageError(f"{place} = {_as_toml(value)}: {error.message}") from error
    return text


def _as_toml(value: Any) -> str:
    return str(value).lower() if isinstance(value, bool) else repr(value)
