"""From the name of weights to a model: random weights, files, the number of classes, and what the metadata says."""

from __future__ import annotations

import json

import numpy as np
import pytest
from models.states import assert_equal_states, refusal

import gradcli
from gradcli.checkpoints import save_safetensors
from gradcli.models import load_model, resnet18
from gradcli.models.loading import replace_head, state_arrays
from gradcli.models.weights_metadata import metadata_entries
from tests.checkpoints.torch_zip_writer import TorchZip

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


def test_metadata_survives_as_json(ten_class_file):
    metadata = load_model(ten_class_file).metadata
    assert json.loads(metadata["gradcli.frozen"]) == ["conv1.weight", "fc.bias"]


def test_a_file_that_holds_no_weights(tmp_path):
    path = tmp_path / "weights.safetensors"
    path.write_text("hello")
    assert refusal(path).startswith(f"{path}: ")
