"""Processes that a benchmark starts: programs that run to their end, and workers that answer line by line."""

from __future__ import annotations

import contextlib
import shlex
import subprocess
import sys
import tempfile
from collections.abc import Mapping, Sequence
from typing import NoReturn


class Worker:
    """A process that answers each line it is sent with one line. A context manager: it ends with the `with` block."""

    def __init__(self, command: list[str], environment: Mapping[str, str]) -> None:
        self._command = command
        self._errors = tempfile.TemporaryFile("w+")  # noqa: SIM115 - closed by __exit__
        self._process = subprocess.Popen(
            command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=self._errors, text=True, env=environment
        )

    def ask(self, line: str) -> str:
        """Send a line and wait for the answer."""
        assert self._process.stdin is not None
        with contextlib.suppress(BrokenPipeError):  # the process has ended; read() tells why
            self._process.stdin.write(f"{line}\n")
            self._process.stdin.flush()
        return self.read()

    def read(self) -> str:
        """Wait for a line; exit with the process's last words where it ends instead."""
        assert self._process.stdout is not None
        line = self._process.stdout.readline()
        if not line:
            self._process.wait()
            self._errors.seek(0)
            exit_for_failed(self._command, self._process.returncode, self._errors.read())
        return line

    def __enter__(self) -> Worker:
        return self

    def __exit__(self, *error: object) -> None:
        with contextlib.suppress(BrokenPipeError):  # communicate() flushes what a dead process left unread
            self._process.kill()
            self._process.communicate()
        self._errors.close()


def output_of(command: list[str], environment: Mapping[str, str]) -> str:
    """Run a program to its end and return what it printed; exit with its last words where it fails."""
    finished = subprocess.run(command, env=environment, capture_output=True, text=True)
    if finished.returncode != 0:
        exit_for_failed(command, finished.returncode, finished.stderr)
    return finished.stdout


def exit_for_failed(command: list[str], exit_code: int, errors: str) -> NoReturn:
    """End the benchmark because a process failed."""
    last_lines = errors.strip().splitlines()[-5:]
    sys.exit("\n".join([f"{shlex.join(command)} ended with exit code {exit_code}:", *last_lines]))


def require_modules(python: str, names: Sequence[str], advice: str) -> None:
    """Exit with one line where a Python lacks a module."""
    program = "import importlib.util, sys; print(*(n for n in sys.argv[1:] if importlib.util.find_spec(n) is None))"
    try:
        # -P: a folder of that name in the current one is no installed package.
        finished = subprocess.run([python, "-P", "-c", program, *names], capture_output=True, text=True, check=True)
    except (OSError, subprocess.CalledProcessError) as error:
        sys.exit(f"cannot run {python}: {error}")
    if missing := finished.stdout.split():
        sys.exit(f"{python} has no {', '.join(missing)}: {advice}")
