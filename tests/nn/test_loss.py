"""Losses as layers: settings reach the functions, buffers are kept."""

from __future__ import annotations

import math

import pytest

import gradcli
from gradcli import nn

LOGITS = gradcli.tensor([[0.0, 0.0, math.log(2)], [math.log(6), 0.0, 0.0]])  # probabilities (1/4, 1/4, 1/2), (3/4, ...)
CLASSES = gradcli.tensor([2, 1])
PROBABILITIES = gradcli.tensor([[0.25, 0.25, 0.5], [0.75, 0.125, 0.125]])
LN2 = math.log(2)


@pytest.mark.parametrize(
    ("layer", "arguments", "expected"),
    [
        (nn.CrossEntropyLoss(), (LOGITS, CLASSES), (LN2 + 3 * LN2) / 2),
        (nn.CrossEntropyLoss(reduction="sum"), (LOGITS, CLASSES), 4 * LN2),
        (nn.CrossEntropyLoss(reduction="none"), (LOGITS, CLASSES), [LN2, 3 * LN2]),
        (nn.CrossEntropyLoss(ignore_index=1), (LOGITS, CLASSES), LN2),
        (nn.CrossEntropyLoss(weight=gradcli.tensor([1.0, 3.0, 1.0])), (LOGITS, CLASSES), (LN2 + 9 * LN2) / 4),
        # Smoothing 0.3 takes 0.1 for each of the three classes.
        (
            nn.CrossEntropyLoss(label_smoothing=0.3, reduction="sum"),
            (LOGITS[:1], CLASSES[:1]),
            0.7 * LN2 + 0.1 * (2 * LN2 + 2 * LN2 + LN2),
        ),
        (nn.NLLLoss(), (gradcli.log(PROBABILITIES), CLASSES), 2 * LN2),
        (
            nn.NLLLoss(gradcli.tensor([1.0, 3.0, 1.0]), ignore_index=2),
            (gradcli.log(PROBABILITIES), CLASSES),
            3 * LN2,
        ),
        (nn.MSELoss(), (gradcli.tensor([1.0, 3.0]), gradcli.tensor([2.0, 0.0])), 5),
        (nn.MSELoss(reduction="sum"), (gradcli.tensor([1.0, 3.0]), gradcli.tensor([2.0, 0.0])), 10),
        (nn.BCEWithLogitsLoss(), (gradcli.zeros(2), gradcli.tensor([0.0, 1.0])), LN2),
        (
            nn.BCEWithLogitsLoss(gradcli.tensor([1.0, 2.0]), "none", gradcli.tensor([5.0, 3.0])),
            (gradcli.zeros(2), gradcli.tensor([0.0, 1.0])),
            [LN2, 6 * LN2],
        ),
    ],
)
def test_values(layer, arguments, expected):
    assert layer(*arguments).tolist() == pytest.approx(expected, rel=1e-6)


def test_class_weights_are_buffers():
    layer = nn.CrossEntropyLoss(gradcli.ones(3))
    assert list(layer.state_dict()) == ["weight"]
    assert list(layer.parameters()) == []
    assert list(nn.BCEWithLogitsLoss().state_dict()) == []


@pytest.mark.parametrize("name", ["CrossEntropyLoss", "NLLLoss", "MSELoss", "BCEWithLogitsLoss"])
def test_text(name):
    assert repr(getattr(nn, name)()) == f"{name}()"
