"""Weights by name: known ones with what belongs to them, files that claim to be known, and names that mean nothing."""

from __future__ import annotations

import shutil
import subprocess
import sys

import pytest
from models.cached_weights import FILE, cache_known_weights, know_another
from models.states import assert_equal_states, refusal, without

from gradcli.checkpoints import file_sha256, save_safetensors
from gradcli.models import load_model
from gradcli.models.imagenet import imagenet_classes
from gradcli.models.loading import state_arrays
from gradcli.models.weights_metadata import metadata_entries
from gradcli.models.weights_source import RUN_WEIGHTS, weights_file


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
    know_another("mine", sha256="ab" * 32, size=1, classes=10)
    loaded = load_model(path)
    assert (loaded.classes, loaded.preprocessing) == (classes, {"size": [32, 32]})


def test_a_converted_copy_brings_class_names_where_no_manifest_knows_it(thousand_class_state, tmp_path):
    path = tmp_path / "carried.safetensors"
    save_safetensors(path, thousand_class_state, {"gradcli.class_names": "imagenet1k"})
    assert load_model(path).classes == list(imagenet_classes())
    save_safetensors(path, thousand_class_state, {"gradcli.class_names": "birds"})
    assert load_model(path).classes is None


def test_a_list_of_another_length_names_no_classes(ten_class_state):
    cache_known_weights(ten_class_state)
    assert load_model("imagenet1k-v1").classes is None


def test_a_file_that_only_claims_to_be_known_is_refused_unless_told_otherwise(ten_class_state, tmp_path):
    path = cache_known_weights(ten_class_state)
    found = file_sha256(path)
    know_another("imagenet1k-v1", sha256="12" * 32, size=path.stat().st_size, classes=10)
    message = refusal(path)
    assert message.startswith(f"{path}: ")
    assert found in message
    assert "12" * 32 in message
    loaded = state_arrays(load_model(path, verify=False).model)
    tracked = [name for name in loaded if name.endswith("num_batches_tracked")]
    assert_equal_states(without(loaded, *tracked), without(ten_class_state, *tracked))


def test_random_weights_touch_neither_hub_nor_manifest():
    script = (
        "import sys; from gradcli.models import load_model; load_model('random:0', 2);"
        "print([name for name in sys.modules if name.startswith(('gradcli.hub', 'requests', 'tomllib'))])"
    )
    result = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, check=True)
    assert result.stdout == "[]\n"


def test_an_unknown_name_lists_the_known_ones():
    assert refusal("nonsense").startswith(
        "nonsense: no such weights or file; known names are default, random[:SEED], emoji1k, imagenet1k-v1, "
    )


@pytest.mark.parametrize(
    ("name", "meant"),
    [
        ("microsoft/resnet-18", "microsoft-resnet-18"),
        ("timm/resnet18.a1_in1k", "resnet18.a1_in1k"),
        ("resnet18.tv_in1", "resnet18.tv_in1k"),
        ("IMAGENET1K_V1", "imagenet1k-v1"),
        ("imagenet", "imagenet1k-v1"),
        ("timm/ResNet18", "resnet18.tv_in1k"),
    ],
)
def test_a_name_that_is_nearly_known_is_answered_with_it_first(name, meant):
    assert refusal(name).startswith(f"{name}: no such weights or file; did you mean {meant}")


def test_a_missing_file(tmp_path):
    path = tmp_path / "missing.safetensors"
    assert refusal(path) == f"{path}: no such file"


def test_a_file_pays_for_no_download_and_a_name_of_a_network_for_no_layers(ten_class_state, tmp_path):
    path = tmp_path / "own.safetensors"
    save_safetensors(path, ten_class_state)
    for statement, absent in [
        (f"gradcli.models.load_model({str(path)!r})", ("gradcli.hub.download", "gradcli.checkpoints.conversion")),
        ("import gradcli.inspection.weights", ("gradcli.ops", "gradcli.nn", "gradcli.autograd")),
    ]:
        script = f"import sys, gradcli.models; {statement}; print([name for name in {absent} if name in sys.modules])"
        result = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, check=True)
        assert result.stdout == "[]\n"


@pytest.mark.parametrize("file", ["model.safetensors.index.json", "pytorch_model.bin"])
def test_a_folder_of_transformers_means_the_weights_in_it(tmp_path, file):
    (tmp_path / file).touch()
    (tmp_path / "config.json").touch()
    assert weights_file(str(tmp_path)) == tmp_path / file


def test_a_folder_that_is_no_run_folder(tmp_path):
    assert refusal(tmp_path) == f"{tmp_path}: a folder without {RUN_WEIGHTS}; give a run folder or a weights file"
