"""Writing a model with what belongs to it: the frozen names, classes and preprocessing."""

from __future__ import annotations

from pathlib import Path

from gradcli import __version__
from gradcli.checkpoints import save_safetensors
from gradcli.models import LoadedModel
from gradcli.models.loading import state_arrays
from gradcli.models.weights_metadata import metadata_entries
from gradcli.training.freezing import frozen_names


def save_model(path: Path, loaded: LoadedModel) -> None:
    """Write the model's state as safetensors that `load_model` reads back with everything it knows."""
    save_safetensors(path, state_arrays(loaded.model), model_metadata(loaded))


def model_metadata(loaded: LoadedModel) -> dict[str, str]:
    """The text entries of a model's weights file. Entries that came with the weights and are not gradcli's stay."""
    kept = {key: value for key, value in loaded.metadata.items() if not key.startswith("gradcli.")}
    entries = metadata_entries(
        frozen=frozen_names(loaded.model), classes=loaded.classes, preprocessing=loaded.preprocessing
    )
    return {**kept, **entries, "gradcli.version": __version__}
