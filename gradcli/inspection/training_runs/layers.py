"""Layers in the gradient records of a run: their numbers at a step, and where a step moved weights too far."""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping
from typing import Any, NamedTuple

from gradcli.inspection.training_runs.history import as_number

LARGE_UPDATE_RATIO = 0.1
"""A step that moves weights by a larger share of their size is far beyond those of training that works."""


class LayerStep(NamedTuple):
    """A layer's update ratio at a step of the run."""

    name: str
    step: int
    update_ratio: float


def layer_records(record: Mapping[str, Any]) -> list[dict[str, Any]]:
    """`name`, `grad_norm` and `update_ratio` of each layer of a gradient record as numbers, in the model's order."""
    return [
        {"name": layer["name"], **{field: as_number(layer[field]) for field in ("grad_norm", "update_ratio")}}
        for layer in record["layers"]
    ]


def is_large(update_ratio: float | None) -> bool:
    """Whether a ratio is beyond `LARGE_UPDATE_RATIO`, or not finite."""
    return update_ratio is not None and not update_ratio <= LARGE_UPDATE_RATIO


def largest_update(records: Iterable[Mapping[str, Any]]) -> LayerStep | None:
    """The layer with the largest update ratio in records of gradients, the first of equal ones; None without a ratio.

    What is not finite is largest.
    """
    updates = [
        LayerStep(layer["name"], record["step"], layer["update_ratio"])
        for record in records
        for layer in layer_records(record)
        if layer["update_ratio"] is not None
    ]
    return max(updates, key=lambda each: _size(each.update_ratio), default=None)


def first_large_update(records: Iterable[Mapping[str, Any]]) -> LayerStep | None:
    """The layer with the largest update ratio of the first record in which one is large; None if none ever is."""
    largest = (largest_update([record]) for record in records)
    return next((each for each in largest if each is not None and is_large(each.update_ratio)), None)


def _size(ratio: float) -> float:
    return ratio if math.isfinite(ratio) else math.inf
