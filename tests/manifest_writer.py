"""Known weights of the tests' own: entries of the manifest in `$GRADCLI_HOME`."""

from __future__ import annotations

import hashlib
import json
import os
from collections.abc import Mapping
from pathlib import Path
from typing import Any

IMAGENET_PREPROCESSING = {
    "resize": 256,
    "crop": 224,
    "interpolation": "bilinear",
    "mean": [0.485, 0.456, 0.406],
    "std": [0.229, 0.224, 0.225],
}


def entry_of(content: bytes, url: str, **fields: Any) -> dict[str, Any]:
    """The entry of a published file with this content, and further fields."""
    return {"url": url, "sha256": hashlib.sha256(content).hexdigest(), "size": len(content), **fields}


def write_manifest(entries: Mapping[str, Mapping[str, Any]]) -> Path:
    """The manifest with these entries by name, in place of one that is there; the folder is made."""
    path = Path(os.environ["GRADCLI_HOME"]) / "manifest.toml"
    path.parent.mkdir(parents=True, exist_ok=True)
    with path.open("w") as stream:
        for name, fields in entries.items():
            print(f"[{name}]", *(f"{key} = {_toml(value)}" for key, value in fields.items()), sep="\n", file=stream)
    return path


def _toml(value: Any) -> str:
    if isinstance(value, Mapping):
        return "{ " + ", ".join(f"{key} = {_toml(entry)}" for key, entry in value.items()) + " }"
    return json.dumps(value)  # text, numbers and lists of them are written alike
