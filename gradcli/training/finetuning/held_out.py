"""Which images a run kept for validation, noted in the metadata of its weights, and found again from there."""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import Any

from gradcli.data.dataset import Dataset
from gradcli.data.sources import split
from gradcli.errors import GradcliError
from gradcli.training.finetuning.data import data_fingerprint

METADATA_KEY = "gradcli.data"


def split_entry(fingerprint: str, fraction: float, seed: int) -> dict[str, str]:
    """The entry of the metadata: the fingerprint of a run's data and how it was split, as `split` takes it."""
    return {METADATA_KEY: json.dumps({"fingerprint": fingerprint, "validation_split": fraction, "seed": seed})}


def parts_of_run(dataset: Dataset, metadata: Mapping[str, str]) -> dict[str, Dataset]:
    """The training and validation parts of the run that wrote the weights with this metadata.

    None unless it split this very data, whose labels index the same classes.
    """
    try:
        entry: Any = json.loads(metadata.get(METADATA_KEY, ""))
    except (ValueError, RecursionError):
        return {}
    if not isinstance(entry, dict):
        return {}
    fraction, seed = entry.get("validation_split"), entry.get("seed")
    if not isinstance(fraction, float) or not isinstance(seed, int) or seed < 0:
        return {}
    try:
        train, validation = split(dataset, fraction, seed)
        same = data_fingerprint(train, validation) == entry.get("fingerprint")
    except (GradcliError, OSError):
        return {}
    return {"train": train, "validation": validation} if same else {}
