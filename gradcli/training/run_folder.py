"""The folder that a finetuning run writes: weights, one record per epoch, and the configuration that made it."""

from __future__ import annotations

import contextlib
import json
import os
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from gradcli.checkpoints import save_safetensors, write_atomically
from gradcli.errors import DataError, RunFolderError
from gradcli.models.weights_source import RUN_WEIGHTS

CONFIG_FILE = "config.toml"
METRICS_FILE = "metrics.jsonl"


class RunFolder:
    """A new folder of a run. Nothing exists on disk before `create`."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self._made: list[Path] = []
        self._claimed = False

    @classmethod
    def check(cls, path: Path) -> RunFolder:
        """The folder `path`: RunFolderError if something is in it, DataError if it can't be made."""
        if path.is_dir():
            if any(path.iterdir()):
                raise RunFolderError(f"{path}: the run folder is not empty; name another one with --run")
        elif path.exists():
            raise RunFolderError(f"{path}: there is a file of this name; name a run folder with --run")
        parent = next(place for place in (path, *path.absolute().parents) if place.exists())
        if not parent.is_dir() or not os.access(parent, os.W_OK):
            raise DataError(f"{path}: the run folder can't be made: {parent} is not a folder to write into")
        return cls(path)

    @classmethod
    def next_free(cls, parent: Path, name: str) -> RunFolder:
        """The first of `parent/name`, `parent/name-2`, `parent/name-3`, … that is free."""
        number = 1
        while True:
            path = parent / (name if number == 1 else f"{name}-{number}")
            if not path.exists():
                return cls.check(path)
            number += 1

    def create(self, config: Mapping[str, Any]) -> None:
        """Make the folder and write the configuration, options by their long names."""
        self._made = [place for place in (self.path, *self.path.parents) if not place.exists()]
        try:
            self.path.mkdir(parents=True, exist_ok=True)
            # Made by one run only, however many start at once.
            (self.path / CONFIG_FILE).touch(exist_ok=False)
        except FileExistsError:
            raise RunFolderError(
                f"{self.path}: another run is using this folder; name another one with --run"
            ) from None
        except OSError as error:
            raise DataError(f"{self.path}: the run folder can't be made: {error.strerror}") from None
        self._claimed = True
        with write_atomically(self.path / CONFIG_FILE, "w") as file:
            file.write(to_toml(config))

    def remove_unless_weights(self) -> None:
        """Undo `create` for a run that ended before its first weights."""
        if not self._claimed or (self.path / RUN_WEIGHTS).exists():
            return
        with contextlib.suppress(OSError):  # the error that ended the run matters more
            (self.path / CONFIG_FILE).unlink(missing_ok=True)
            for place in self._made:
                place.rmdir()

    def add_metrics(self, record: Mapping[str, Any]) -> None:
        """Append an epoch's record, one line of JSON."""
        with (self.path / METRICS_FILE).open("a", encoding="utf-8") as file:
            file.write(json.dumps(dict(record), allow_nan=False) + "\n")

    def save_weights(self, tensors: Mapping[str, Any], metadata: Mapping[str, str]) -> Path:
        """Write the weights; those of the epoch before stay until the new file is complete."""
        path = self.path / RUN_WEIGHTS
        save_safetensors(path, tensors, metadata)
        return path


def to_toml(values: Mapping[str, Any]) -> str:
    """Options as TOML: text, numbers, switches and lists of them; None is left out."""
    lines = [f"{key} = {_toml_value(value)}" for key, value in values.items() if value is not None]
    return "\n".join(lines) + "\n"


def _toml_value(value: Any) -> str:
    if isinstance(value, bool):
        return "true" if value else "false"
    if isinstance(value, str):
        # JSON's escapes are TOML's too, but for the one character that only TOML forbids unescaped.
        return json.dumps(value, ensure_ascii=False).replace("\x7f", "\\u007f")
    if isinstance(value, int | float):
        return repr(value)
    return "[" + ", ".join(_toml_value(part) for part in value) + "]"
