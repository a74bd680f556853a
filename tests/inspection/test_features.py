"""Features of data sets and files: against the network's own average pool, in order, with what belongs to each row."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
from labelled_images import write_folder, write_npz
from PIL import Image

from gradcli.autograd import Tensor, no_grad
from gradcli.data.preprocessing import Preprocessing
from gradcli.errors import DataError, DivergedError
from gradcli.inspection import features
from gradcli.inspection.features import FeatureSource
from gradcli.models import LoadedModel


@pytest.fixture(autouse=True)
def cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """An empty cache, and blocks that are smaller than the data."""
    monkeypatch.setenv("GRADCLI_HOME", str(tmp_path / "home"))
    monkeypatch.setattr(features, "_ROWS_AT_ONCE", 5)


def pooled(loaded: LoadedModel, images: np.ndarray[Any, Any]) -> np.ndarray[Any, Any]:
    """What the network's last layer is given, seen by a hook."""
    seen: list[np.ndarray[Any, Any]] = []
    handle = loaded.model.fc.register_forward_hook(lambda module, arguments, output: seen.append(arguments[0].array))
    loaded.model.eval()
    with no_grad():
        loaded.model(Tensor(images))
    handle.remove()
    return seen[0]


def test_a_data_sets_features_come_with_labels_and_splits(loaded: LoadedModel, tmp_path: Path) -> None:
    write_folder(tmp_path / "photos" / "train", 9)
    write_folder(tmp_path / "photos" / "val", 3)
    source = FeatureSource.open([str(tmp_path / "photos")], loaded)
    counts: list[int] = []
    table = source.compute(loaded, kernels="exact", on_batch=counts.append)
    assert (len(source), sum(counts), table.shape, table.labelled, table.skipped) == (12, 12, (12, 512), True, {})
    rows = np.concatenate(list(table.blocks()))
    columns = table.columns()
    assert columns["split"].tolist() == ["train"] * 9 + ["validation"] * 3
    assert columns["labels"].tolist() == [0, 0, 0, 1, 1, 1, 2, 2, 2, 0, 1, 2]
    assert columns["classes"].tolist() == ["class0", "class1", "class2"]
    for index, record in enumerate(table.records()):
        assert record.path == columns["path"][index]
        assert (record.split, record.label) == (columns["split"][index], columns["labels"][index])
        assert record.class_name == f"class{record.label}"
        assert np.array_equal(record.features, rows[index])
        pixels = FeatureSource.open([record.path], loaded)._parts[0][1].images([0])
        np.testing.assert_allclose(record.features, pooled(loaded, pixels)[0], rtol=1e-4, atol=1e-5)
    validation = FeatureSource.open([str(tmp_path / "photos")], loaded, split="validation")
    assert np.array_equal(np.concatenate(list(validation.compute(loaded, kernels="exact").blocks())), rows[9:])


@pytest.mark.parametrize("keep", [True, False])
def test_files_that_cant_be_read_are_left_out_or_refused(loaded: LoadedModel, tmp_path: Path, keep: bool) -> None:
    folder = tmp_path / "flat"
    folder.mkdir()
    for name in "abcdefg":
        Image.new("RGB", (40, 30), (ord(name), 0, 0)).save(folder / f"{name}.png")
    whole = FeatureSource.open([str(folder)], loaded).compute(loaded, keep=False)
    (folder / "c.png").write_text("broken")
    source = FeatureSource.open([str(folder), "missing.jpg"], loaded)
    table = source.compute(loaded, keep=keep)
    assert (len(source), table.shape, table.labelled) == (8, (6, 512), False)
    assert list(table.columns()) == ["path"]
    assert [record.path for record in table.records()] == [str(folder / f"{name}.png") for name in "abdefg"]
    assert list(table.skipped) == [str(folder / "c.png"), "missing.jpg"]
    expected = np.delete(np.concatenate(list(whole.blocks())), 2, axis=0)
    np.testing.assert_allclose(np.concatenate(list(table.blocks())), expected, rtol=1e-5, atol=1e-6)
    with pytest.raises(DataError, match=r"c\.png: not an image"):
        source.compute(loaded, strict=True)


def test_a_folder_of_images_is_files_and_one_of_class_folders_a_data_set(loaded: LoadedModel, tmp_path: Path) -> None:
    folder = write_folder(tmp_path / "photos", 6)
    assert FeatureSource.open([str(folder)], loaded).compute(loaded).labelled
    assert not FeatureSource.open([str(folder / "class0")], loaded).compute(loaded).labelled
    assert FeatureSource.open([str(write_npz(tmp_path / "bands.npz", 4))], loaded).compute(loaded).labelled
    with pytest.raises(DataError, match="--split test: image files have no splits; expected a data set"):
        FeatureSource.open([str(folder / "class0")], loaded, split="test")
    with pytest.raises(DataError, match="nothing: no such data set, folder or file"):
        FeatureSource.open(["nothing"], loaded)


def test_the_weights_say_how_images_are_prepared(loaded: LoadedModel, tmp_path: Path) -> None:
    path = tmp_path / "a.png"
    Image.new("RGB", (50, 50)).save(path)
    assert FeatureSource.open([str(path)], loaded)._parts[0][1].preprocessing == Preprocessing.straight(32)
    larger = FeatureSource.open([str(path)], loaded, image_size=64)
    assert larger._parts[0][1].preprocessing == Preprocessing.straight(64)


def test_features_that_are_not_finite_are_refused(loaded: LoadedModel, tmp_path: Path) -> None:
    loaded.model.layer4[1].bn2.weight.array[0] = np.nan
    with pytest.raises(DivergedError, match=r"not finite: 1 of the 512 .* of layer4\.1\.bn2\.weight \(first at 0\)"):
        FeatureSource.open([str(write_npz(tmp_path / "bands.npz", 4))], loaded).compute(loaded)
