"""The losses that commands offer by name."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, Literal

from gradcli.nn import functional as F

LossName = Literal["sum-difference", "cross-entropy", "mse", "bce-with-logits"]


def sum_difference(prediction: Any, target: Any) -> Any:
    """The tutorial's loss: (prediction - target).sum()."""
    return (prediction - target).sum()


LOSSES: dict[LossName, Callable[[Any, Any], Any]] = {
    "sum-difference": sum_difference,
    "cross-entropy": F.cross_entropy,
    "mse": F.mse_loss,
    "bce-with-logits": F.binary_cross_entropy_with_logits,
}


def takes_class_indices(loss: LossName) -> bool:
    """True for losses whose target is a class index per image; the others take the prediction's shape."""
    return loss == "cross-entropy"
