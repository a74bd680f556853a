"""Modes of batch norms, frozen ones in particular, and batches too small for them."""

from __future__ import annotations

import pytest

from gradcli.errors import DataError
from gradcli.models import ResNet
from gradcli.models.resnet import build_resnet18
from gradcli.nn import BatchNorm2d, init
from gradcli.training.batch_norms import moving_frozen_statistics, set_mode, small_batches_explained
from gradcli.training.freezing import apply_freeze_rules


@pytest.fixture
def model() -> ResNet:
    with init.no_values():
        return build_resnet18()


def training_norms(model: ResNet) -> list[str]:
    return [name for name, module in model.named_modules() if isinstance(module, BatchNorm2d) and module.training]


@pytest.mark.parametrize(
    ("mode", "frozen", "in_training", "moving"),
    [
        (None, [], 20, 0),
        ("train", [], 20, 0),
        ("eval", [], 0, 0),
        (None, ["*"], 0, 0),
        ("train", ["*"], 20, 20),
        ("eval", ["*"], 0, 0),
        (None, ["layer4.*"], 15, 0),
        ("train", ["layer4.*"], 20, 5),
        (None, ["bn1.weight"], 20, 0),  # its bias still trains
    ],
)
def test_modes(mode: str | None, frozen: list[str], in_training: int, moving: int, model: ResNet) -> None:
    apply_freeze_rules(model, [("freeze", pattern) for pattern in frozen])
    set_mode(model, mode)  # type: ignore[arg-type]
    assert len(training_norms(model)) == in_training
    assert moving_frozen_statistics(model) == moving
    assert model.training == (mode != "eval")


def test_a_mode_can_be_changed_back(model: ResNet) -> None:
    set_mode(model, "eval")
    set_mode(model, None)
    assert len(training_norms(model)) == 20


def refuse(message: str) -> None:
    with small_batches_explained((1, 3, 32, 48), "take more"):
        raise ValueError(message)


def test_one_value_per_channel_is_explained() -> None:
    with pytest.raises(DataError, match=r"a batch of 1 image of 32x48 leaves .* in train mode; take more"):
        refuse("Expected more than 1 value per channel when training, got input size torch.Size([1, 512, 1, 1])")
    with pytest.raises(ValueError, match="something else"):
        refuse("something else")
