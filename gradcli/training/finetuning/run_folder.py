"""The folder that a finetuning run writes: who may use it, and what it holds.

`model.safetensors` are the weights of the best epoch and `last.safetensors` the last ones, `metrics.jsonl` has a record
for each epoch and each step whose gradients are logged, `config.toml` the options that repeat the run, `summary.json`
what it came to, and `checkpoint/` what it goes on from after a stop.
"""

from __future__ import annotations

import json
import os
import re
import shutil
import tomllib
from collections.abc import Iterable, Mapping
from contextlib import ExitStack, suppress
from pathlib import Path
from typing import Any

from gradcli.checkpoints import save_safetensors, write_atomically
from gradcli.errors import DataError, RunFolderError, UsageError
from gradcli.hub.file_lock import acquire, release
from gradcli.models.weights_source import RUN_WEIGHTS

CONFIG_FILE = "config.toml"
METRICS_FILE = "metrics.jsonl"
SUMMARY_FILE = "summary.json"
LAST_WEIGHTS = "last.safetensors"
CHECKPOINT_FOLDER = "checkpoint"
STATE_FILE = "state.safetensors"
LOCK_FILE = ".lock"

_OWN_NAMES = frozenset({CONFIG_FILE, METRICS_FILE, SUMMARY_FILE, RUN_WEIGHTS, LAST_WEIGHTS, CHECKPOINT_FOLDER})
# What a process that was killed leaves: its lock, and files that have not got their name yet.
_LEFT_BEHIND = re.compile(r"\.(lock|.+\.[0-9a-f]{8}\.tmp)")
_EVENT_FILE = re.compile(r"events\.out\.tfevents\..+")  # as TensorBoard wants them called


class RunFolder:
    """The folder of a run: a new one, of which nothing exists on disk before `create`, or an `existing` one.

    `is_resumed` tells which.
    """

    def __init__(self, path: Path, *, force: bool = False) -> None:
        self.path = path
        self.is_resumed = False
        self._force = force
        self._made: list[Path] = []
        self._is_claimed = False
        self._claimed = ExitStack()

    @classmethod
    def check(cls, path: Path, *, force: bool = False) -> RunFolder:
        """The folder `path` for a new run: RunFolderError if something is in it, DataError if it can't be made.

        With `force`, an earlier run may be in it, whose files `create` removes; nothing else may.
        """
        if path.is_dir():
            _check_content(path, force)
        elif path.exists():
            raise RunFolderError(f"{path}: there is a file of this name; name a run folder with --run")
        parent = next(place for place in (path, *path.absolute().parents) if place.exists())
        if not parent.is_dir() or not os.access(parent, os.W_OK):
            raise DataError(f"{path}: the run folder can't be made: {parent} is not a folder to write into")
        return cls(path, force=force)

    @classmethod
    def next_free(cls, parent: Path, name: str) -> RunFolder:
        """The first of `parent/name`, `parent/name-2`, `parent/name-3`, … that is free."""
        number = 1
        while True:
            path = parent / (name if number == 1 else f"{name}-{number}")
            if not path.exists():
                return cls.check(path)
            number += 1

    @classmethod
    def existing(cls, path: Path) -> RunFolder:
        """The folder of an earlier run, locked, to go on with it.

        RunFolderError if there is none or another process is using it.
        """
        if not (path / CONFIG_FILE).is_file():
            raise RunFolderError(
                f"{path}: has no {CONFIG_FILE}; expected the folder of a run that was stopped: start it anew"
            )
        folder = cls(path)
        folder.is_resumed = True
        folder._claim()
        for place in (path, path / CHECKPOINT_FOLDER):
            _remove(
                entry for entry in _entries(place) if _LEFT_BEHIND.fullmatch(entry.name) and entry.name != LOCK_FILE
            )
        return folder

    @property
    def state_file(self) -> Path:
        """Where the state of the run is, to go on from."""
        return self.path / CHECKPOINT_FOLDER / STATE_FILE

    @property
    def is_kept(self) -> bool:
        """Whether the folder outlives a run that ends now: it was there before, or holds more than a configuration."""
        return self.is_resumed or any((self.path / name).exists() for name in _OWN_NAMES - {CONFIG_FILE})

    def create(self, config: Mapping[str, Any]) -> None:
        """Make the folder, lock it and write the configuration, options by their long names.

        RunFolderError if another run has taken it meanwhile.
        """
        self._made = [place for place in (self.path, *self.path.parents) if not place.exists()]
        try:
            self.path.mkdir(parents=True, exist_ok=True)
        except OSError as error:
            raise DataError(f"{self.path}: the run folder can't be made: {error.strerror}") from None
        self._claim()
        try:
            _check_content(self.path, self._force)
            # The configuration last: until then it shows whose files these are.
            _remove(sorted(_entries(self.path, but=LOCK_FILE), key=lambda entry: entry.name == CONFIG_FILE))
            with write_atomically(self.path / CONFIG_FILE, "w") as file:
                file.write(to_toml(config))
        except BaseException:
            self.release()
            raise

    def replaces(self, file: Path) -> bool:
        """Whether `create` removes this file."""
        return self._force and file.exists() and file.resolve().is_relative_to(self.path.resolve())

    def release(self) -> None:
        """Let others use the folder."""
        self._is_claimed = False
        self._claimed.close()

    def remove_unless_saved(self) -> None:
        """Undo `create` for a run that ended before it came to anything, and release the folder."""
        if not self._is_claimed:
            return
        if self.is_kept:
            self.release()
            return
        with suppress(OSError):  # the error that ended the run matters more
            (self.path / CONFIG_FILE).unlink(missing_ok=True)
        self.release()
        with suppress(OSError):
            for place in self._made:
                place.rmdir()

    def config(self) -> dict[str, Any]:
        """The options of the configuration by their long names; UsageError if it can't be read or is no TOML."""
        path = self.path / CONFIG_FILE
        try:
            return tomllib.loads(path.read_text(encoding="utf-8"))
        except (OSError, UnicodeDecodeError) as error:
            raise UsageError(f"{path}: cannot be read: {error}") from error
        except tomllib.TOMLDecodeError as error:
            raise UsageError(f"{path}: not valid TOML: {error}") from error

    def summary(self) -> dict[str, Any] | None:
        """What `save_summary` wrote last, None without; RunFolderError if it is something else."""
        path = self.path / SUMMARY_FILE
        try:
            summary = json.loads(path.read_text(encoding="utf-8"))
        except FileNotFoundError:
            return None
        except (OSError, ValueError, RecursionError) as error:
            raise RunFolderError(f"{path}: cannot be read: {error}") from error
        if not isinstance(summary, dict):
            raise RunFolderError(f"{path}: is no summary of a run; expected a JSON object")
        return summary

    def add_metrics(self, record: Mapping[str, Any]) -> None:
        """Append a record, one line of JSON."""
        path = self.path / METRICS_FILE
        try:
            size = path.stat().st_size if path.exists() else 0
            try:
                with path.open("a", encoding="utf-8") as file:
                    file.write(_json_line(record))
            except OSError:
                with suppress(OSError):  # no half a line
                    os.truncate(path, size)
                raise
        except OSError as error:
            raise DataError(f"{path}: cannot be written: {error.strerror or error}") from error

    def metrics(self) -> list[dict[str, Any]]:
        """The records that `metrics.jsonl` holds so far; a line that a kill cut short is left out."""
        path = self.path / METRICS_FILE
        try:
            lines = path.read_text(encoding="utf-8", errors="replace").splitlines()
        except FileNotFoundError:
            return []
        except OSError as error:
            raise DataError(f"{path}: cannot be read: {error.strerror or error}") from error
        return [record for record in map(metrics_record, lines) if record is not None]

    def rewrite_metrics(self, records: Iterable[Mapping[str, Any]]) -> None:
        """Have `metrics.jsonl` hold these records and no others."""
        with write_atomically(self.path / METRICS_FILE, "w") as file:
            file.writelines(map(_json_line, records))

    def save_weights(self, name: str, tensors: Mapping[str, Any], metadata: Mapping[str, str]) -> Path:
        """Write weights; those of before stay until the new file is complete."""
        path = self.path / name
        save_safetensors(path, tensors, metadata)
        return path

    def save_summary(self, summary: Mapping[str, Any]) -> None:
        """Write what the run came to."""
        with write_atomically(self.path / SUMMARY_FILE, "w") as file:
            json.dump(summary, file, indent=2, ensure_ascii=False, allow_nan=False)
            file.write("\n")

    def _claim(self) -> None:
        """Lock the folder; the system takes the lock back if this process ends."""
        lock = self.path / LOCK_FILE
        descriptor = acquire(lock)
        if descriptor is None:
            advice = "wait for its end, or stop it" if self.is_resumed else "name another one with --run"
            raise RunFolderError(f"{self.path}: another run is using this folder; {advice}")
        self._claimed.callback(release, lock, descriptor)
        self._is_claimed = True


def metrics_record(line: str) -> dict[str, Any] | None:
    """The record of a line of `metrics.jsonl`; None for what is none."""
    try:
        record = json.loads(line)
    except (ValueError, RecursionError):
        return None
    return record if isinstance(record, dict) else None


def to_toml(values: Mapping[str, Any]) -> str:
    """Options as TOML: text, numbers, switches and lists of them; None is left out."""
    lines = [f"{key} = {_toml_value(value)}" for key, value in values.items() if value is not None]
    return "\n".join(lines) + "\n"


def _check_content(path: Path, force: bool) -> None:
    """RunFolderError for what stands in the way of a new run."""
    names = {entry.name for entry in _entries(path) if not _LEFT_BEHIND.fullmatch(entry.name)}
    if not names:
        return
    foreign = sorted(name for name in names if name not in _OWN_NAMES and not _EVENT_FILE.fullmatch(name))
    checkpoint = path / CHECKPOINT_FOLDER
    if checkpoint.is_dir() and not checkpoint.is_symlink():
        inside = sorted(entry.name for entry in _entries(checkpoint) if not _LEFT_BEHIND.fullmatch(entry.name))
        foreign += [f"{CHECKPOINT_FOLDER}/{name}" for name in inside if name != STATE_FILE]
    if force and CONFIG_FILE in names and not foreign:
        return
    if not force:
        is_run = CONFIG_FILE in names and not foreign
        hint = ", go on with its run with --resume, or replace that with --force" if is_run else ""
        raise RunFolderError(f"{path}: the run folder is not empty; name another one with --run{hint}")
    reason = f"it holds {foreign[0]}, which no run wrote" if foreign else f"it has no {CONFIG_FILE}, so it is no run's"
    raise RunFolderError(f"{path}: --force doesn't remove this folder's content: {reason}; name another one with --run")


def _entries(path: Path, but: str = "") -> list[Path]:
    try:
        return [entry for entry in path.iterdir() if entry.name != but]
    except FileNotFoundError:
        return []
    except OSError as error:
        raise DataError(f"{path}: cannot be read: {error.strerror or error}") from error


def _remove(entries: Iterable[Path]) -> None:
    for entry in entries:
        try:
            if entry.is_dir() and not entry.is_symlink():
                shutil.rmtree(entry)
            else:
                entry.unlink(missing_ok=True)
        except OSError as error:
            raise DataError(f"{entry}: cannot be removed: {error.strerror or error}") from error


def _json_line(record: Mapping[str, Any]) -> str:
    return json.dumps(dict(record), allow_nan=False) + "\n"


def _toml_value(value: Any) -> str:
    if isinstance(value, bool):
        return "true" if value else "false"
    if isinstance(value, str):
        # JSON's escapes are TOML's too, but for the one character that only TOML forbids unescaped.
        return json.dumps(value, ensure_ascii=False).replace("\x7f", "\\u007f")
    if isinstance(value, int | float):
        return repr(value)
    return "[" + ", ".join(_toml_value(part) for part in value) + "]"
