"""The errors gradcli raises on purpose, and the exit codes that scripts rely on.

Importable from every layer; imports nothing of gradcli.
"""

from __future__ import annotations

from enum import IntEnum
from typing import ClassVar


class ExitCode(IntEnum):
    """Exit codes of the `gradcli` command. They are an interface: extend, never renumber."""

    OK = 0
    UNEXPECTED = 1
    USAGE = 2
    DATA = 3
    WEIGHTS = 4
    DIVERGED = 5
    CHECK_FAILED = 6
    RUN_FOLDER = 7
    INTERRUPTED = 130
    BROKEN_PIPE = 141
    TERMINATED = 143


class GradcliError(Exception):
    """Base of every error that is the input's fault and not gradcli's.

    The message is one line: it names the file, parameter or option, says what is wrong and what
    would be right. The command line prints it and ends with `exit_code`.
    """

    exit_code: ClassVar[ExitCode] = ExitCode.UNEXPECTED


class UsageError(GradcliError):
    """An option, pattern or configuration that makes no sense."""

    exit_code = ExitCode.USAGE


class DataError(GradcliError):
    """Input, target or data set that can't be used, or an output that can't be written."""

    exit_code = ExitCode.DATA


class WeightsError(GradcliError):
    """A checkpoint that is corrupt, refused, or does not fit the model."""

    exit_code = ExitCode.WEIGHTS


class DivergedError(GradcliError):
    """A loss or gradient that is NaN or infinite."""

    exit_code = ExitCode.DIVERGED


class CheckError(GradcliError):
    """A comparison or check that did not hold."""

    exit_code = ExitCode.CHECK_FAILED


class RunFolderError(GradcliError):
    """A run folder that is in use or not empty."""

    exit_code = ExitCode.RUN_FOLDER
