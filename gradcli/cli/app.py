"""The Typer classes behind every command: lazy loading, plain help, order of options, exit codes."""

from __future__ import annotations

import difflib
import importlib
import os
import sys
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any, ClassVar, cast

import typer
import typer.main
from typer.core import TyperCommand, TyperGroup

from gradcli.cli.error_reporting import flush_standard_output, report_error
from gradcli.cli.given_options import record_given_options
from gradcli.cli.option_expansion import expand_option_groups
from gradcli.cli.option_groups import CommonOptions
from gradcli.cli.option_mistakes import refuse_option_mistakes
from gradcli.cli.options import COMMON_PANEL, PANELS
from gradcli.cli.other_tools_words import COMMANDS
from gradcli.cli.runtime import prepared_runtime
from gradcli.errors import ExitCode

# A command is named by "module:function" and imported when it is used, so that one command's start
# pays for no other; tests and small tools may hand over the function itself.
CommandEntry = str | Callable[..., None] | typer.Typer

# Help is click's plain text: half the start-up time of Rich's, the same on a terminal and in a pipe.
_TYPER_SETTINGS: dict[str, Any] = {"rich_markup_mode": None, "pretty_exceptions_enable": False}


def command_group(
    commands: Mapping[str, CommandEntry],
    *,
    name: str | None = None,
    callback: Callable[..., None] | None = None,
    help: str | None = None,
    add_completion: bool = False,
) -> typer.Typer:
    """A Typer application of the named commands; a value that is itself a group nests.

    `callback` may declare options of the group itself.
    """
    group_class = type("CommandGroup", (LazyGroup,), {"entries": dict(commands)})
    group = typer.Typer(
        name=name,
        help=help or (callback.__doc__ if callback else None),
        cls=group_class,
        add_completion=add_completion,
        context_settings={"help_option_names": ["-h", "--help"]},
        **_TYPER_SETTINGS,
    )
    # Typer takes an application without callback and commands of its own for an empty one.
    group.callback()(callback or (lambda: None))
    return group


def build_command(name: str, entry: CommandEntry) -> Any:
    """The click command for an entry of a group."""
    if isinstance(entry, typer.Typer):
        group = typer.main.get_command(entry)
        group.name = name
        return group
    if isinstance(entry, str):
        module, _, attribute = entry.partition(":")
        entry = cast(Callable[..., None], getattr(importlib.import_module(module), attribute))
    single = typer.Typer(add_completion=False, **_TYPER_SETTINGS)
    single.command(name, cls=Command)(expand_option_groups(entry, accept=(CommonOptions,)))
    return typer.main.get_command(single)


@dataclass
class Invocation:
    """What error reporting has to know of the run in progress; shared through the context."""

    command_path: str
    debug: bool = False


# In the overrides below a context is `Any`: click's own class is private in some Typer releases.


class Command(TyperCommand):
    """A command that accepts the common options and remembers the order in which options came."""

    def parse_args(self, ctx: Any, args: list[str]) -> list[str]:
        invocation = ctx.ensure_object(Invocation)
        invocation.command_path = ctx.command_path
        if not ctx.resilient_parsing:
            refuse_option_mistakes(ctx, args)
        # Parsed once more than click does itself, for the order that click does not pass on.
        values, _, order = self.make_parser(ctx).parse_args(args=list(args))
        record_given_options(ctx, values, order)
        invocation.debug = bool(values.get("debug"))
        return super().parse_args(ctx, args)

    def invoke(self, ctx: Any) -> Any:
        common = CommonOptions(**{field: ctx.params[field] for field in CommonOptions.names()})
        ctx.ensure_object(Invocation).debug = common.debug
        with prepared_runtime(threads=common.threads, quiet=common.quiet, verbose=common.verbose):
            return super().invoke(ctx)

    def format_options(self, ctx: Any, formatter: Any) -> None:
        _write_option_panels(self, ctx, formatter)


class LazyGroup(TyperGroup):
    """A group that builds a command when it is asked for, and ends every error with its exit code."""

    entries: ClassVar[Mapping[str, CommandEntry]] = {}

    def list_commands(self, ctx: Any) -> list[str]:
        return list(self.entries)

    def get_command(self, ctx: Any, cmd_name: str) -> Any:
        if cmd_name in self.entries and cmd_name not in self.commands:
            self.commands[cmd_name] = build_command(cmd_name, self.entries[cmd_name])
        return self.commands.get(cmd_name)

    def resolve_command(self, ctx: Any, args: list[str]) -> Any:
        name = args[0]
        if name not in self.entries and not name.startswith("-"):
            program = ctx.find_root().info_name
            near = [f"{program} {words}" for words in COMMANDS.get(name, ())] or difflib.get_close_matches(
                name, self.entries
            )
            choices = f"did you mean {' or '.join(near)}?" if near else f"choose from {', '.join(self.entries)}"
            ctx.fail(f"no such command {name!r}; {choices}")
        return super().resolve_command(ctx, args)

    def parse_args(self, ctx: Any, args: list[str]) -> list[str]:
        ctx.ensure_object(Invocation).command_path = ctx.command_path
        if not args and not ctx.resilient_parsing:
            # Nothing was asked for: help, but as an error, so that a script with an empty variable stops.
            typer.echo(self.get_help(ctx), err=True)
            ctx.exit(ExitCode.USAGE)
        return super().parse_args(ctx, args)

    def format_options(self, ctx: Any, formatter: Any) -> None:
        _write_option_panels(self, ctx, formatter)
        self.format_commands(ctx, formatter)

    def main(
        self,
        args: Any = None,
        prog_name: str | None = None,
        complete_var: str | None = None,
        standalone_mode: bool = True,
        windows_expand_args: bool = True,
        **extra: Any,
    ) -> Any:
        """Run a command line and leave with its exit code; in process as well as in a test runner."""
        program = prog_name or self.name or "gradcli"
        completion = complete_var or f"_{program}_COMPLETE".replace("-", "_").upper()
        if not standalone_mode or completion in os.environ:
            return super().main(args, prog_name, complete_var, standalone_mode, windows_expand_args, **extra)
        # Typer's own version turns some errors into others (a closed pipe into exit code 1, the end of
        # a file into an abort), so parsing and running are done here.
        invocation = Invocation(program)
        exit_code: int = ExitCode.OK
        try:
            arguments = sys.argv[1:] if args is None else list(args)
            with self.make_context(program, arguments, obj=invocation, **extra) as context:
                self.invoke(context)
        except typer.Exit as leaving:
            exit_code = leaving.exit_code
        except SystemExit:
            raise  # a signal
        except BaseException as error:
            exit_code = report_error(error, invocation.command_path, debug=invocation.debug)
        unwritten = flush_standard_output()
        if unwritten is not None and exit_code == ExitCode.OK:
            if not isinstance(unwritten, BrokenPipeError):
                unwritten = OSError(unwritten.errno, unwritten.strerror, "standard output")
            exit_code = report_error(unwritten, invocation.command_path, debug=invocation.debug)
        sys.exit(int(exit_code))


def _write_option_panels(command: Any, ctx: Any, formatter: Any) -> None:
    panels: dict[str, list[tuple[str, str]]] = {}
    for parameter in command.get_params(ctx):
        record = parameter.get_help_record(ctx)
        if record is not None:
            unnamed = "Arguments" if parameter.param_type_name == "argument" else "Options"
            panel = getattr(parameter, "rich_help_panel", None) or unnamed
            if parameter.name == "help" and COMMON_PANEL in panels:
                panel = COMMON_PANEL
            panels.setdefault(panel, []).append(record)
    order = {panel: position for position, panel in enumerate(PANELS)}
    for panel, records in sorted(panels.items(), key=lambda item: order.get(item[0], len(PANELS))):
        with formatter.section(panel):
            formatter.write_dl(records)
