"""The losses by name against their formulas."""

from __future__ import annotations

import numpy as np
import pytest

from gradcli.autograd import Tensor
from gradcli.training.losses import LOSSES, LossName, takes_class_indices

SCORES = np.random.default_rng(0).normal(size=(4, 7))
VALUES = np.random.default_rng(1).random((4, 7))
LABELS = np.array([0, 6, 3, 3])
PROBABILITIES = np.exp(SCORES) / np.exp(SCORES).sum(axis=1, keepdims=True)

EXPECTED: dict[LossName, float] = {
    "sum-difference": float((SCORES - VALUES).sum()),
    "cross-entropy": float(-np.log(PROBABILITIES[np.arange(4), LABELS]).mean()),
    "mse": float(((SCORES - VALUES) ** 2).mean()),
    "bce-with-logits": float((np.log1p(np.exp(SCORES)) - VALUES * SCORES).mean()),
}


def test_every_loss_is_in_the_table() -> None:
    assert set(EXPECTED) == set(LOSSES)


@pytest.mark.parametrize("name", EXPECTED)
def test_a_loss_is_its_formula(name: LossName) -> None:
    target = Tensor(LABELS if takes_class_indices(name) else VALUES)
    loss = LOSSES[name](Tensor(SCORES), target)
    assert loss.shape == ()
    assert loss.item() == pytest.approx(EXPECTED[name], rel=1e-12)
