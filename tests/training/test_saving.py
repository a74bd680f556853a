"""Saved models come back with everything that belongs to them."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np

from gradcli import __version__
from gradcli.models import load_model
from gradcli.training.freezing import apply_freeze_rules
from gradcli.training.saving import model_metadata, save_model


def test_a_model_comes_back_with_frozen_names_classes_and_preprocessing(tmp_path: Path) -> None:
    loaded = replace(
        load_model("random:2", num_classes=3),
        classes=["a", "b", "c"],
        preprocessing={"size": [32, 32]},
        metadata={"author": "somebody", "gradcli.frozen": '["stale"]'},
    )
    apply_freeze_rules(loaded.model, [("freeze", "layer1.*")])
    path = tmp_path / "model.safetensors"
    save_model(path, loaded)
    again = load_model(path)
    assert len(again.frozen) == 12
    assert all(name.startswith("layer1.") for name in again.frozen)
    assert [name for name, each in again.model.named_parameters() if not each.requires_grad] == list(again.frozen)
    assert (again.classes, again.preprocessing) == (["a", "b", "c"], {"size": [32, 32]})
    assert again.metadata["author"] == "somebody"
    assert again.metadata["gradcli.version"] == __version__
    state = again.model.state_dict()
    for name, tensor in loaded.model.state_dict().items():
        np.testing.assert_array_equal(state[name].array, tensor.array)


def test_metadata_of_random_weights(tmp_path: Path) -> None:
    assert model_metadata(load_model("random:0")) == {"gradcli.frozen": "[]", "gradcli.version": __version__}
