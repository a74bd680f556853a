"""Runs for the tests of finetuning: whole ones, stopped ones, resumed ones, and what is in their folders."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

from gradcli.training.finetuning.records import EpochRecord
from gradcli.training.finetuning.run import FinetuneRun
from gradcli.training.finetuning.run_folder import RunFolder
from gradcli.training.finetuning.run_state import load_run_state
from gradcli.training.finetuning.settings import FinetuneSettings
from gradcli.training.finetuning.setup import Finetuning
from gradcli.training.freezing import FreezeRule

HEAD_ONLY: list[FreezeRule] = [("freeze-backbone", "")]
UP_TO_LAYER3: list[FreezeRule] = [("freeze", "conv1.*"), ("freeze", "bn1.*"), ("freeze", "layer[123].*")]


def run_whole(settings: FinetuneSettings, path: Path) -> Finetuning:
    return start(settings, path, stop_after=None).finetuning


class Batches:
    """Counts batches, and asks to stop after some."""

    def __init__(self, limit: int | None) -> None:
        self.count = 0
        self.limit = limit

    def options(self) -> dict[str, Any]:
        return {"on_batch": self.add, "should_stop": lambda: self.limit is not None and self.count >= self.limit}

    def add(self, _: object) -> None:
        self.count += 1


def start(settings: FinetuneSettings, path: Path, stop_after: int | None) -> FinetuneRun:
    """A run that is asked to stop after so many batches."""
    finetuning = Finetuning(settings)
    run = FinetuneRun(finetuning, RunFolder.check(path))
    list(run.records(finetuning.config(), **Batches(stop_after).options()))
    return run


def resume(path: Path, stop_after: int | None = None) -> tuple[FinetuneRun, list[EpochRecord]]:
    run = FinetuneRun.resume(RunFolder.existing(path))
    return run, list(run.records({}, **Batches(stop_after).options()))


def content(path: Path) -> dict[str, Any]:
    """Everything in a run folder that another run of the same settings has too."""
    metrics = [json.loads(line) for line in (path / "metrics.jsonl").read_text().splitlines()]
    summary = RunFolder(path).summary()
    state = load_run_state(RunFolder(path).state_file)
    assert summary is not None
    assert state is not None
    for record in (*metrics, *summary["records"], summary["best"]):
        record.pop("seconds", None)  # those of gradients have none
    del summary["seconds"]
    return {
        "files": sorted(entry.name for entry in path.iterdir()),
        "config": (path / "config.toml").read_text(),
        "model": (path / "model.safetensors").read_bytes(),
        "last": (path / "last.safetensors").read_bytes(),
        "metrics": metrics,
        "summary": summary,
        "momenta": {name: array.tobytes() for name, array in state.optimizer_arrays.items()},
        "schedule": state.schedule,
    }


def assert_same(path: Path, other: Path) -> None:
    found, expected = content(path), content(other)
    assert list(found) == list(expected)
    assert [name for name in expected if found[name] != expected[name]] == []
