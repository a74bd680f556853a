"""Where the data and the weights of a run lie: so that the run finds them from any folder, or so that nobody learns."""

from __future__ import annotations

import os
from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

from gradcli.data.known_datasets import known_datasets
from gradcli.data.sources import BUNDLED_DATASETS
from gradcli.hub.manifest import known_weights
from gradcli.models.weights_source import weights_name
from gradcli.training.finetuning.settings import FinetuneSettings


def with_absolute_paths(settings: FinetuneSettings) -> FinetuneSettings:
    """The same settings, with data and weights that are files or folders by their absolute paths.

    Weights left out get the name of those that they stand for now. Names that are known stay names, and what isn't
    there stays as it was written, for the message that says so.
    """
    data, weights = settings.data, weights_name(settings.weights, verify=settings.verify)
    if data not in BUNDLED_DATASETS and data not in known_datasets():
        data = _absolute_if_there(data)
    if weights.partition(":")[0] != "random" and weights not in known_weights():
        weights = _absolute_if_there(weights)
    return replace(settings, data=data, weights=weights)


def without_folders(options: Mapping[str, Any]) -> dict[str, Any]:
    """The options of a run as weights that are passed on may tell them: of data and weights the last name only."""
    return {**options, **{name: Path(options[name]).name for name in ("data", "weights")}}


def _absolute_if_there(name: str) -> str:
    # Unlike Path.exists, this takes names that no file system does.
    return os.path.abspath(name) if os.path.exists(name) else name
