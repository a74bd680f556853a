"""Exit codes one by one, one-line errors, lazy commands and help."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from types import ModuleType
from typing import Any

import pytest
from typer.testing import CliRunner

from gradcli.cli.app import command_group

FAILURES = {
    "usage": (2, "error: --param: 'fc.wait' matches nothing; near: fc.weight"),
    "data": (3, "error: photo.jpg: not an image"),
    "weights": (4, "error: weights.pth: cut short"),
    "diverged": (5, "error: the loss is nan in step 3"),
    "check": (6, "error: fc.weight: relative error 0.1"),
    "run-folder": (7, "error: runs/1: not empty"),
    "two-lines": (3, "error: a name with a line break: no such file"),
    "unexpected": (1, "unexpected error: KeyError: 'fc.weight'; --debug shows the traceback"),
    "end-of-file": (1, "unexpected error: EOFError; --debug shows the traceback"),
    "memory": (1, "error: out of memory: Unable to allocate 3.00 TiB; a smaller input or batch needs less"),
    "permission": (3, "error: out/grads.npz: Permission denied"),
    "interrupt": (130, "interrupted"),
}


@pytest.mark.parametrize("kind", FAILURES)
def test_an_error_is_one_line_and_its_exit_code_in_process(kind: str, invoke: Callable[..., Any]) -> None:
    result = invoke("fail", kind)
    exit_code, message = FAILURES[kind]
    assert result.exit_code == exit_code
    assert result.stderr == f"gradcli fail: {message}\n"
    assert result.stdout == ""


@pytest.mark.parametrize("kind", ["usage", "data", "unexpected", "interrupt"])
def test_an_error_is_the_same_as_a_process(kind: str, run_probe: Callable[..., Any]) -> None:
    result = run_probe("fail", kind)
    exit_code, message = FAILURES[kind]
    assert (result.returncode, result.stdout, result.stderr) == (exit_code, "", f"gradcli fail: {message}\n")


@pytest.mark.parametrize("kind", ["data", "unexpected"])
def test_debug_puts_the_traceback_before_the_line(kind: str, invoke: Callable[..., Any]) -> None:
    result = invoke("fail", kind, "--debug")
    exit_code, message = FAILURES[kind]
    assert result.exit_code == exit_code
    assert result.stderr.startswith("Traceback (most recent call last):\n")
    assert result.stderr.endswith(f"\ngradcli fail: {message}\n")


def test_success_and_a_commands_own_exit_code(invoke: Callable[..., Any]) -> None:
    assert invoke("leave", 0).exit_code == 0
    assert invoke("leave", 6).exit_code == 6


USAGE_ERRORS = [
    (["show", "--wieghts", "x"], "gradcli show: error: No such option", "--weights"),
    (["show", "--lr", "abc"], "gradcli show: error: Invalid value for '--lr'", ""),
    (["show", "--lr"], "gradcli show: error: --lr: lacks its value, FLOAT", ""),
    (["show", "--lr", "--json"], "gradcli show: error: --lr: lacks its value, FLOAT; --json, which follows it, is", ""),
    (["show", "-i", "-q", "x"], "gradcli show: error: -i: lacks its value, PATH|-; -q, which follows it, is", ""),
    (["show", "-w", "--seed=1"], "gradcli show: error: -w: lacks its value, ", "--seed=1, which follows it, is"),
    (["show", "--loss", "--lr", "1"], "gradcli show: error: --loss: lacks its value, ", "--lr, which follows it, is"),
    (["show", "-2*x"], "gradcli show: error: there is no option -2; ", "stands behind --: -- -2*x"),
    (["show", "--loss", "mae"], "gradcli show: error: Invalid value for '--loss'", "cross-entropy"),
    (["show", "--seed", "-1"], "gradcli show: error: Invalid value for '--seed'", ""),
    (["show", "--shape", "3,64,64"], "gradcli show: error: Invalid value for '--shape'", "N,C,H,W"),
    (["show", "a", "b"], "gradcli show: error: Got unexpected extra argument", "b"),
    (["fail"], "gradcli fail: error: Missing argument", ""),
    (["shwo"], "gradcli: error: no such command 'shwo'; did you mean show?", ""),
    (["--versoin"], "gradcli: error: No such option", ""),
    (["files", "cpoy"], "gradcli files: error: no such command 'cpoy'; did you mean copy?", ""),
    (["files", "copy", "--x"], "gradcli files copy: error: No such option", ""),
    (["show", "--quiet", "--verbose"], "gradcli show: error: --quiet and --verbose contradict", ""),
    (["show", "-i", "a.npy", "--shape", "1,3,8,8"], "gradcli show: error: --shape", "--input"),
    (["show", "--nesterov", "--momentum", "0"], "gradcli show: error: --nesterov needs --momentum", ""),
    (["show", "--lr", "inf"], "gradcli show: error: --lr must be a finite number", ""),
]


@pytest.mark.parametrize(("arguments", "start", "hint"), USAGE_ERRORS, ids=[" ".join(case[0]) for case in USAGE_ERRORS])
def test_wrong_usage_is_one_line_and_exit_code_2(
    arguments: list[str], start: str, hint: str, invoke: Callable[..., Any]
) -> None:
    result = invoke(*arguments)
    assert result.exit_code == 2
    assert result.stdout == ""
    assert result.stderr.startswith(start)
    assert hint in result.stderr
    assert result.stderr.count("\n") == 1


@pytest.mark.parametrize(
    ("arguments", "field", "value"),
    [
        (["--weights=--lr"], "weights", "--lr"),
        (["-w", "-nothing"], "weights", "-nothing"),
        (["-w", "a", "--", "--lr"], "data", "--lr"),
        (["-w", "a", "-o", "-"], "weights", "a"),
        (["--nesterov", "--seed", "1"], "nesterov", True),
    ],
)
def test_what_only_looks_like_an_option_is_a_value(
    arguments: list[str], field: str, value: object, invoke: Callable[..., Any]
) -> None:
    assert json.loads(invoke("show", *arguments).stdout)[field] == value


def test_a_nested_commands_error_has_its_whole_path(invoke: Callable[..., Any]) -> None:
    result = invoke("files", "copy", "a", "b")
    assert (result.exit_code, result.stderr) == (3, "gradcli files copy: error: a: no such file\n")


@pytest.mark.parametrize("arguments", [[], ["files"]])
def test_without_a_command_help_goes_to_standard_error(arguments: list[str], invoke: Callable[..., Any]) -> None:
    result = invoke(*arguments)
    assert result.exit_code == 2
    assert result.stdout == ""
    assert result.stderr.startswith("Usage: gradcli")


@pytest.mark.parametrize("arguments", [["-h"], ["--help"]])
def test_help_goes_to_standard_output_with_options_in_panels(arguments: list[str], invoke: Callable[..., Any]) -> None:
    result = invoke("show", *arguments)
    assert result.exit_code == 0
    headings = [line for line in result.stdout.splitlines() if line.endswith(":") and line[0] != " "]
    assert headings == [
        "Arguments:",
        "Model:",
        "Input and loss:",
        "Parameters:",
        "Optimizer:",
        "Output:",
        "Common:",
    ]
    assert "GRADCLI_WEIGHTS" in result.stdout


def test_a_command_is_imported_only_when_it_is_used(probe_app: ModuleType) -> None:
    app = command_group({"leave": probe_app.leave, "broken": "no_such_module_of_gradcli:broken"}, name="gradcli")
    runner = CliRunner()
    assert runner.invoke(app, ["leave", "0"]).exit_code == 0
    result = runner.invoke(app, ["broken"])
    assert result.exit_code == 1
    assert "unexpected error: ModuleNotFoundError: No module named 'no_such_module_of_gradcli'" in result.stderr


def test_a_closed_pipe_ends_quietly_with_141(start_probe: Callable[..., Any]) -> None:
    process = start_probe("rows", "--count", 100_000, "--format", "jsonl")
    assert process.stdout.readline().startswith('{"schema": "gradcli.rows/1"')
    process.stdout.close()
    assert process.stderr.read() == ""
    process.stderr.close()
    assert process.wait(60) == 141


@pytest.mark.parametrize("arguments", [["show"], ["show", "--help"], ["arrays"]])
def test_a_pipe_closed_before_anything_is_written_ends_with_141(arguments: list[str], tmp_path: Path) -> None:
    reading_end, writing_end = os.pipe()
    os.close(reading_end)
    probe_app = Path(__file__).with_name("probe_app.py")
    try:
        result = subprocess.run(
            [sys.executable, str(probe_app), *arguments],
            stdout=writing_end,
            stderr=subprocess.PIPE,
            timeout=60,
            check=False,
        )
    finally:
        os.close(writing_end)
    assert (result.returncode, result.stderr) == (141, b"")


@pytest.mark.skipif(not Path("/dev/full").exists(), reason="needs /dev/full")
@pytest.mark.parametrize(
    "arguments", [["rows"], ["rows", "--count", "5000"], ["arrays"], ["arrays", "--format", "safetensors"]]
)
def test_a_full_disk_behind_standard_output_is_a_data_error(arguments: list[str]) -> None:
    probe_app = Path(__file__).with_name("probe_app.py")
    with open("/dev/full", "wb") as full:
        result = subprocess.run(
            [sys.executable, str(probe_app), *arguments, "-q"],
            stdout=full,
            stderr=subprocess.PIPE,
            text=True,
            timeout=60,
            check=False,
        )
    assert result.returncode == 3
    assert result.stderr.startswith(f"gradcli {arguments[0]}: error: standard output: ")
    assert "No space left on device" in result.stderr
    assert result.stderr.count("\n") == 1


@pytest.mark.parametrize(
    ("signal_number", "exit_code", "stderr"),
    [(signal.SIGINT, 130, "gradcli wait: interrupted\n"), (signal.SIGTERM, 143, "")],
)
def test_a_signal_cleans_up_and_has_its_exit_code(
    signal_number: int, exit_code: int, stderr: str, start_probe: Callable[..., Any]
) -> None:
    process = start_probe("wait")
    assert process.stdout.readline() == "ready\n"
    process.send_signal(signal_number)
    assert process.communicate(timeout=60) == ("cleaned up\n", stderr)
    assert process.returncode == exit_code


def test_closed_standard_output_is_a_data_error() -> None:
    probe_app = Path(__file__).with_name("probe_app.py")
    command = 'exec "$0" "$@" >&-'
    result = subprocess.run(
        ["sh", "-c", command, sys.executable, str(probe_app), "rows"],
        stderr=subprocess.PIPE,
        text=True,
        timeout=60,
        check=False,
    )
    assert result.returncode == 3
    assert result.stderr == "gradcli rows: error: standard output is closed; write to a file with -o FILE\n"
