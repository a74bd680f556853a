"""benchmarks/kill_and_resume.py: it interrupts, resumes and compares, and sees what differs."""

from __future__ import annotations

import os
import random
import shutil
import signal
import sys
from collections.abc import Iterator
from pathlib import Path
from types import ModuleType
from typing import Any

import pytest

BENCHMARKS = Path(__file__).parents[2] / "benchmarks"
OPTIONS = ("--freeze-backbone", "--epochs", "3", "-b", "8", "--checkpoint-every", "2")

pytestmark = pytest.mark.skipif(os.name != "posix", reason="needs signals")


@pytest.fixture(scope="module")
def program() -> Iterator[ModuleType]:
    """The program as a module. Its neighbours, found by their plain names, are forgotten afterwards."""
    before = set(sys.modules)
    with pytest.MonkeyPatch.context() as patch:
        patch.syspath_prepend(BENCHMARKS)
        import kill_and_resume

        yield kill_and_resume
    for name in set(sys.modules) - before:
        if str(getattr(sys.modules[name], "__file__", None) or "").startswith(str(BENCHMARKS)):
            del sys.modules[name]


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Where the runs of `task` are."""
    return tmp_path_factory.mktemp("runs")


@pytest.fixture(scope="module")
def task(program: ModuleType, folder: Path) -> Any:
    """A task, whose run that is left alone has ended."""
    return program.Task(folder, [sys.executable, "-m", "gradcli"], OPTIONS, dict(os.environ))


def test_runs_come_to_the_same_however_they_are_interrupted(program: ModuleType, task: Any, folder: Path) -> None:
    for number, how in enumerate(program.HOW):
        count = program.Count()
        task.interrupted(how, number, random.Random(number), count)
        assert count.failures == []
        assert (count.runs, count.identical) == (1, 1)
        assert count.interruptions == count.resumed + count.before_the_folder > 0
    assert sorted(path.name for path in folder.iterdir()) == ["data.npz", "reference"]


def test_a_difference_is_told_and_counted(program: ModuleType, task: Any, folder: Path, tmp_path: Path) -> None:
    run = shutil.copytree(folder / "reference" / "run", tmp_path / "run")
    (run / "left.tmp").write_text("")
    weights = bytearray((run / "model.safetensors").read_bytes())
    weights[-1] ^= 1
    (run / "model.safetensors").write_bytes(weights)
    assert (
        program.differences(task.expected, program.result_of(run))
        == "differs in model.safetensors; files only there or only here: left.tmp"
    )


def test_a_process_that_hangs_says_where(
    program: ModuleType, task: Any, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setattr(program, "HANG_SECONDS", 1.0)
    monkeypatch.setattr(task, "_gradcli", [sys.executable, "-c", "import time; time.sleep(600)"])
    exit_code, errors = task._wait(task._start(tmp_path / "hanging", resume=False), None, random.Random(0))
    assert exit_code == 1
    assert 'File "<string>", line 1 in <module>' in errors
    assert errors.endswith("hung for 1 seconds")


@pytest.mark.parametrize(
    ("how", "exit_code", "line", "expected"),
    [
        ("sigkill", -signal.SIGKILL, "", True),
        ("sigkill", 1, "", False),
        ("sigterm", 143, "stopped", True),
        ("sigterm", 1, "Traceback", False),
        ("full-disk", 3, "gradcli finetune: error: run/checkpoint: cannot be written: File too large", True),
        ("full-disk", 1, "gradcli finetune: unexpected error: OSError", False),
        (None, 3, "gradcli finetune: error: x", False),
    ],
)
def test_processes_have_to_end_in_their_way(
    how: Any, exit_code: int, line: str, expected: bool, program: ModuleType
) -> None:
    assert program.expected_end(how, exit_code, line) == expected
