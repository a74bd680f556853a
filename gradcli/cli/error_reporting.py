"""The one place where an error becomes a line on standard error and an exit code."""

from __future__ import annotations

import os
import sys
import traceback

import typer

from gradcli.cli.plain_values import without_control_characters
from gradcli.errors import ExitCode, GradcliError

# Typer re-exports only this one of click's exceptions, and carries its own copy of click in some
# releases: the common base class is found through it. BadParameter < UsageError < ClickException.
_ClickException: type[BaseException] = typer.BadParameter.__mro__[2]


def report_error(error: BaseException, command_path: str, *, debug: bool = False) -> ExitCode:
    """Write `error` as one line to standard error and return the exit code it stands for.

    `command_path` is the command as typed, for example `gradcli weights convert`. With `debug` the
    traceback comes first. A broken pipe is no error of ours and stays silent.
    """
    if isinstance(error, BrokenPipeError):
        return ExitCode.BROKEN_PIPE
    exit_code, message = _explain(error)
    if debug:
        _write_to_standard_error("".join(traceback.format_exception(error)))
    # A message may quote a file name, which may contain line breaks and worse; a report is one line.
    _write_to_standard_error(f"{command_path}: {without_control_characters(' '.join(message.split()))}\n")
    return exit_code


def _explain(error: BaseException) -> tuple[ExitCode, str]:
    if isinstance(error, GradcliError):
        return error.exit_code, f"error: {error}"
    if isinstance(error, _ClickException):
        return ExitCode.USAGE, f"error: {getattr(error, 'format_message', error.__str__)()}"
    if isinstance(error, KeyboardInterrupt | typer.Abort):  # Abort: a question left unanswered
        return ExitCode.INTERRUPTED, "interrupted"
    if isinstance(error, MemoryError):
        detail = str(error) or "allocation failed"
        return ExitCode.UNEXPECTED, f"error: out of memory: {detail}; a smaller input or batch needs less"
    if isinstance(error, OSError) and error.errno is not None:
        culprit = f"{error.filename}: " if error.filename is not None else ""
        return ExitCode.DATA, f"error: {culprit}{error.strerror or error}"
    detail = f"{type(error).__name__}: {error}" if str(error) else type(error).__name__
    return ExitCode.UNEXPECTED, f"unexpected error: {detail}; --debug shows the traceback"


def _write_to_standard_error(text: str) -> None:
    # With standard error closed or full there is nobody left to tell; the exit code still does.
    if sys.stderr is not None:
        try:
            sys.stderr.write(text)
            sys.stderr.flush()
        except (OSError, ValueError):
            pass


def flush_standard_output() -> OSError | None:
    """Write out what standard output still buffers; return the error if that fails.

    After a failure the rest goes nowhere: otherwise the interpreter would try again while it shuts
    down, complain in several lines and change the exit code.
    """
    if sys.stdout is None:
        return None
    try:
        sys.stdout.flush()
    except OSError as error:
        try:
            descriptor = sys.stdout.fileno()
        except (OSError, ValueError):  # a stand-in for a real file, as test runners use
            return error
        null = os.open(os.devnull, os.O_WRONLY)
        os.dup2(null, descriptor)
        os.close(null)
        return error
    return None
