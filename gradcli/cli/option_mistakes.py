"""Mistakes in options that the parser itself takes for something else, or reports as something else."""

from __future__ import annotations

import re
from collections.abc import Sequence
from typing import Any, Final

from gradcli.errors import UsageError

_SHORT: Final = re.compile("-[^-]")


def refuse_option_mistakes(context: Any, arguments: Sequence[str]) -> None:
    """UsageError for an option without its value, and for an argument that begins with - and is no option.

    An option lacks its value at the end of the arguments, or where another option follows, which the parser would take
    for the value. A value that is written as one of the command's options are is given by `--option=VALUE`.
    """
    parameters = context.command.get_params(context)
    options = [each for each in parameters if each.param_type_name == "option"]
    by_name = {name: option for option in options for name in (*option.opts, *option.secondary_opts)}
    takes_arguments = len(options) < len(parameters)
    remaining = iter(arguments)
    for argument in remaining:
        if argument == "--":
            return
        option = by_name.get(argument)
        if option is None:
            if takes_arguments and _SHORT.match(argument) and argument[:2] not in by_name:
                raise UsageError(
                    f"there is no option {argument[:2]}; an argument that begins with - stands behind --: -- {argument}"
                )
            continue
        if option.is_flag or option.count:
            continue
        for _ in range(option.nargs):
            value = next(remaining, None)
            if value is None or value.partition("=")[0] in by_name:
                follows = "" if value is None else f"; {value}, which follows it, is an option"
                raise UsageError(f"{argument}: lacks its value, {option.make_metavar(ctx=context)}{follows}")
