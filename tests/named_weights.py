"""Weights for tests of the commands that use a trained model: their file names classes and preprocessing."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from gradcli.data.preprocessing import Preprocessing
from gradcli.models import LoadedModel, load_model
from gradcli.training.saving import save_model


def write_named_weights(path: Path, classes: Sequence[str], size: int = 32) -> Path:
    """A weights file at `path` of a random network for these classes, with images of this height and width."""
    model = load_model("random:1", num_classes=len(classes)).model
    preprocessing = Preprocessing.straight(size).to_dict()
    save_model(path, LoadedModel(model, str(path), classes=list(classes), preprocessing=preprocessing))
    return path
