"""What a run's folder tells: its records of epochs and of gradients so far, its status, and whether it goes on."""

from __future__ import annotations

import os
import sys
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from gradcli.errors import DataError
from gradcli.hub.file_lock import is_held
from gradcli.training.finetuning.gradient_log import is_gradient_record
from gradcli.training.finetuning.run_folder import (
    CONFIG_FILE,
    LOCK_FILE,
    METRICS_FILE,
    RunFolder,
    metrics_record,
)

EPOCH = "epoch"
"""The kind of an epoch's record, which has none in the file."""

_EPOCH_NUMBERS = ("train_loss", "train_accuracy", "val_loss", "val_accuracy")


@dataclass(frozen=True)
class RunStatus:
    """Whether a process trains in the folder; how the run ended before, as `summary.json` has it, or None."""

    is_running: bool
    ended: str | None = None
    error: str | None = None

    def __str__(self) -> str:
        if self.is_running:
            return "running"
        return (self.ended or "ended without a summary") + (f": {self.error}" if self.error else "")


@dataclass
class RunHistory:
    """The records of a run in the order of its file, as dicts with a `kind`, "epoch" or "gradients"."""

    path: Path
    config: Mapping[str, Any] = field(default_factory=dict)
    epochs: list[dict[str, Any]] = field(default_factory=list)
    gradients: list[dict[str, Any]] = field(default_factory=list)

    def add(self, record: dict[str, Any]) -> None:
        (self.epochs if record["kind"] == EPOCH else self.gradients).append(record)

    def layer_series(self, value: str) -> dict[str, list[float | None]]:
        """`grad_norm` or `update_ratio` of each layer, a number for each record of gradients; None where it has none.

        The layers are in the model's order.
        """
        of_records = [
            {layer["name"]: as_number(layer[value]) for layer in record["layers"]} for record in self.gradients
        ]
        names = dict.fromkeys(name for layers in of_records for name in layers)
        return {name: [layers.get(name) for layers in of_records] for name in names}


class RunFollower:
    """Reads a run's `metrics.jsonl` as it grows, across resumes and replacements by `--force`.

    DataError for a folder of no run.
    """

    def __init__(self, path: Path) -> None:
        if not (path / CONFIG_FILE).is_file():
            raise DataError(
                f"{path}: has no {CONFIG_FILE}; expected the folder of a run that began, such as runs/digits"
            )
        self._path = path
        self._run: tuple[int, ...] = ()
        self._begin()

    def _begin(self) -> None:
        self.history = RunHistory(self._path, RunFolder(self._path).config())
        self._run = _identity(self._path / CONFIG_FILE)
        self._file: tuple[int, ...] = ()
        self._position = 0
        self._seen: set[tuple[Any, ...]] = set()

    def new_records(self) -> list[dict[str, Any]]:
        """The whole records that came since the last call; `history` has them too.

        A run that is resumed writes its lines again, which are not new. Lines that are no records are passed over.
        """
        if _identity(self._path / CONFIG_FILE) not in (self._run, ()):  # replaced, not only changed before a resume
            config = RunFolder(self._path).config()
            if config != self.history.config:
                self._begin()
        path = self._path / METRICS_FILE
        try:
            with path.open("rb") as file:
                status = os.fstat(file.fileno())
                identity = (status.st_dev, status.st_ino)
                if identity != self._file or status.st_size < self._position:
                    self._file, self._position = identity, 0
                file.seek(self._position)
                content = file.read()
        except FileNotFoundError:
            return []
        except OSError as error:
            raise DataError(f"{path}: cannot be read: {error.strerror or error}") from error
        whole = content[: content.rfind(b"\n") + 1]
        self._position += len(whole)
        records = []
        for line in whole.decode("utf-8", errors="replace").splitlines():
            record = _known_record(metrics_record(line))
            if record is not None:
                key = (record["kind"], record["epoch"], record.get("step"))
                if key not in self._seen:
                    self._seen.add(key)
                    self.history.add(record)
                    records.append(record)
        return records

    def status(self) -> RunStatus:
        """Whether the run goes on, and how it ended if it doesn't. RunFolderError for a summary that is none."""
        if is_held(self._path / LOCK_FILE):
            return RunStatus(True)
        summary = RunFolder(self._path).summary()
        if summary is None:
            return RunStatus(False)
        ended, error = summary.get("status"), summary.get("error")
        return RunStatus(False, None if ended is None else str(ended), None if error is None else str(error))


def read_history(path: Path) -> RunHistory:
    """The records of the run in a folder so far; DataError for a folder of no run."""
    follower = RunFollower(path)
    follower.new_records()
    return follower.history


def as_number(value: Any) -> float | None:
    """A number of a record, in which NaN and infinities are text."""
    return None if value is None else float(value)


def _known_record(record: dict[str, Any] | None) -> dict[str, Any] | None:
    """The record with its kind; None for one that is damaged or of a kind that is not known."""
    if record is None:
        return None
    if "kind" not in record:
        numbers = isinstance(record.get("epoch"), int) and all(_is_number(record.get(name)) for name in _EPOCH_NUMBERS)
        return {"kind": EPOCH, **record} if numbers else None
    if not (is_gradient_record(record) and isinstance(record.get("layers"), list) and _is_number(record.get("lr"))):
        return None
    if record.get("loss") is not None and not _is_number(record["loss"]):
        return None
    parts = [record, *record["layers"]]
    if all(isinstance(part, dict) and _is_number(part.get("grad_norm")) and _has_ratio(part) for part in parts) and all(
        isinstance(layer.get("name"), str) for layer in record["layers"]
    ):
        return record
    return None


def _has_ratio(part: Mapping[str, Any]) -> bool:
    return "update_ratio" in part and (part["update_ratio"] is None or _is_number(part["update_ratio"]))


def _is_number(value: Any) -> bool:
    if isinstance(value, int) and not isinstance(value, bool):
        return abs(value) <= sys.float_info.max
    return isinstance(value, float) or value in ("nan", "inf", "-inf")


def _identity(path: Path) -> tuple[int, ...]:
    try:
        status = path.stat()
    except OSError:
        return ()
    return status.st_dev, status.st_ino, status.st_mtime_ns
