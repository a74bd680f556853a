"""Known weights for tests: a file where `torch.hub` keeps its downloads, and a manifest that knows its checksum."""

from __future__ import annotations

import os
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
from manifest_writer import IMAGENET_PREPROCESSING, entry_of, write_manifest

from tests.checkpoints.torch_zip_writer import TorchZip

FILE = "resnet18-f37072fd.pth"
URL = f"http://localhost:1/{FILE}"
"""An address at which nothing answers."""


def cache_known_weights(state: Mapping[str, np.ndarray], name: str = "imagenet1k-v1") -> Path:
    """Write the state to `$TORCH_HOME` as torchvision's file, and an entry for it to `$GRADCLI_HOME`, both existing."""
    folder = Path(os.environ["TORCH_HOME"]) / "hub" / "checkpoints"
    folder.mkdir(parents=True, exist_ok=True)
    builder = TorchZip(folder)
    # As torchvision's own file, which is older than num_batches_tracked.
    tensors = {key: builder.whole(values) for key, values in state.items() if not key.endswith("num_batches_tracked")}
    path = builder.write(tensors, name=FILE)
    know(name, entry_of(path.read_bytes(), URL), classes=len(state["fc.bias"]))
    return path


def know(name: str, entry: Mapping[str, Any], classes: int) -> None:
    """Enter weights of ImageNet's kind in the manifest: an address, a SHA-256 and a size, and what belongs to them."""
    accuracy = {"acc1": 69.758, "acc5": 89.078, "at": 224}
    fields = {"classes": classes, "class_names": "imagenet1k", "preprocessing": IMAGENET_PREPROCESSING}
    write_manifest({name: {**entry, **fields, "accuracy": accuracy}})


def know_another(name: str, sha256: str, size: int, classes: int) -> None:
    """Enter weights in the manifest that are nowhere here."""
    know(name, {"url": URL, "sha256": sha256, "size": size}, classes)
