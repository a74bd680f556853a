"""Which parameters belong together: by layer, block and kind of ResNet-18."""

from __future__ import annotations

import math
from collections import Counter

import numpy as np

from gradcli.inspection.gradients.grouping import grouped, groups_of_parameters, layer_of, norms_by_layer
from gradcli.models.resnet import build_resnet18

MODEL = build_resnet18(10)
NAMES = [name for name, _ in MODEL.named_parameters()]


def test_layers_are_the_modules_that_own_parameters() -> None:
    groups = groups_of_parameters(MODEL, "layer")
    assert list(groups) == NAMES
    assert groups["layer2.0.downsample.1.bias"] == "layer2.0.downsample.1"
    assert len(set(groups.values())) == 41  # 20 convolutions, 20 batch norms, the head
    assert layer_of("input") == "input"


def test_blocks_are_the_stem_eight_blocks_and_the_head() -> None:
    groups = groups_of_parameters(MODEL, "block")
    assert sorted(groups) == sorted(NAMES)
    blocks = [f"layer{stage}.{block}" for stage in (1, 2, 3, 4) for block in (0, 1)]
    assert list(dict.fromkeys(groups.values())) == ["stem", *blocks, "fc"]
    assert [name for name, block in groups.items() if block == "stem"] == ["conv1.weight", "bn1.weight", "bn1.bias"]


def test_kinds_are_types_of_modules_and_their_parameters() -> None:
    assert Counter(groups_of_parameters(MODEL, "kind").values()) == {
        "Conv2d.weight": 20,
        "BatchNorm2d.weight": 20,
        "BatchNorm2d.bias": 20,
        "Linear.weight": 1,
        "Linear.bias": 1,
    }


def test_what_has_no_group_is_one_by_itself() -> None:
    arrays = {"a": np.ones(1), "b": np.ones(2), "c": np.ones(3)}
    found = grouped(arrays, {"a": "x", "c": "x"})
    assert {name: [array.size for array in group] for name, group in found.items()} == {"x": [1, 3], "b": [2]}


def test_norms_by_layer() -> None:
    arrays = {
        "conv1.weight": np.full((2, 2), 2.0, np.float32),
        "bn1.weight": np.array([3.0], np.float32),
        "bn1.bias": np.array([4.0], np.float32),
        "input": np.array([np.nan], np.float32),
    }
    layers = norms_by_layer(arrays)
    assert [(layer.name, layer.norm, layer.numel) for layer in layers[:2]] == [("conv1", 4.0, 4), ("bn1", 5.0, 2)]
    assert (layers[2].name, math.isnan(layers[2].norm)) == ("input", True)
