"""Top classes: order, ties, names, probabilities."""

from __future__ import annotations

import numpy as np
import pytest

from gradcli.inspection.prediction import top_classes


def test_the_best_come_first_and_the_lower_index_among_equals() -> None:
    scores = np.array([[0.0, 2.0, 1.0, 2.0], [5.0, -1.0, 0.0, 1.0]], np.float32)
    records = top_classes(scores, ["a.png", "b.png"], None, 3)
    assert [(record.image, record.rank, record.index) for record in records] == [
        ("a.png", 1, 1),
        ("a.png", 2, 3),
        ("a.png", 3, 2),
        ("b.png", 1, 0),
        ("b.png", 2, 3),
        ("b.png", 3, 2),
    ]
    assert {record.name for record in records} == {None}
    for record in records:
        row = scores[["a.png", "b.png"].index(record.image)].astype(np.float64)
        assert record.score == row[record.index]
        assert record.probability == pytest.approx(np.exp(row[record.index]) / np.exp(row).sum(), rel=1e-6)


def test_names_and_more_classes_asked_for_than_there_are() -> None:
    records = top_classes(np.array([[1.0, 1000.0]], np.float32), ["a"], ["cat", "dog"], 5)
    assert [(record.name, record.probability) for record in records] == [("dog", 1.0), ("cat", 0.0)]
