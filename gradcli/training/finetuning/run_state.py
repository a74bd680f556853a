"""The state of a run between two optimizer steps, in a file from which it goes on to the same bits."""

from __future__ import annotations

import json
import logging
import platform
from collections.abc import Mapping
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

import numpy as np

from gradcli import __version__
from gradcli.checkpoints import load_checkpoint, save_safetensors
from gradcli.errors import DataError, RunFolderError, WeightsError
from gradcli.training.finetuning.records import EpochRecord, Tally

logger = logging.getLogger(__name__)

Arrays = Mapping[str, np.ndarray[Any, Any]]

FORMAT = 1
"""Changes when a file can no longer be understood as before."""

_METADATA_KEY = "gradcli.run_state"
_GENERATOR = "generator"


def versions() -> dict[str, str]:
    """The programs on which the bits of a result depend."""
    return {"gradcli": __version__, "numpy": np.__version__, "python": platform.python_version()}


@dataclass(frozen=True, kw_only=True)
class RunState:
    """Where a run is, and everything that its future depends on.

    `epoch` counts from 1, `steps` the optimizer steps of it that are done, `tally` is of this epoch so far, `lr` the
    learning rate of the last step, and `records` are of the epochs before. `tensors` are those of the model that may
    move, `best` the same of the best epoch (empty before the first), `average` their running average of so many steps
    (empty without `--ema`), `optimizer_arrays` and `optimizer_values` what `split_state` makes of the optimizer,
    `schedule` the scheduler's state. `options` are those that the run began with. `started_from` and `data` tell start
    weights and data from others.
    """

    epoch: int
    steps: int
    tally: Tally
    lr: float
    epoch_seconds: float
    run_seconds: float
    records: list[EpochRecord]
    skipped: dict[str, str]
    options: dict[str, Any]
    started_from: str
    data: str
    tensors: Arrays
    best: Arrays
    average: Arrays
    average_steps: int
    optimizer_arrays: Arrays
    optimizer_values: dict[str, Any]
    schedule: dict[str, Any] | None
    generator: np.ndarray[Any, Any]
    versions: dict[str, str] = field(default_factory=versions)

    def check_start(self, folder: Path, *, data: tuple[str, str], weights: tuple[str, str]) -> None:
        """DataError and WeightsError for a name and fingerprint other than those that the run in `folder` began with.

        Other versions of the programs are logged.
        """
        name, fingerprint = data
        if self.data != fingerprint:
            raise DataError(
                f"{name}: changed since the run in {folder} began; expected the same images with the same labels, "
                "names and times of change"
            )
        name, digest = weights
        if self.started_from != digest:
            raise WeightsError(
                f"{name}: not the weights that the run in {folder} began with; expected SHA-256 {self.started_from} "
                f"of all tensors, but it is {digest}"
            )
        if self.versions != versions():
            logger.warning(
                "%s: begun with %s, goes on with %s: the last bits of results may differ",
                folder,
                _in_words(self.versions),
                _in_words(versions()),
            )


# The fields that are arrays by name, and how the names begin in the file.
_ARRAYS = {"tensors": "model.", "best": "best.", "average": "average.", "optimizer_arrays": "optimizer."}


def save_run_state(path: Path, state: RunState) -> None:
    """Write a state; the file of before stays until the new one is complete. DataError if it can't be written."""
    path.parent.mkdir(exist_ok=True)
    arrays = {
        f"{prefix}{name}": array for key, prefix in _ARRAYS.items() for name, array in getattr(state, key).items()
    }
    plain = {
        key: value
        for key, value in vars(state).items()
        if key not in _ARRAYS and key not in ("generator", "tally", "records")
    }
    plain |= {"format": FORMAT, "tally": asdict(state.tally), "records": [asdict(record) for record in state.records]}
    metadata = {_METADATA_KEY: json.dumps(plain, allow_nan=False), "gradcli.version": __version__}
    save_safetensors(path, {**arrays, _GENERATOR: state.generator}, metadata)


def load_run_state(path: Path) -> RunState | None:
    """Read what `save_run_state` wrote; None if there is no such file, RunFolderError if it is damaged or another."""
    if not path.exists():
        return None
    try:
        checkpoint = load_checkpoint(path)
        plain = json.loads(checkpoint.metadata[_METADATA_KEY])
        written_by, number = plain["versions"]["gradcli"], plain.pop("format")
    except (WeightsError, ValueError, KeyError, TypeError) as error:
        reason = str(error).removeprefix(f"{path}: ") if isinstance(error, WeightsError) else "no state of a run"
        raise RunFolderError(f"{path}: is damaged ({reason}); start the run anew") from error
    if number != FORMAT:
        raise RunFolderError(
            f"{path}: written by gradcli {written_by} in format {number}, but gradcli {__version__} reads format "
            f"{FORMAT}; go on with that version, or start the run anew"
        )
    arrays: dict[str, Any] = {
        key: {name.removeprefix(prefix): array for name, array in checkpoint.tensors.items() if name.startswith(prefix)}
        for key, prefix in _ARRAYS.items()
    }
    try:
        plain["tally"] = Tally(**plain["tally"])
        plain["records"] = [EpochRecord(**record) for record in plain["records"]]
        return RunState(**plain, **arrays, generator=checkpoint.tensors[_GENERATOR])
    except (KeyError, TypeError) as error:
        raise RunFolderError(f"{path}: is damaged ({error}); start the run anew") from error


def _in_words(versions: Mapping[str, str]) -> str:
    return ", ".join(f"{name} {version}" for name, version in versions.items())
