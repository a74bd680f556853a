"""Streams by verbosity, threads, and that everything is put back."""

from __future__ import annotations

import logging
import os
import warnings
from collections.abc import Callable
from typing import Any

import pytest

from gradcli.cli.runtime import BLAS_THREAD_VARIABLES, prepared_runtime
from gradcli.errors import UsageError
from gradcli.kernels.threads import get_num_threads

NEWS = ["some news", "warning: a doubt", "warning: a library's doubt", "epoch 1: 2 of 2, loss 0.5"]


@pytest.mark.parametrize(
    ("arguments", "lines"), [([], NEWS), (["-v"], ["a detail", *NEWS]), (["-q"], []), (["--quiet"], [])]
)
def test_verbosity_decides_what_standard_error_shows(
    arguments: list[str], lines: list[str], run_probe: Callable[..., Any]
) -> None:
    result = run_probe("talk", *arguments)
    assert result.stdout == "data\n"
    assert result.stderr.splitlines() == lines
    assert result.returncode == 0


@pytest.mark.parametrize("threads", [None, 3])
def test_blas_has_one_thread_whatever_the_environment_says(
    threads: int | None, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("OMP_NUM_THREADS", "7")
    monkeypatch.delenv("MKL_NUM_THREADS", raising=False)
    before = dict(os.environ)
    with prepared_runtime(threads=threads, quiet=False, verbose=False):
        assert {os.environ[name] for name in BLAS_THREAD_VARIABLES} == {"1"}
    assert dict(os.environ) == before


def test_threads_share_the_kernels_work_and_are_put_back_after_an_error() -> None:
    before = get_num_threads()
    inside = []

    def fail() -> None:
        with prepared_runtime(threads=before + 1, quiet=False, verbose=False):
            inside.append(get_num_threads())
            raise RuntimeError

    with pytest.raises(RuntimeError):
        fail()
    assert (inside, get_num_threads()) == ([before + 1], before)
    with prepared_runtime(threads=None, quiet=False, verbose=False):
        assert get_num_threads() == before


def test_logging_and_warnings_are_put_back_after_an_error() -> None:
    logger = logging.getLogger("gradcli")
    before = (logger.level, list(logger.handlers), warnings.showwarning)
    with pytest.raises(RuntimeError), prepared_runtime(threads=None, quiet=False, verbose=True):
        raise RuntimeError
    assert (logger.level, logger.handlers, warnings.showwarning) == before


def test_quiet_and_verbose_contradict_each_other() -> None:
    with (
        pytest.raises(UsageError, match="contradict each other"),
        prepared_runtime(threads=None, quiet=True, verbose=True),
    ):
        pass


def test_a_closed_standard_error_ends_no_command(run_probe: Callable[..., Any], probe_app: Any) -> None:
    import subprocess
    import sys

    result = subprocess.run(
        ["sh", "-c", 'exec "$0" "$@" 2>&-', sys.executable, probe_app.__file__, "talk"],
        stdout=subprocess.PIPE,
        text=True,
        timeout=60,
        check=False,
    )
    assert (result.returncode, result.stdout) == (0, "data\n")


def test_control_characters_of_names_reach_no_terminal(capsys: pytest.CaptureFixture[str]) -> None:
    with prepared_runtime(threads=None, quiet=False, verbose=False):
        logging.getLogger("gradcli").warning("two\nlines of %s", "w\x1b[2J")
    assert capsys.readouterr().err == "warning: two\nlines of w\\x1b[2J\n"
