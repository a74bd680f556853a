"""Known weights for tests: a file where `torch.hub` keeps its downloads, and a manifest that knows its checksum."""

from __future__ import annotations

import os
from collections.abc import Mapping
from pathlib import Path

import numpy as np

from gradcli.checkpoints import file_sha256
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
    write_manifest(name, sha256=file_sha256(path), size=path.stat().st_size, classes=len(state["fc.bias"]))
    return path


def write_manifest(name: str, *, sha256: str, size: int, classes: int) -> None:
    """Say in `$GRADCLI_HOME` that these are the published file's checksum and size."""
    (Path(os.environ["GRADCLI_HOME"]) / "manifest.toml").write_text(
        f'[{name}]\nurl = "{URL}"\nsha256 = "{sha256}"\nsize = {size}\nclasses = {classes}\n'
        'class_names = "imagenet1k"\n'
        'preprocessing = { resize = 256, crop = 224, interpolation = "bilinear", mean = [0.485, 0.456, 0.406], '
        "std = [0.229, 0.224, 0.225] }\naccuracy = { acc1 = 69.758, acc5 = 89.078, at = 224 }\n"
    )
