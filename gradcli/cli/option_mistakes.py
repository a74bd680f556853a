"""Mistakes in the arguments of a command: the parser takes them for something else, or has no hint for them."""

from __future__ import annotations

import difflib
import re
from collections.abc import Collection, Iterator, Sequence
from typing import Any, Final

from gradcli.checkpoints.quoting import some_names
from gradcli.cli.other_tools_words import DEVICES, OPTIONS, VALUES
from gradcli.errors import UsageError

_SHORT: Final = re.compile("-[^-]")
_MOST_COMMANDS: Final = 3


def refuse_option_mistakes(context: Any, arguments: Sequence[str]) -> None:
    """UsageError, with a hint, for an option that there is not or that lacks its value, and for an argument too many.

    An option lacks its value at the end of the arguments, or where another option follows, which the parser would take
    for the value. A value that is written as one of the command's options are is given by `--option=VALUE`.
    """
    parameters = context.command.get_params(context)
    options = [each for each in parameters if each.param_type_name == "option"]
    by_name = {name: option for option in options for name in (*option.opts, *option.secondary_opts)}
    places = [each.nargs for each in parameters if each.param_type_name == "argument"]
    room = None if -1 in places else sum(places)
    remaining = iter(arguments)
    for argument in remaining:
        if argument == "--":
            return
        name, is_attached, attached = argument.partition("=")
        option = by_name.get(name)
        if option is None:
            if argument.startswith("--"):
                raise UsageError(f"No such option: {name}; {_option_hint(context, name, by_name)}")
            if _SHORT.match(argument):
                if places and argument[:2] not in by_name:
                    raise UsageError(
                        f"there is no option {argument[:2]}; an argument that begins with - stands behind --: -- "
                        f"{argument}"
                    )
                continue
            if room == 0:
                raise UsageError(f"Got unexpected extra argument {argument!r}{_argument_hint(by_name)}")
            if room is not None:
                room -= 1
            continue
        if option.is_flag or option.count:
            continue
        for _ in range(0 if is_attached else option.nargs):
            value = next(remaining, None)
            if value is None or value.partition("=")[0] in by_name:
                follows = "" if value is None else f"; {value}, which follows it, is an option"
                raise UsageError(f"{argument}: lacks its value, {option.make_metavar(ctx=context)}{follows}")
            attached = value
        meant = VALUES.get((name, attached))
        if meant is not None:
            raise UsageError(f"{name} {attached}: did you mean {meant}?")


def _option_hint(context: Any, name: str, own: Collection[str]) -> str:
    """What is right instead of an option that the command doesn't have."""
    if name in DEVICES:
        return "gradcli computes on the CPU, --threads says with how many threads"
    meant = OPTIONS.get(name, name)
    if meant in own:
        return f"did you mean {meant}?"
    arguments = [each for each in context.command.params if each.param_type_name == "argument"]
    if any(meant == f"--{each.name}" for each in arguments):
        places = " ".join(each.make_metavar(ctx=context) for each in arguments)
        return f"it stands alone: {context.command_path} {places}"
    commands = [path for path, command in _commands(context.find_root().command, context) if _has(command, meant)]
    if commands:
        subject = "it" if meant == name else meant
        return f"{subject} is an option of {some_names(commands, _MOST_COMMANDS)}"
    near = difflib.get_close_matches(name, own)
    return f"did you mean {' or '.join(near)}?" if near else f"{context.command_path} --help lists the options"


def _argument_hint(own: Collection[str]) -> str:
    given = [
        f"{what} are given with {option}" for what, option in (("weights", "-w"), ("images", "-i")) if option in own
    ]
    return f"; {', '.join(given)}" if given else ""


def _commands(group: Any, context: Any, path: str = "") -> Iterator[tuple[str, Any]]:
    """All commands below a group, by their words."""
    for name in group.list_commands(context) if hasattr(group, "list_commands") else ():
        command = group.get_command(context, name)
        if hasattr(command, "list_commands"):
            yield from _commands(command, context, f"{path}{name} ")
        else:
            yield f"{path}{name}", command


def _has(command: Any, name: str) -> bool:
    return any(name in (*each.opts, *each.secondary_opts) for each in command.params)
