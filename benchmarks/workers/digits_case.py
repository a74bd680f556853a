"""Writes what both libraries finetune with: weights with a head for the digits, the images, and the order of batches.

python -m workers.digits_case FOLDER EPOCHS BATCH_SIZE
"""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Any

import numpy as np

from gradcli.checkpoints import save_safetensors
from gradcli.models.loading import state_arrays
from gradcli.models.weights_metadata import metadata_entries
from gradcli.training.finetuning.data import training_batches
from gradcli.training.finetuning.settings import FinetuneSettings
from gradcli.training.finetuning.setup import Finetuning

WEIGHTS = "start.safetensors"
DATA = "digits.npz"


def write_case(folder: Path, epochs: int, batch_size: int) -> None:
    """Into `folder`: the start weights with the classes' names, and the images as gradcli's run would see them."""
    finetuning = Finetuning(FinetuneSettings(data="digits", epochs=epochs, batch_size=batch_size))
    classes = finetuning.train_data.classes
    save_safetensors(folder / WEIGHTS, state_arrays(finetuning.model), metadata_entries(classes=classes))
    arrays: dict[str, Any] = {}
    for part, data in (("train", finetuning.train_data), ("val", finetuning.val_data)):
        arrays[f"{part}_images"] = data.images(range(len(data)))
        arrays[f"{part}_labels"] = data.labels
    for epoch in range(1, epochs + 1):
        batches = training_batches(finetuning.train_data, finetuning.settings, epoch)
        arrays[f"order_{epoch}"] = np.concatenate(batches)
        arrays[f"ends_{epoch}"] = np.cumsum([len(batch) for batch in batches])
    np.savez(folder / DATA, **arrays)


if __name__ == "__main__":
    write_case(Path(sys.argv[1]), int(sys.argv[2]), int(sys.argv[3]))
