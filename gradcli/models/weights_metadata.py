"""What gradcli writes into a weights file's text metadata: frozen parameters, class names, preprocessing."""

from __future__ import annotations

import json
from typing import Any, cast

from gradcli.checkpoints import Checkpoint
from gradcli.errors import WeightsError


def metadata_entries(
    *, frozen: list[str] | None = None, classes: list[str] | None = None, preprocessing: dict[str, Any] | None = None
) -> dict[str, str]:
    """The text entries with which a weights file tells `load_model` what else belongs to it."""
    entries = {"frozen": frozen, "classes": classes, "preprocessing": preprocessing}
    return {f"gradcli.{key}": json.dumps(value) for key, value in entries.items() if value is not None}


def names_entry(checkpoint: Checkpoint, key: str) -> list[str] | None:
    """The list of names under `gradcli.KEY`; None if there is no such entry, WeightsError if it is something else."""
    names = _json_entry(checkpoint, key, list)
    if names is not None and not all(isinstance(entry, str) for entry in names):
        raise WeightsError(f"{checkpoint.path}: its metadata gradcli.{key} must be a JSON list of names")
    return cast("list[str] | None", names)


def class_list_entry(checkpoint: Checkpoint) -> str | None:
    """Which known list names the classes, such as `imagenet1k`, as `gradcli weights fetch` writes it; None if none."""
    return checkpoint.metadata.get("gradcli.class_names")


def preprocessing_entry(checkpoint: Checkpoint) -> dict[str, Any] | None:
    """The preprocessing that the file names; None if it names none, WeightsError if it is no JSON object."""
    return cast("dict[str, Any] | None", _json_entry(checkpoint, "preprocessing", dict))


def _json_entry(checkpoint: Checkpoint, key: str, kind: type) -> Any:
    text = checkpoint.metadata.get(f"gradcli.{key}")
    if text is None:
        return None
    try:
        value = json.loads(text)
    except (ValueError, RecursionError):
        value = None
    if not isinstance(value, kind):
        raise WeightsError(f"{checkpoint.path}: its metadata gradcli.{key} is no JSON {kind.__name__}")
    return value
