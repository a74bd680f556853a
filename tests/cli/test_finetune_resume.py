"""`gradcli finetune --resume`: after signals and kills it comes to the bytes of a run that was left alone."""

from __future__ import annotations

import json
import shlex
import signal
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

Run = Callable[..., Any]
HEAD_OF_DIGITS = ("digits", "--freeze-backbone", "-b", 64)
RESULTS = ("model.safetensors", "last.safetensors", "config.toml")


@pytest.fixture
def start(tmp_path: Path, model_file: Path) -> Iterator[Callable[..., subprocess.Popen[str]]]:
    """Start `gradcli finetune` in the test's folder and leave it running; it ends with the test."""
    started = []

    def start(*arguments: object) -> subprocess.Popen[str]:
        command = [sys.executable, "-m", "gradcli", "finetune", *map(str, arguments), "-w", str(model_file)]
        pipe = subprocess.PIPE
        started.append(subprocess.Popen(command, stdout=pipe, stderr=pipe, text=True, cwd=tmp_path))
        return started[-1]

    yield start
    for process in started:
        process.kill()
        process.communicate()


def wait_for_epoch(process: subprocess.Popen[str], epoch: int) -> None:
    """Wait until the process has written the record of an epoch."""
    assert process.stdout is not None
    for line in process.stdout:
        if line.startswith(f"{epoch}\t"):
            return
    raise AssertionError(f"the run ended with {process.wait()} before epoch {epoch}")


def results(folder: str) -> dict[str, Any]:
    """What must be the same in a run that was never stopped."""
    lines = (Path(folder) / "metrics.jsonl").read_text().splitlines()
    metrics = [{key: value for key, value in json.loads(line).items() if key != "seconds"} for line in lines]
    return {"metrics": metrics} | {name: (Path(folder) / name).read_bytes() for name in RESULTS}


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM, signal.SIGKILL])
def test_a_run_that_was_stopped_goes_on_to_the_same_bytes(
    number: signal.Signals, gradcli: Run, start: Callable[..., Any], model_file: Path
) -> None:
    options = (*HEAD_OF_DIGITS, "--epochs", 60, "--schedule", "cosine", "--checkpoint-every", "50 steps")
    process = start(*options, "--run", "stopped")
    wait_for_epoch(process, 4)
    process.send_signal(number)
    _, errors = process.communicate(timeout=60)
    if number == signal.SIGKILL:
        assert process.returncode == -number
        command = "gradcli finetune --resume stopped"
    else:
        assert process.returncode == 143
        assert "stopping after this batch; Ctrl-C stops at once\n" in errors
        stopped, command = errors.splitlines()[-1].split("; go on with: ")
        assert stopped.startswith("stopped in epoch ")
        assert json.loads(Path("stopped/summary.json").read_text())["status"] == "stopped"
    resumed = gradcli(*shlex.split(command)[1:], "--json")
    assert resumed.exit_code == 0, resumed.stderr
    assert json.loads(resumed.stdout.splitlines()[-1])["epoch"] == 60
    assert gradcli("finetune", *options, "-w", model_file, "--run", "alone").exit_code == 0
    assert results("stopped") == results("alone")
    assert sorted(path.name for path in Path("stopped").iterdir()) == sorted(
        path.name for path in Path("alone").iterdir()
    )


def test_a_second_interrupt_stops_at_once(
    start: Callable[..., Any], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    process = start("digits", "-b", 1000, "--run", "run")  # a step of some seconds
    assert process.stderr is not None
    assert "images to train" in process.stderr.readline()
    while not Path("run/config.toml").exists():
        assert process.poll() is None
    process.send_signal(signal.SIGINT)
    assert process.stderr.readline().startswith("stopping after this batch")
    process.send_signal(signal.SIGINT)
    _, errors = process.communicate(timeout=60)
    assert process.returncode == 130
    assert errors == "gradcli finetune: interrupted\n"


def test_two_runs_never_write_one_folder(gradcli: Run, start: Callable[..., Any], images_file: Path) -> None:
    process = start(*HEAD_OF_DIGITS, "--epochs", 10_000, "--run", "run")
    wait_for_epoch(process, 1)
    message = "run: another run is using this folder"
    for arguments in (["--resume", "run"], [images_file, "--run", "run", "--force"]):
        refused = gradcli("finetune", *arguments)
        assert refused.exit_code == 7, refused.stderr
        assert message in refused.stderr
    assert process.poll() is None


def test_there_must_be_something_to_go_on_with(gradcli: Run, images_file: Path, model_file: Path) -> None:
    Path("empty").mkdir()
    arguments = (images_file, "-w", model_file, "--freeze-backbone", "--epochs", 1, "--run", "done")
    assert gradcli("finetune", *arguments).exit_code == 0
    before = results("done")
    for folder, message in (
        ("empty", "empty: has no config.toml; expected the folder of a run that was stopped"),
        ("nowhere", "nowhere: has no config.toml"),
        ("done", "done: the run is finished; there is nothing to resume"),
    ):
        refused = gradcli("finetune", "--resume", folder)
        assert refused.exit_code == 7
        assert message in refused.stderr
    assert results("done") == before


BESIDE = [
    (["--lr", "0.1"], "--lr"),
    (["--freeze-backbone"], "--freeze-backbone"),
    (["--run", "other"], "--run"),
    (["digits"], "digits"),
    (["--config", "run/config.toml"], "--config"),
]


@pytest.mark.parametrize(("words", "culprit"), BESIDE, ids=[culprit for _, culprit in BESIDE])
def test_a_resumed_run_keeps_its_settings(words: list[str], culprit: str, gradcli: Run) -> None:
    Path("run").mkdir()
    Path("run/config.toml").write_text('data = "digits"\nlr = 0.5\n')
    refused = gradcli("finetune", "--resume", "run", *words)
    assert refused.exit_code == 2
    assert refused.stderr.endswith(
        f"error: --resume goes on with the run's own data and settings; leave out {culprit}\n"
    )
