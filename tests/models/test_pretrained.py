"""Pretrained weights as torchvision names them: which there are, what is said of them, with and without a copy."""

from __future__ import annotations

import os
from pathlib import Path

import numpy as np
import pytest
from models.cached_weights import FILE, URL, cache_known_weights, know_another

import gradcli
from gradcli.errors import WeightsError
from gradcli.models import ResNet18_Weights, load_model, resnet18
from gradcli.models.imagenet import imagenet_classes
from gradcli.models.loading import state_arrays

MEMBER = ResNet18_Weights.IMAGENET1K_V1
BUNDLED = ResNet18_Weights.EMOJI1K_V1


@pytest.fixture
def cached_file(ten_class_state) -> Path:
    return cache_known_weights(ten_class_state)


def assert_values(model, state) -> None:
    found = state_arrays(model)
    for name, values in state.items():
        if not name.endswith("num_batches_tracked"):
            np.testing.assert_array_equal(found[name], values, err_msg=name)


def test_the_members():
    assert list(ResNet18_Weights) == [MEMBER, BUNDLED]
    assert repr(MEMBER) == "ResNet18_Weights.IMAGENET1K_V1"
    assert ResNet18_Weights["EMOJI1K_V1"] is BUNDLED
    with pytest.raises(KeyError):
        ResNet18_Weights["IMAGENET1K_V2"]
    assert MEMBER.url == "https://download.pytorch.org/models/resnet18-f37072fd.pth"


def test_default_is_what_comes_with_gradcli_until_imagenets_weights_are_here(ten_class_state):
    assert ResNet18_Weights.DEFAULT is BUNDLED
    assert ResNet18_Weights["DEFAULT"] is BUNDLED
    assert resnet18(weights="DEFAULT").fc.out_features == 1000
    cache_known_weights(ten_class_state)
    assert ResNet18_Weights.DEFAULT is MEMBER
    assert ResNet18_Weights["DEFAULT"] is MEMBER
    assert resnet18(weights="DEFAULT").fc.out_features == 10


def test_what_comes_with_gradcli():
    loaded = load_model("emoji1k")
    assert BUNDLED.url == ""
    meta = BUNDLED.meta
    assert meta["categories"] == loaded.classes
    assert meta["num_params"] == sum(parameter.numel() for parameter in loaded.model.parameters())
    assert meta["_file_size"] == pytest.approx(BUNDLED.fetch().stat().st_size / 2**20, abs=1e-3)
    state = BUNDLED.get_state_dict()
    assert state["fc.weight"].dtype == gradcli.float32
    assert_values(resnet18(weights=BUNDLED), {name: tensor.array for name, tensor in state.items()})


def test_meta_says_what_torchvision_says():
    assert MEMBER.meta == {
        "min_size": (1, 1),
        "categories": list(imagenet_classes()),
        "num_params": sum(parameter.numel() for parameter in load_model("random:0").model.parameters()),
        "_metrics": {"ImageNet-1K": {"acc@1": 69.758, "acc@5": 89.078}},
        "_file_size": 44.661,
    }


@pytest.mark.parametrize(
    "weights",
    [MEMBER, "DEFAULT", "ResNet18_Weights.DEFAULT", "IMAGENET1K_V1", "ResNet18_Weights.IMAGENET1K_V1", "imagenet1k-v1"],
)
def test_a_copy_of_torch_hub_is_used(cached_file, ten_class_state, weights):
    assert_values(resnet18(weights=weights), ten_class_state)
    assert MEMBER.fetch() == cached_file


def test_another_number_of_classes_gives_a_new_head(cached_file, ten_class_state):
    gradcli.manual_seed(4)
    model = resnet18(weights=ResNet18_Weights.DEFAULT, num_classes=3)
    gradcli.manual_seed(4)
    assert model.fc.weight.tolist() == gradcli.nn.Linear(512, 3).weight.tolist()
    assert_values(model, {"conv1.weight": ten_class_state["conv1.weight"]})


def test_the_state_dict_alone(cached_file, ten_class_state):
    state = MEMBER.get_state_dict(progress=False, check_hash=True)
    assert list(state) == [name for name in ten_class_state if not name.endswith("num_batches_tracked")]
    assert isinstance(state["fc.weight"], gradcli.Tensor)
    model = resnet18(num_classes=10)
    model.load_state_dict(state)
    assert_values(model, ten_class_state)


def test_pretrained_warns_and_means_the_weights(cached_file, ten_class_state):
    with pytest.warns(UserWarning, match="'pretrained' is deprecated") as caught:
        model = resnet18(pretrained=True)
    assert [warning.filename for warning in caught] == [__file__]
    assert_values(model, ten_class_state)
    with pytest.warns(UserWarning, match="'pretrained' is deprecated"):
        assert resnet18(pretrained=False, num_classes=2).fc.out_features == 2


def test_without_a_copy_and_offline_one_line_says_what_to_do():
    know_another("imagenet1k-v1", sha256="0" * 64, size=1, classes=1000)
    with pytest.raises(WeightsError) as caught:
        resnet18(weights=MEMBER)
    message = str(caught.value)
    assert "\n" not in message
    assert message.startswith(f"{URL}: ")
    assert "gradcli weights fetch imagenet1k-v1 --url URL" in message
    assert FILE in message
    assert os.environ["GRADCLI_HOME"] in message


def test_a_damaged_copy_is_not_used(cached_file, caplog):
    with cached_file.open("r+b") as stream:
        stream.seek(1_000_000)
        stream.write(b"damage")
    with pytest.raises(WeightsError, match="cannot be reached"):
        resnet18(weights=MEMBER)
    assert f"{cached_file}: not used" in caplog.text
    assert ResNet18_Weights.DEFAULT is BUNDLED
