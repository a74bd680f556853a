"""Options that were given without the value that they need: the parser takes the next option for it."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from gradcli.errors import UsageError


def require_option_values(context: Any, arguments: Sequence[str]) -> None:
    """UsageError for an option without its value: at the end of the arguments, or where another option follows.

    A value that is written as one of the command's options are is given by `--option=VALUE`.
    """
    options = [each for each in context.command.get_params(context) if each.param_type_name == "option"]
    by_name = {name: option for option in options for name in (*option.opts, *option.secondary_opts)}
    remaining = iter(arguments)
    for name in remaining:
        if name == "--":
            return
        option = by_name.get(name)
        if option is None or option.is_flag or option.count:
            continue
        for _ in range(option.nargs):
            value = next(remaining, None)
            if value is None or value.partition("=")[0] in by_name:
                follows = "" if value is None else f"; {value}, which follows it, is an option"
                raise UsageError(f"{name}: lacks its value, {option.make_metavar(ctx=context)}{follows}")
