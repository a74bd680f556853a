"""The `gradcli` command: the table of its commands, and the entry point."""

from __future__ import annotations

import signal
from typing import Annotated, Any

import typer
import typer.main

from gradcli.cli.app import CommandEntry, command_group
from gradcli.errors import ExitCode

WEIGHTS_COMMANDS: dict[str, CommandEntry] = {
    "list": "gradcli.cli.known_weights:list_weights",
    "fetch": "gradcli.cli.known_weights:fetch",
    "convert": "gradcli.cli.weights:convert",
    "inspect": "gradcli.cli.weights:inspect",
    "verify": "gradcli.cli.known_weights:verify",
}

DATA_COMMANDS: dict[str, CommandEntry] = {
    "list": "gradcli.cli.data:list_datasets",
    "fetch": "gradcli.cli.data:fetch",
    "inspect": "gradcli.cli.data:inspect",
}

# In the order of the help page: the tutorial's steps, finetuning and what it is good for, the model, files.
COMMANDS: dict[str, CommandEntry] = {
    "forward": "gradcli.cli.forward:forward",
    "backward": "gradcli.cli.backward:backward",
    "step": "gradcli.cli.step:step",
    "grads": "gradcli.cli.grads:grads",
    "diff": "gradcli.cli.diff:diff",
    "freeze": "gradcli.cli.freeze:freeze",
    "finetune": "gradcli.cli.finetune:finetune",
    "watch": "gradcli.cli.watch:watch",
    "evaluate": "gradcli.cli.evaluate:evaluate",
    "predict": "gradcli.cli.predict:predict",
    "features": "gradcli.cli.features:features",
    "summary": "gradcli.cli.summary:summary",
    "graph": "gradcli.cli.graph:graph",
    "report": "gradcli.cli.report:report",
    "check": "gradcli.cli.check:check",
    "trace": "gradcli.cli.trace:trace",
    "expr": "gradcli.cli.expr:expr",
    "tutorial": "gradcli.cli.tutorial:tutorial",
    "selftest": "gradcli.cli.selftest:selftest",
    "lr-find": "gradcli.cli.lr_find:lr_find",
    "landscape": "gradcli.cli.landscape:landscape",
    "weights": command_group(
        WEIGHTS_COMMANDS, help="Known weights and checkpoint files: list, fetch, convert, inspect, verify."
    ),
    "data": command_group(DATA_COMMANDS, help="Known data sets, and what one holds: list, fetch, inspect."),
}


def _print_version(wanted: bool) -> None:
    if wanted:
        from gradcli import __version__

        typer.echo(f"gradcli {__version__}")
        raise typer.Exit


def _root(
    version: Annotated[
        bool, typer.Option("--version", is_eager=True, callback=_print_version, help="Show the version.")
    ] = False,
) -> None:
    """Train a ResNet-18 and look at every gradient, from the shell.

    Data goes to standard output, everything else to standard error. Exit codes: 0 done, 1 unexpected,
    2 wrong usage, 3 data problem, 4 weights refused, 5 diverged, 6 check failed, 7 run folder in use.
    """


app = command_group(COMMANDS, name="gradcli", callback=_root, add_completion=True)


def _stop(signal_number: int, frame: Any) -> None:
    # An exit and no sudden death, so that temporary files are removed on the way out.
    raise SystemExit(ExitCode.TERMINATED)


def main() -> None:
    """Run the command line of this process and leave with its exit code."""
    signal.signal(signal.SIGTERM, _stop)
    typer.main.get_command(app).main(prog_name="gradcli")
