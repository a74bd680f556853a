"""Tensors of files that others wrote: names, dtypes and heads that are taken, and networks that are refused."""

from __future__ import annotations

import logging
from pathlib import Path

import numpy as np
import pytest
from models.states import assert_equal_states, hugging_face, refusal, under, without

import gradcli
from gradcli.checkpoints import Checkpoint, save_safetensors
from gradcli.models import load_model
from gradcli.models.fitting import fitted_model
from gradcli.models.loading import replace_head, state_arrays

# --- names ------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("renamed", "said"),
    [
        (lambda state: under("module.", state), ["the prefix module. is left out of the names"]),
        (hugging_face, ["names its tensors as Hugging Face does; they are read under torchvision's names"]),
        (
            lambda state: (
                under("backbone.", without(state, "fc.weight", "fc.bias"))
                | {"head.weight": state["fc.weight"], "head.bias": state["fc.bias"]}
            ),
            ["the prefix backbone. is left out of the names", "head.weight is taken as fc.weight"],
        ),
        (
            lambda state: (
                under("module.encoder_q.", state)
                | under("module.encoder_k.", {"conv1.weight": state["conv1.weight"]})
                | {"module.queue": np.zeros((128, 4), np.float32), "module.queue_ptr": np.zeros(1, np.int64)}
            ),
            [
                "the prefix module.encoder_q. is left out of the names",
                "left out what belongs to its training only: "
                "module.encoder_k.conv1.weight, module.queue, module.queue_ptr",
            ],
        ),
        (
            lambda state: under("module.", state) | {"n_averaged": np.array(3)},
            ["the prefix module. is left out of the names", "left out what belongs to its training only: n_averaged"],
        ),
    ],
    ids=["prefix", "Hugging Face", "head beside a backbone", "MoCo", "AveragedModel"],
)
def test_every_naming_gives_the_same_model_and_the_log_says_how(tmp_path, ten_class_state, caplog, renamed, said):
    path = tmp_path / "renamed.safetensors"
    save_safetensors(path, renamed(ten_class_state))
    with caplog.at_level(logging.DEBUG, "gradcli"):
        assert_equal_states(state_arrays(load_model(path).model), ten_class_state)
    for text in [*said, f"{path}: a head of 10 classes"]:
        assert text in caplog.text


def test_torchvisions_own_names_need_no_words(tmp_path, caplog):
    path = tmp_path / "plain.safetensors"
    save_safetensors(path, state_arrays(load_model("random:1").model))
    with caplog.at_level(logging.INFO, "gradcli"):
        assert load_model(path).num_classes == 1000
    assert caplog.text == ""


@pytest.mark.parametrize("dtype", [np.float16, np.float64])
def test_other_floating_point_types_are_computed_in_float32(tmp_path, ten_class_state, caplog, dtype):
    path = tmp_path / "weights.safetensors"
    state = {
        name: values if values.dtype == np.int64 else values.astype(dtype) for name, values in ten_class_state.items()
    }
    save_safetensors(path, state)
    with caplog.at_level(logging.INFO, "gradcli"):
        found = state_arrays(load_model(path).model)
    assert f"{path} holds {np.dtype(dtype).name}; computing in float32" in caplog.text
    for name, values in state.items():
        np.testing.assert_array_equal(found[name], values.astype(ten_class_state[name].dtype), err_msg=name)
        assert found[name].dtype == ten_class_state[name].dtype


def test_bfloat16_is_said_under_its_own_name(ten_class_state):
    # NumPy has no bfloat16: a checkpoint holds such tensors as float32 and keeps the name beside them.
    dtypes = {name: array.dtype.name for name, array in ten_class_state.items()} | {"conv1.weight": "bfloat16"}
    checkpoint = Checkpoint(dict(ten_class_state), {}, Path("b.pth"), "torch-zip", dtypes)
    assert fitted_model(checkpoint)[1] == ["b.pth holds bfloat16; computing in float32"]


# --- heads ------------------------------------------------------------------------------------------------------------


HEADLESS = {
    "no head": lambda state: without(state, "fc.weight", "fc.bias"),
    "no bias": lambda state: without(state, "fc.bias"),
    "two layers": lambda state: (
        without(state, "fc.weight", "fc.bias") | {"fc.0.weight": np.zeros((8, 512)), "fc.2.weight": np.zeros((10, 8))}
    ),
    "Hugging Face's base model": lambda state: {
        name.removeprefix("resnet."): values
        for name, values in hugging_face(without(state, "fc.weight", "fc.bias")).items()
    },
}


@pytest.mark.parametrize("change", HEADLESS.values(), ids=HEADLESS)
def test_weights_without_a_head_get_one_only_if_it_is_asked_for(tmp_path, ten_class_state, caplog, change):
    path = tmp_path / "backbone.safetensors"
    save_safetensors(path, change(ten_class_state))
    assert refusal(path) == (
        f"{path}: has no classifier that is one linear layer (fc.weight and fc.bias); "
        "gradcli finetune gives it a new one"
    )
    gradcli.manual_seed(4)
    with caplog.at_level(logging.INFO, "gradcli"):
        loaded = load_model(path, num_classes=10)
    assert "a new head of 10 classes, as it has none that fits" in caplog.text
    gradcli.manual_seed(4)
    assert loaded.model.fc.weight.tolist() == gradcli.nn.Linear(512, 10).weight.tolist()
    state = without(state_arrays(loaded.model), "fc.weight", "fc.bias")
    assert_equal_states(state, without(ten_class_state, "fc.weight", "fc.bias"))


def test_a_head_may_be_left_for_later(tmp_path, ten_class_state):
    path = tmp_path / "backbone.safetensors"
    save_safetensors(path, without(ten_class_state, "fc.weight", "fc.bias"))
    generator_state = gradcli.default_generator.get_state()
    loaded = load_model(path, needs_head=False)
    np.testing.assert_array_equal(gradcli.default_generator.get_state(), generator_state)
    assert loaded.num_classes == 0
    replace_head(loaded.model, 4)
    assert loaded.num_classes == 4
    assert loaded.model(gradcli.rand(2, 3, 32, 32)).shape == (2, 4)


# --- refusals ---------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (lambda state: without(state, "bn1.weight"), "missing bn1.weight"),
        (
            lambda state: without(state, *[name for name in state if name.startswith("layer1")]),
            "missing layer1.0.conv1.weight, layer1.0.bn1.weight, layer1.0.bn1.bias and 17 more",
        ),
        (lambda state: state | {"head.weight": np.zeros(2)}, "unexpected head.weight"),
        (
            lambda state: without(state, "fc.weight") | {"classifier.weight": state["fc.weight"]},
            "unexpected classifier.weight",
        ),
        (lambda state: state | {"bn1.bias": np.zeros(3)}, "bn1.bias has shape [3], not [64]"),
        (
            lambda state: state | {"bn1.bias": np.zeros(3), "conv1.weight": np.zeros((64, 1, 7, 7))},
            "conv1.weight has shape [64, 1, 7, 7], not [64, 3, 7, 7]; 1 more of other shapes",
        ),
        (lambda state: state | {"fc.weight": np.zeros((10, 2048))}, "fc.weight has shape [10, 2048], not [10, 512]"),
        (
            lambda state: state | {"fc.weight": np.zeros(10)},
            "fc.weight has shape [10], not [1000, 512]; 1 more of other shapes",
        ),
        (lambda state: state | {"step": np.zeros(1, np.int64)}, "unexpected step"),
        (lambda state: state | {"a\nb": np.zeros(2)}, r"unexpected 'a\nb'"),
        (
            lambda state: under("backbone.", without(state, "bn1.weight")) | {"head.bias": np.zeros(2)},
            "missing bn1.weight; unexpected head.bias",
        ),
        (
            lambda state: hugging_face(state) | {"classifier.1.bias": np.zeros(3)},
            "classifier.1.bias has shape [3], not [10]",
        ),
    ],
)
def test_weights_of_another_model(tmp_path, ten_class_state, change, message):
    path = tmp_path / "other.safetensors"
    save_safetensors(path, change(ten_class_state))
    assert refusal(path) == f"{path}: not the weights of a ResNet-18: {message}"


@pytest.mark.parametrize("prefix", ["", "module.backbone."])
@pytest.mark.parametrize(
    ("extra", "what"),
    [
        ({"layer1.2.conv1.weight": (64, 64, 3, 3)}, None),
        (
            {
                f"layer{stage}.{block}.conv1.weight": (1,)
                for stage, count in enumerate((3, 4, 6, 3), 1)
                for block in range(count)
            },
            "ResNet-34 (layer1 has 3 blocks, not 2)",
        ),
        ({"conv1.weight": (64, 3, 3, 3)}, "ResNet-18 for CIFAR's small images (conv1 has 3x3 filters, not 7x7)"),
        ({"conv1.0.weight": (32, 3, 3, 3)}, "ResNet-18-C (its stem has 3 convolutions)"),
    ],
)
def test_other_networks_of_the_family_are_refused_by_name(tmp_path, ten_class_state, prefix, extra, what):
    path = tmp_path / "other.safetensors"
    save_safetensors(path, under(prefix, ten_class_state | {name: np.zeros(shape) for name, shape in extra.items()}))
    expected = f"is a {what}; gradcli reads ResNet-18" if what else "not the weights of a ResNet-18: unexpected "
    assert refusal(path).startswith(f"{path}: {expected}")


def test_of_several_networks_none_is_chosen(tmp_path, ten_class_state):
    path = tmp_path / "several.safetensors"
    save_safetensors(path, ten_class_state | under("model.", ten_class_state))
    assert refusal(path) == (
        f"{path}: holds several networks (names without a prefix and model.*); save the one that is meant alone"
    )


@pytest.mark.parametrize("dtype", [np.int8, np.bool_])
def test_integers_are_no_weights(tmp_path, ten_class_state, dtype):
    path = tmp_path / "quantised.safetensors"
    save_safetensors(path, under("module.", ten_class_state | {"bn1.bias": np.zeros(64, dtype)}))
    assert refusal(path) == (
        f"{path}: module.bn1.bias holds {np.dtype(dtype).name}; expected floating-point weights, not quantised ones"
    )
