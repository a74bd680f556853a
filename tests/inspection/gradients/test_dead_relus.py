"""ReLUs that give only zeros: the largest element of their input, and the modules that it comes from."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from gradcli import nn
from gradcli.autograd import Tensor
from gradcli.inspection.gradients.dead_relus import DeadRelu, ReluSource, find_dead_relus
from gradcli.inspection.module_calls import recorded_module_calls

IMAGES = np.random.default_rng(5).random((3, 2, 4, 4), dtype=np.float32)


class Block(nn.Module):
    """A convolution, a batch norm, and a ReLU that is called twice: of these, and of their sum with the input."""

    def __init__(self) -> None:
        super().__init__()
        self.conv = nn.Conv2d(2, 2, 1)
        self.bn = nn.BatchNorm2d(2)
        self.relu = nn.ReLU()

    def forward(self, x: Tensor) -> Any:
        x = self.conv(x)
        return self.relu(self.relu(self.bn(x)) + x)


def dead_in(model: nn.Module) -> list[DeadRelu]:
    with recorded_module_calls(model, keep_results=True, keep_arguments=True) as calls:
        model(Tensor(IMAGES))
    return list(find_dead_relus(model, calls).values())


def test_a_living_relu_is_not_mentioned() -> None:
    assert dead_in(Block()) == []


def test_a_batch_norm_is_told_with_its_parameters() -> None:
    model = Block()
    model.bn.bias.array[...] = [-20, -30]
    model.bn.weight.array[...] = [0.5, 1]
    model.conv.bias.array[...] = 10  # the second call lives on it
    (dead,) = dead_in(model)
    expected = model.bn(model.conv(Tensor(IMAGES))).array.max()
    assert dead.relu == "relu#1"
    assert dead.input_max == expected < -10
    assert dead.sources == [ReluSource(module="bn", max=float(expected), bias_mean=-25, weight_mean=0.75)]
    assert dead.describe() == f"its input is at most {expected:.3g}, from bn (bias -25 on average, weight 0.75)"


def test_what_is_added_up_is_told_by_its_parts() -> None:
    model = Block()
    model.conv.bias.array[...] = -50
    (dead,) = dead_in(model)
    convolved = model.conv(Tensor(IMAGES))
    first = model.relu(model.bn(convolved))
    assert dead.relu == "relu#2"
    assert dead.input_max == (first + convolved).array.max()
    assert [(source.module, source.max, source.bias_mean) for source in dead.sources] == [
        ("relu#1", first.array.max(), None),
        ("conv", convolved.array.max(), None),
    ]


@pytest.mark.parametrize(
    ("sources", "words"),
    [
        ([], "its input is at most -2"),
        (
            [
                ReluSource(module="bn2", max=-5, bias_mean=-6, weight_mean=None),
                ReluSource(module="body", max=3, bias_mean=None, weight_mean=None),
            ],
            "its input is at most -2, from bn2 (at most -5, bias -6 on average) and body (at most 3)",
        ),
    ],
)
def test_in_words(sources: list[ReluSource], words: str) -> None:
    assert DeadRelu(relu="relu", input_max=-2.0, sources=sources).describe() == words
