"""Names and files of weights: what is loaded, what comes with it, and what is refused in which words."""

from __future__ import annotations

import json
import logging
import shutil
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
from checkpoints.conftest import TorchZip
from models.cached_weights import FILE, cache_known_weights, write_manifest

import gradcli
from gradcli.checkpoints import Checkpoint, file_sha256, save_safetensors
from gradcli.checkpoints.naming import names_in
from gradcli.errors import ExitCode, WeightsError
from gradcli.models import load_model, resnet18
from gradcli.models.fitting import fitted_model
from gradcli.models.imagenet import imagenet_classes
from gradcli.models.loading import RUN_WEIGHTS, metadata_entries, replace_head, state_arrays

State = dict[str, np.ndarray]
TRACKED = [name for name in state_arrays(resnet18(num_classes=1)) if name.endswith("num_batches_tracked")]


def assert_equal_states(found: State, expected: State) -> None:
    assert list(found) == list(expected)
    for name, values in expected.items():
        np.testing.assert_array_equal(found[name], values, err_msg=name)


def refusal(weights: str | Path, num_classes: int | None = None) -> str:
    """The message of the WeightsError that loading raises, which is one line with the exit code of weights."""
    with pytest.raises(WeightsError) as caught:
        load_model(weights, num_classes)
    message = str(caught.value)
    assert "\n" not in message
    assert caught.value.exit_code == ExitCode.WEIGHTS
    return message


def without(state: State, *names: str) -> State:
    return {name: values for name, values in state.items() if name not in names}


def under(prefix: str, state: State) -> State:
    return {prefix + name: values for name, values in state.items()}


def hugging_face(state: State) -> State:
    return {new: state[name] for name, new in names_in("hf", state).items()}


# --- random weights ---------------------------------------------------------------------------------------------------


def test_random_weights_are_those_of_the_seed_and_leave_the_default_generator_alone():
    state = gradcli.default_generator.get_state()
    loaded = load_model("random:3", 10)
    np.testing.assert_array_equal(gradcli.default_generator.get_state(), state)
    assert loaded.weights == "random:3"
    assert (loaded.frozen, loaded.classes, loaded.preprocessing, loaded.metadata) == ((), None, None, {})
    gradcli.manual_seed(3)
    assert_equal_states(state_arrays(loaded.model), state_arrays(resnet18(num_classes=10)))


@pytest.mark.parametrize(("name", "full_name"), [("random", "random:0"), ("random:", "random:0"), ("random:-1", None)])
def test_names_of_random_weights(name, full_name):
    assert load_model(name, 2).weights == (full_name or name)


@pytest.mark.parametrize("seed", ["x", "1.5", "99999999999999999999"])
def test_seeds_are_integers(seed):
    assert refusal(f"random:{seed}") == (
        f"weights random:{seed}: the seed must be an integer of 64 bits, such as random:0"
    )


def test_without_weights_the_default_generator_draws():
    gradcli.manual_seed(3)
    first = resnet18(num_classes=2)
    second = resnet18(num_classes=2)
    assert (first.conv1.weight.array != second.conv1.weight.array).all()
    gradcli.manual_seed(3)
    assert_equal_states(state_arrays(resnet18(num_classes=2)), state_arrays(first))
    assert resnet18().fc.out_features == 1000


# --- files ------------------------------------------------------------------------------------------------------------


def test_a_safetensors_file_brings_state_head_and_metadata(ten_class_file, ten_class_state):
    generator_state = gradcli.default_generator.get_state()
    loaded = load_model(ten_class_file)
    np.testing.assert_array_equal(gradcli.default_generator.get_state(), generator_state)
    assert_equal_states(state_arrays(loaded.model), ten_class_state)
    assert loaded.weights == str(ten_class_file)
    assert loaded.frozen == ("conv1.weight", "fc.bias")
    trainable = {name for name, parameter in loaded.model.named_parameters() if parameter.requires_grad}
    assert {name for name, _ in loaded.model.named_parameters()} - trainable == {"conv1.weight", "fc.bias"}
    assert loaded.classes == [f"digit {index}" for index in range(10)]
    assert loaded.preprocessing == {"size": [32, 32]}
    assert loaded.metadata["author"] == "somebody"
    assert loaded.model.training


def test_a_run_folder_means_the_file_in_it(ten_class_file, ten_class_state):
    loaded = load_model(ten_class_file.parent)
    assert loaded.weights == str(ten_class_file.parent)
    assert_equal_states(state_arrays(loaded.model), ten_class_state)


def test_resnet18_takes_what_load_model_takes(ten_class_file, ten_class_state):
    assert_equal_states(state_arrays(resnet18(weights=ten_class_file)), ten_class_state)
    assert_equal_states(state_arrays(resnet18(weights="random:1")), state_arrays(load_model("random:1").model))


def test_a_file_of_torch_save_loads_without_pytorch(tmp_path, ten_class_state):
    builder = TorchZip(tmp_path)
    content = {
        name: builder.whole(values, "LongStorage" if values.dtype == np.int64 else "FloatStorage")
        for name, values in ten_class_state.items()
    }
    loaded = load_model(builder.write(content))
    assert_equal_states(state_arrays(loaded.model), ten_class_state)
    assert (loaded.frozen, loaded.classes, loaded.preprocessing) == ((), None, None)


@pytest.mark.parity
@pytest.mark.parametrize("wrap", [lambda state: state, lambda state: {"state_dict": state, "epoch": 3}])
def test_a_file_that_pytorch_saved_loads(tmp_path, wrap):
    torch = pytest.importorskip("torch")
    from reference.torch_resnet18 import randomize_batch_norm
    from reference.torch_resnet18 import resnet18 as torch_resnet18

    theirs = torch_resnet18(num_classes=4)
    randomize_batch_norm(theirs, seed=0)
    path = tmp_path / "weights.pth"
    torch.save(wrap(theirs.state_dict()), path)
    assert_equal_states(
        state_arrays(load_model(path).model), {name: tensor.numpy() for name, tensor in theirs.state_dict().items()}
    )


def test_old_files_without_num_batches_tracked_load(tmp_path, ten_class_state):
    path = tmp_path / "old.safetensors"
    save_safetensors(
        path, {name: values for name, values in ten_class_state.items() if not name.endswith("num_batches_tracked")}
    )
    model = load_model(path).model
    assert model.bn1.num_batches_tracked.item() == 0
    np.testing.assert_array_equal(model.bn1.running_var.numpy(), ten_class_state["bn1.running_var"])


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
    ],
    ids=["prefix", "Hugging Face", "head beside a backbone", "MoCo"],
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
    checkpoint = Checkpoint(dict(ten_class_state), {}, Path("b.pth"), "torch-zip", {"conv1.weight": "bfloat16"})
    assert fitted_model(checkpoint)[1] == ["b.pth holds bfloat16; computing in float32"]


# --- weights that are known -------------------------------------------------------------------------------------------


def test_known_weights_bring_class_names_and_preprocessing(thousand_class_state, tmp_path):
    published = cache_known_weights(thousand_class_state)
    copy = tmp_path / FILE
    shutil.copy(published, copy)
    converted = tmp_path / "converted.safetensors"
    save_safetensors(converted, thousand_class_state, {"source_sha256": file_sha256(published)})
    for weights in ("imagenet1k-v1", published, copy, converted):
        loaded = load_model(weights)
        assert loaded.classes == list(imagenet_classes())
        assert loaded.preprocessing is not None
        assert (loaded.preprocessing["size"], loaded.preprocessing["resize"]) == ([224, 224], 256)
        assert loaded.weights == str(weights)
    assert load_model("imagenet1k-v1", num_classes=5).classes is None


def test_the_files_own_class_names_win(ten_class_state, tmp_path):
    path = tmp_path / "finetuned.safetensors"
    classes = [f"digit {index}" for index in range(10)]
    metadata = metadata_entries(classes=classes, preprocessing={"size": [32, 32]}) | {"source_sha256": "ab" * 32}
    save_safetensors(path, ten_class_state, metadata)
    write_manifest("mine", sha256="ab" * 32, size=1, classes=10)
    loaded = load_model(path)
    assert (loaded.classes, loaded.preprocessing) == (classes, {"size": [32, 32]})


def test_a_list_of_another_length_names_no_classes(ten_class_state):
    cache_known_weights(ten_class_state)
    assert load_model("imagenet1k-v1").classes is None


def test_a_file_that_only_claims_to_be_known_is_refused_unless_told_otherwise(ten_class_state, tmp_path):
    path = cache_known_weights(ten_class_state)
    found = file_sha256(path)
    write_manifest("imagenet1k-v1", sha256="12" * 32, size=path.stat().st_size, classes=10)
    message = refusal(path)
    assert message.startswith(f"{path}: ")
    assert found in message
    assert "12" * 32 in message
    assert_equal_states(
        without(state_arrays(load_model(path, verify=False).model), *TRACKED), without(ten_class_state, *TRACKED)
    )


def test_random_weights_touch_neither_hub_nor_manifest():
    script = (
        "import sys; from gradcli.models import load_model; load_model('random:0', 2);"
        "print([name for name in sys.modules if name.startswith(('gradcli.hub', 'requests', 'tomllib'))])"
    )
    result = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, check=True)
    assert result.stdout == "[]\n"


# --- another number of classes ----------------------------------------------------------------------------------------


def test_another_number_of_classes_draws_a_new_trainable_head(ten_class_file, ten_class_state):
    gradcli.manual_seed(4)
    loaded = load_model(ten_class_file, num_classes=3)
    gradcli.manual_seed(4)
    expected = gradcli.nn.Linear(512, 3)
    assert loaded.model.fc.weight.tolist() == expected.weight.tolist()
    assert loaded.model.fc.bias.tolist() == expected.bias.tolist()
    assert loaded.model.fc.bias.requires_grad
    assert loaded.frozen == ("conv1.weight",)
    assert loaded.classes is None
    np.testing.assert_array_equal(loaded.model.conv1.weight.array, ten_class_state["conv1.weight"])


def test_the_same_number_of_classes_keeps_the_head(ten_class_file, ten_class_state):
    loaded = load_model(ten_class_file, num_classes=10)
    np.testing.assert_array_equal(loaded.model.fc.weight.array, ten_class_state["fc.weight"])
    assert loaded.classes is not None


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


def test_replace_head_keeps_the_rest(ten_class_file):
    model = load_model(ten_class_file).model
    names = list(model.state_dict())
    replace_head(model, 2)
    assert list(model.state_dict()) == names
    assert model.fc.weight.shape == (2, 512)


# --- metadata ---------------------------------------------------------------------------------------------------------


def test_metadata_entries_leave_out_what_is_not_given():
    assert metadata_entries() == {}
    assert metadata_entries(frozen=[], classes=["a"]) == {"gradcli.frozen": "[]", "gradcli.classes": '["a"]'}


@pytest.mark.parametrize(
    ("metadata", "message"),
    [
        ({"gradcli.frozen": "conv1"}, "its metadata gradcli.frozen is no JSON list"),
        ({"gradcli.frozen": "[" * 200_000}, "its metadata gradcli.frozen is no JSON list"),
        ({"gradcli.frozen": '{"conv1": 1}'}, "its metadata gradcli.frozen is no JSON list"),
        ({"gradcli.frozen": '[["conv1.weight"]]'}, "its metadata gradcli.frozen must be a JSON list of names"),
        ({"gradcli.frozen": '["conv9.weight"]'}, "its metadata freezes conv9.weight, which the model doesn't have"),
        ({"gradcli.classes": "[1, 2]"}, "its metadata gradcli.classes must be a JSON list of names"),
        ({"gradcli.classes": '["cat", "dog"]'}, "its metadata names 2 classes, but its head has 10"),
        ({"gradcli.preprocessing": "[]"}, "its metadata gradcli.preprocessing is no JSON dict"),
    ],
)
def test_metadata_that_makes_no_sense(tmp_path, ten_class_state, metadata, message):
    path = tmp_path / "weights.safetensors"
    save_safetensors(path, ten_class_state, metadata)
    assert refusal(path) == f"{path}: {message}"


# --- refusals ---------------------------------------------------------------------------------------------------------


def test_an_unknown_name_lists_the_known_ones():
    assert refusal("imagenet").startswith(
        "imagenet: no such weights or file; known names are random[:SEED], imagenet1k-v1, "
    )


def test_a_missing_file(tmp_path):
    path = tmp_path / "missing.safetensors"
    assert refusal(path) == f"{path}: no such file"


def test_a_folder_that_is_no_run_folder(tmp_path):
    assert refusal(tmp_path) == f"{tmp_path}: a folder without {RUN_WEIGHTS}; give a run folder or a weights file"


def test_a_file_that_holds_no_weights(tmp_path):
    path = tmp_path / "weights.safetensors"
    path.write_text("hello")
    assert refusal(path).startswith(f"{path}: ")


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


@pytest.mark.parametrize("dtype", [np.int8, np.bool_])
def test_integers_are_no_weights(tmp_path, ten_class_state, dtype):
    path = tmp_path / "quantised.safetensors"
    save_safetensors(path, under("module.", ten_class_state | {"bn1.bias": np.zeros(64, dtype)}))
    assert refusal(path) == (
        f"{path}: module.bn1.bias holds {np.dtype(dtype).name}; expected floating-point weights, not quantised ones"
    )


def test_metadata_survives_as_json(ten_class_file):
    metadata = load_model(ten_class_file).metadata
    assert json.loads(metadata["gradcli.frozen"]) == ["conv1.weight", "fc.bias"]
