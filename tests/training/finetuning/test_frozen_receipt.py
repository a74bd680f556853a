"""The receipt: what must not move in which mode, digests of bytes, and a single bit that moved."""

from __future__ import annotations

import numpy as np
import pytest

from gradcli.errors import CheckError
from gradcli.models import ResNet
from gradcli.models.resnet import build_resnet18
from gradcli.training.batch_norms import set_mode
from gradcli.training.finetuning.frozen_receipt import (
    FrozenReceipt,
    moving_statistics,
    resting_names,
)
from gradcli.training.freezing import FreezeRule, apply_freeze_rules
from gradcli.training.state_digests import combined_digest, tensor_digests

BACKBONE: list[FreezeRule] = [("freeze-backbone", "")]


def model_with(rules: list[FreezeRule], mode: str | None = None) -> ResNet:
    model = build_resnet18(3)
    apply_freeze_rules(model, rules)
    set_mode(model, mode)  # type: ignore[arg-type]
    return model


def test_of_a_frozen_backbone_everything_but_the_head_rests() -> None:
    model = model_with(BACKBONE)
    assert set(resting_names(model)) == set(model.state_dict()) - {"fc.weight", "fc.bias"}
    assert moving_statistics(model) == []


def test_in_train_mode_the_statistics_of_frozen_batch_norms_move() -> None:
    model = model_with(BACKBONE, "train")
    moving = moving_statistics(model)
    assert len(moving) == 20 * 3
    assert set(resting_names(model)) == set(model.state_dict()) - {"fc.weight", "fc.bias"} - set(moving)


def test_in_eval_mode_the_statistics_rest_although_all_parameters_train() -> None:
    model = model_with([], "eval")
    assert {name.rpartition(".")[2] for name in resting_names(model)} == {
        "running_mean",
        "running_var",
        "num_batches_tracked",
    }


def test_without_freezing_nothing_rests() -> None:
    assert resting_names(model_with([])) == []


@pytest.mark.parametrize("name", ["layer3.0.conv2.weight", "bn1.running_var", "layer4.1.bn2.num_batches_tracked"])
def test_one_bit_that_moved_is_found(name: str) -> None:
    model = model_with(BACKBONE)
    names = resting_names(model)
    frozen = {name: model.state_dict()[name].array for name in names}
    before = tensor_digests(frozen)
    held = FrozenReceipt(before, tensor_digests(frozen), [])
    held.check()
    assert held.to_dict()["held"] is True
    assert held.to_dict()["sha256_before"] == held.to_dict()["sha256_after"] == combined_digest(before)

    array = model.state_dict()[name].array
    first = (0,) * array.ndim
    element = np.array([array[first]])
    element.view(np.uint8)[0] ^= 1
    array[first] = element[0]
    moved = FrozenReceipt(before, tensor_digests(frozen), [])
    assert moved.moved == [name]
    assert moved.to_dict()["moved"] == [name]
    assert moved.to_dict()["sha256_before"] != moved.to_dict()["sha256_after"]
    with pytest.raises(CheckError, match=f"{name} moved although frozen: SHA-256 {before[name]} before the run"):
        moved.check()
