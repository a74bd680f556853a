"""Data for a trained model: classes by name, preprocessing of the weights, the parts that a run left."""

from __future__ import annotations

import dataclasses
import logging
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from labelled_images import write_npz

from gradcli.data.dataset import ArrayDataset, Dataset
from gradcli.data.preprocessing import Preprocessing
from gradcli.data.sources import open_dataset, split
from gradcli.errors import DataError, WeightsError
from gradcli.inspection.model_data import choose_split, file_preprocessing, match_classes, open_for_model
from gradcli.models import LoadedModel, load_model
from gradcli.training.finetuning.data import data_fingerprint
from gradcli.training.finetuning.held_out import split_entry


def data_of(*classes: str, **splits: Dataset) -> ArrayDataset:
    pixels = np.zeros((len(classes), 8, 8), np.uint8)
    return ArrayDataset("data", pixels, np.arange(len(classes)), classes, Preprocessing.straight(32), **splits)


def model_of(*classes: str) -> LoadedModel:
    model = load_model("random:0", num_classes=len(classes)).model
    return LoadedModel(model, "weights.pth", classes=list(classes))


def test_labels_index_the_models_outputs() -> None:
    matched = match_classes(data_of("a", "b", "c"), model_of("c", "a", "b"))
    assert (matched.classes, matched.labels.tolist()) == (["c", "a", "b"], [1, 2, 0])


@pytest.mark.parametrize(
    ("data", "model", "message"),
    [
        (("a", "x"), ("a", "b"), "data: class 'x' is unknown; expected only the classes a, b"),
        (("a", "B"), ("a", "b"), "data: class 'B' is unknown; expected it to be spelled 'b'"),
        (
            ("b",),
            ("a", "b", "c"),
            "data: has no class a, c, which weights.pth was trained to tell; expected all of its 3",
        ),
    ],
)
def test_unknown_and_missing_classes_are_refused(data: tuple[str, ...], model: tuple[str, ...], message: str) -> None:
    with pytest.raises(DataError) as caught:
        match_classes(data_of(*data), model_of(*model))
    assert str(caught.value).startswith(message)


def test_weights_without_names_are_matched_by_position_with_a_warning(caplog: pytest.LogCaptureFixture) -> None:
    nameless = dataclasses.replace(model_of("a", "b"), classes=None)
    data = data_of("x", "y")
    assert match_classes(data, nameless) is data
    assert caplog.messages == [
        "weights.pth does not name its classes; they are taken to be the data's, in this order: x, y"
    ]
    with pytest.raises(WeightsError) as caught:
        match_classes(data_of("x", "y", "z"), nameless)
    assert str(caught.value).startswith(
        "weights.pth: has 2 outputs without names, and data 3 classes; expected weights"
    )


def test_preprocessing_is_the_weights_then_the_datas_at_the_size_that_is_asked_for(tmp_path: Path) -> None:
    path = str(write_npz(tmp_path / "bands.npz", size=20))
    bare = model_of("0", "1", "2")
    own = Preprocessing(size=(48, 48), resize=50, mean=(0.1, 0.2, 0.3))
    named = dataclasses.replace(bare, preprocessing=own.to_dict())
    assert open_for_model(path, bare).preprocessing == Preprocessing.straight(32)
    assert open_for_model(path, named).preprocessing == own
    assert open_for_model(path, named, image_size=96).preprocessing == own.with_size(96, 96)
    assert file_preprocessing(bare) == Preprocessing()
    assert file_preprocessing(named) == own
    assert file_preprocessing(bare, 112).size == (112, 112)
    with pytest.raises(WeightsError, match=r"weights\.pth: preprocessing holds size; expected the fields"):
        open_for_model(path, dataclasses.replace(bare, preprocessing={"size": 3}))


@pytest.mark.parametrize(
    ("splits", "asked", "chosen", "parts"),
    [
        (("validation", "test"), None, "validation", ["validation"]),
        (("test",), None, "test", ["test"]),
        ((), None, "all", ["train"]),
        (("validation", "test"), "all", "all", ["train", "validation", "test"]),
        (("validation", "test"), "test", "test", ["test"]),
        (("validation",), "train", "train", ["train"]),
        ((), "train", "train", ["train"]),
    ],
)
def test_the_part_that_was_held_out_is_the_default(
    splits: tuple[str, ...], asked: Any, chosen: str, parts: list[str]
) -> None:
    data = data_of("a", "b", **{name: data_of("a", "b") for name in splits})
    name, found = choose_split(data, model_of("a", "b"), asked)
    assert (name, list(found)) == (chosen, parts)
    assert all(found[part] is data.splits()[part] for part in parts)


def test_a_part_that_is_not_there_is_refused() -> None:
    with pytest.raises(DataError, match="data: has no validation part, only train, test; expected one of these"):
        choose_split(data_of("a", test=data_of("a")), model_of("a"), "validation")


@pytest.fixture
def run(tmp_path: Path) -> tuple[LoadedModel, Path]:
    """What is loaded of a run that split a data set of 20 images, with a seed of its own; and that data set."""
    path = write_npz(tmp_path / "bands.npz")
    parts = split(open_dataset(str(path)), 0.25, 7)
    entry = split_entry(data_fingerprint(*parts), 0.25, 7)
    return dataclasses.replace(model_of("0", "1", "2"), weights="copy.safetensors", metadata=entry), path


def test_the_data_of_a_run_is_split_as_the_run_did(
    run: tuple[LoadedModel, Path], caplog: pytest.LogCaptureFixture
) -> None:
    loaded, path = run
    data = match_classes(open_for_model(str(path), loaded), loaded)
    train, validation = split(data, 0.25, 7)
    with caplog.at_level(logging.INFO):
        name, parts = choose_split(data, loaded)
    assert name == "validation"
    assert caplog.messages == [f"{path}: the 5 of 20 images that the run of {loaded.weights} kept for validation"]
    assert parts["validation"].fingerprint() == validation.fingerprint()
    assert choose_split(data, loaded, "train")[1]["train"].fingerprint() == train.fingerprint()
    assert len(choose_split(data, loaded, "all")[1]["train"]) == 20


def test_of_other_data_all_is_meant(run: tuple[LoadedModel, Path]) -> None:
    loaded, path = run
    write_npz(path, count=21)
    name, parts = choose_split(open_dataset(str(path)), loaded)
    assert (name, list(parts)) == ("all", ["train"])
