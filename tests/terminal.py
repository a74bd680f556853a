"""Run a program at a pseudo-terminal, for the tests of what only a terminal gets to see."""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Sequence

import pytest

needs_terminal = pytest.mark.skipif(os.name != "posix", reason="needs pseudo-terminals")


class Terminal:
    """A Python program's standard output or error, or both, at a pseudo-terminal.

    `shown` is what the terminal got, `piped` what the streams that are not at it wrote.
    """

    def __init__(
        self,
        program: Sequence[str],
        arguments: Sequence[str],
        streams: Sequence[str],
        *,
        columns: int = 60,
        **environment: str,
    ) -> None:
        import fcntl
        import pty
        import struct
        import termios

        controller, terminal = pty.openpty()
        fcntl.ioctl(terminal, termios.TIOCSWINSZ, struct.pack("HHHH", 24, columns, 0, 0))
        variables = {name: value for name, value in os.environ.items() if name not in ("NO_COLOR", "COLUMNS")}
        process = subprocess.Popen(
            [sys.executable, *program, *arguments],
            stdout=terminal if "stdout" in streams else subprocess.PIPE,
            stderr=terminal if "stderr" in streams else subprocess.PIPE,
            env={**variables, "TERM": "xterm-256color", **environment},
        )
        os.close(terminal)
        self.shown = b""
        while True:
            try:
                chunk = os.read(controller, 65536)
            except OSError:  # how Linux reports the end
                break
            if not chunk:
                break
            self.shown += chunk
        os.close(controller)
        stdout, stderr = process.communicate(timeout=60)
        self.piped = (stdout or b"") + (stderr or b"")
        self.exit_code = process.returncode
