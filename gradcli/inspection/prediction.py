"""A prediction in words: the classes with the highest scores."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np

from gradcli.ops.softmax import softmax


@dataclass(frozen=True, kw_only=True)
class ClassScore:
    """One of the top classes of one image: its rank from 1, index, name where known, score and probability."""

    image: str
    rank: int
    index: int
    name: str | None
    score: float
    probability: float


def top_classes(
    prediction: np.ndarray[Any, Any], images: list[str], classes: list[str] | None, count: int
) -> list[ClassScore]:
    """The `count` best classes of each row of scores (N, classes), best first, the lower index first among equals."""
    probabilities = softmax(prediction, 1)
    records = []
    for row, image in enumerate(images):
        best = np.argsort(-prediction[row], kind="stable")[:count]
        for rank, index in enumerate(best, start=1):
            records.append(
                ClassScore(
                    image=image,
                    rank=rank,
                    index=int(index),
                    name=classes[index] if classes is not None else None,
                    score=float(prediction[row, index]),
                    probability=float(probabilities[row, index]),
                )
            )
    return records
