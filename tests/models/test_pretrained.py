"""Pretrained weights: where their files are looked for, and what happens without one."""

from __future__ import annotations

import warnings
from pathlib import Path

import numpy as np
import pytest
from checkpoints.conftest import TorchZip

from gradcli.errors import WeightsError
from gradcli.models import DEFAULT_WEIGHTS, ResNet18_Weights, load_model, resnet18
from gradcli.models.loading import state_arrays

FILE = "resnet18-f37072fd.pth"


def checkpoints_folder(torch_home: Path) -> Path:
    folder = torch_home / "hub" / "checkpoints"
    folder.mkdir(parents=True)
    return folder


def test_default_is_the_only_member_there_is():
    assert ResNet18_Weights.DEFAULT is ResNet18_Weights.IMAGENET1K_V1
    assert list(ResNet18_Weights) == [ResNet18_Weights.IMAGENET1K_V1]
    assert ResNet18_Weights.DEFAULT.value == FILE


@pytest.mark.parametrize(
    ("variable", "folder"),
    [("TORCH_HOME", ""), ("XDG_CACHE_HOME", "torch"), ("HOME", ".cache/torch")],
)
def test_the_file_is_found_where_torch_hub_keeps_it(monkeypatch, tmp_path, variable, folder):
    for name in ("TORCH_HOME", "XDG_CACHE_HOME"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("HOME", str(tmp_path / "elsewhere"))
    monkeypatch.setenv(variable, str(tmp_path))
    assert ResNet18_Weights.DEFAULT.find() is None
    path = checkpoints_folder(tmp_path / folder) / FILE
    path.write_bytes(b"")
    assert ResNet18_Weights.DEFAULT.find() == path


def test_torch_home_wins_and_may_start_at_home(monkeypatch, tmp_path):
    monkeypatch.setenv("HOME", str(tmp_path))
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    monkeypatch.setenv("TORCH_HOME", "~/torch")
    (checkpoints_folder(tmp_path / "cache" / "torch") / FILE).write_bytes(b"")
    assert ResNet18_Weights.DEFAULT.find() is None
    path = checkpoints_folder(tmp_path / "torch") / FILE
    path.write_bytes(b"")
    assert ResNet18_Weights.DEFAULT.find() == path


def test_a_folder_of_that_name_is_no_file(monkeypatch, tmp_path):
    monkeypatch.setenv("TORCH_HOME", str(tmp_path))
    (checkpoints_folder(tmp_path) / FILE).mkdir()
    assert ResNet18_Weights.DEFAULT.find() is None


def test_without_a_file_one_warning_and_the_default_weights():
    with pytest.warns(UserWarning, match=FILE) as caught:
        model = resnet18(weights=ResNet18_Weights.DEFAULT)
    assert len(caught) == 1
    assert caught[0].filename == __file__
    message = str(caught[0].message)
    assert "\n" not in message
    assert message.startswith(f"ResNet18_Weights.IMAGENET1K_V1 needs {FILE}")
    assert DEFAULT_WEIGHTS in message
    expected = state_arrays(load_model(DEFAULT_WEIGHTS).model)
    for name, values in state_arrays(model).items():
        np.testing.assert_array_equal(values, expected[name], err_msg=name)


def test_with_the_file_its_weights_and_no_warning(monkeypatch, tmp_path, ten_class_state):
    monkeypatch.setenv("TORCH_HOME", str(tmp_path))
    builder = TorchZip(checkpoints_folder(tmp_path))
    # As torchvision's own file, which is older than num_batches_tracked.
    state = {name: values for name, values in ten_class_state.items() if not name.endswith("num_batches_tracked")}
    builder.write({name: builder.whole(values) for name, values in state.items()}, name=FILE)
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        models = [
            resnet18(weights=ResNet18_Weights.DEFAULT),
            resnet18(weights=ResNet18_Weights.IMAGENET1K_V1, num_classes=10),
            load_model("imagenet1k-v1").model,
        ]
    for model in models:
        for name, values in state.items():
            np.testing.assert_array_equal(state_arrays(model)[name], values, err_msg=name)
    assert load_model("imagenet1k-v1").weights == "imagenet1k-v1"


def test_a_corrupt_file_is_named_and_not_replaced_by_random_weights(monkeypatch, tmp_path):
    monkeypatch.setenv("TORCH_HOME", str(tmp_path))
    path = checkpoints_folder(tmp_path) / FILE
    path.write_bytes(b"<html>not found</html>")
    with pytest.raises(WeightsError, match="web page") as caught:
        resnet18(weights=ResNet18_Weights.DEFAULT)
    assert str(caught.value).startswith(f"{path}: ")
