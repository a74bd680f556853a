"""What a run leaves for others: the weights of its best and its last epoch, and a summary."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import asdict
from typing import Any, Literal

import numpy as np

from gradcli import __version__
from gradcli.checkpoints import file_sha256
from gradcli.errors import GradcliError
from gradcli.kernels.threads import get_num_threads, parallel
from gradcli.models.loading import state_arrays
from gradcli.models.weights_metadata import metadata_entries
from gradcli.models.weights_source import RUN_WEIGHTS, find_source
from gradcli.training.finetuning.data import describe_data
from gradcli.training.finetuning.frozen_receipt import FrozenReceipt
from gradcli.training.finetuning.held_out import split_entry
from gradcli.training.finetuning.locations import without_folders
from gradcli.training.finetuning.records import EpochRecord, best_record
from gradcli.training.finetuning.run_folder import LAST_WEIGHTS, RunFolder, to_toml
from gradcli.training.finetuning.run_state import versions
from gradcli.training.finetuning.setup import Finetuning
from gradcli.training.freezing import frozen_names

SCHEMA = "gradcli.run/1"

RunStatus = Literal["finished", "stopped", "diverged", "failed"]


class RunResults:
    """Writes weights and summary of a run into its folder."""

    def __init__(self, finetuning: Finetuning, folder: RunFolder) -> None:
        self._finetuning = finetuning
        self._folder = folder
        self._written: int | None = None  # the epoch whose weights are in the file of the best ones
        executor = ThreadPoolExecutor(1)
        self._sha256 = executor.submit(_start_sha256, finetuning.settings.weights)  # while the run makes its start
        executor.shutdown(wait=False)

    def save_weights(
        self,
        records: Sequence[EpochRecord],
        best: Mapping[str, np.ndarray[Any, Any]],
        *,
        fingerprint: str,
        last: bool = True,
    ) -> None:
        """Write the best weights, which are the model's but for the tensors of `best`, and with `last` the model's.

        Before the first epoch is done, the last ones are the best.
        """
        state, metadata = state_arrays(self._finetuning.model), self._metadata(fingerprint)
        record = best_record(records)
        epoch = 0 if record is None else record.epoch
        files = []
        if self._written != epoch or epoch == 0:
            files.append((RUN_WEIGHTS, {**state, **best}, {**metadata, "gradcli.epoch": str(epoch)}))
        if last:
            files.append((LAST_WEIGHTS, state, {**metadata, "gradcli.epoch": str(len(records))}))

        def save(number: int) -> None:
            self._folder.save_weights(*files[number])

        parallel(save, len(files))  # at once: much of the time is the disk's
        self._written = epoch

    def save_summary(
        self,
        status: RunStatus,
        records: Sequence[EpochRecord],
        receipt: FrozenReceipt,
        *,
        started_from: str,
        fingerprint: str,
        skipped: Mapping[str, str],
        seconds: float,
        error: str | None = None,
    ) -> None:
        """Write `summary.json`; `status` is finished, stopped, diverged or failed, the last two with an `error`."""
        finetuning, best = self._finetuning, best_record(records)
        summary = {
            "schema": SCHEMA,
            "status": status,
            "error": error,
            "epochs": len(records),
            "best_epoch": None if best is None else best.epoch,
            "best": None if best is None else asdict(best),
            "records": [asdict(record) for record in records],
            "frozen": receipt.to_dict(),
            "data": {
                **describe_data(finetuning.train_data, finetuning.val_data),
                "fingerprint": fingerprint,
                "skipped": dict(skipped),
            },
            "weights": {
                "name": finetuning.loaded.weights,
                "sha256": self._sha256.result(),
                "state_sha256": started_from,
                "new_head": finetuning.new_head,
            },
            "versions": versions(),
            "threads": get_num_threads(),
            "seconds": seconds,
        }
        self._folder.save_summary(summary)

    def _metadata(self, fingerprint: str) -> dict[str, str]:
        finetuning, classes = self._finetuning, self._finetuning.train_data.classes
        settings = finetuning.settings
        entries = metadata_entries(
            frozen=frozen_names(finetuning.model),
            classes=classes if finetuning.num_classes == len(classes) else None,
            preprocessing=finetuning.train_data.preprocessing.to_dict(),
        )
        return {
            **entries,
            **split_entry(fingerprint, settings.validation_split, settings.seed),
            "gradcli.kernels": settings.kernels,
            "gradcli.version": __version__,
            "gradcli.config": to_toml(without_folders(finetuning.config())),
        }


def _start_sha256(weights: str) -> str | None:
    """The SHA-256 of the file that the weights came from; None for weights that are no file."""
    if weights == "random" or weights.startswith("random:"):
        return None
    try:
        return file_sha256(find_source(weights, verify=False).path)
    except GradcliError:
        return None
