"""Data sets of arrays, of files and of parts of others behave alike."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from gradcli.data.dataset import ArrayDataset, Dataset, FileDataset, Subset
from gradcli.data.preprocessing import Preprocessing
from gradcli.errors import DataError

PREPROCESSING = Preprocessing.straight(6)
LABELS = np.array([1, 0, 1, 2], dtype=np.uint8)
CLASSES = ["ant", "bee", "cat"]


def pixels() -> np.ndarray:
    return np.random.default_rng(0).integers(0, 256, (4, 5, 5, 3), dtype=np.uint8)


def array_dataset(validation: Dataset | None = None) -> ArrayDataset:
    return ArrayDataset("numbers", pixels(), LABELS, CLASSES, PREPROCESSING, validation)


def file_dataset(folder: Path) -> FileDataset:
    paths = [folder / f"{index}.png" for index in range(4)]
    for path, image in zip(paths, pixels(), strict=True):
        Image.fromarray(image).save(path)
    return FileDataset(str(folder), paths, LABELS, CLASSES, PREPROCESSING)


def test_labels_are_int64_and_length_is_theirs() -> None:
    dataset = array_dataset()
    assert dataset.labels.dtype == np.int64
    assert len(dataset) == 4


def test_files_and_arrays_with_the_same_pixels_give_the_same_images(tmp_path: Path) -> None:
    from_files, from_array = file_dataset(tmp_path), array_dataset()
    images = from_files.images([3, 0, 0])
    assert images.shape == (3, 3, 6, 6)
    assert images.dtype == np.float32
    np.testing.assert_array_equal(images, from_array.images(np.array([3, 0, 0])))


def test_files_are_decoded_only_when_asked_for(tmp_path: Path) -> None:
    dataset = file_dataset(tmp_path)
    dataset.paths[2].unlink()
    assert dataset.images([0, 1, 3]).shape == (3, 3, 6, 6)
    with pytest.raises(DataError, match=r"2\.png: no such file"):
        dataset.images([2])


def test_names_say_where_an_image_comes_from(tmp_path: Path) -> None:
    assert array_dataset().name(2) == "numbers[2]"
    assert file_dataset(tmp_path).name(2) == str(tmp_path / "2.png")
    assert Subset(array_dataset(), np.array([3, 1])).name(0) == "numbers[3]"


def test_subset_selects_images_and_labels() -> None:
    dataset = array_dataset()
    subset = Subset(dataset, np.array([3, 1]))
    assert subset.labels.tolist() == [2, 0]
    assert subset.classes == CLASSES
    np.testing.assert_array_equal(subset.images([1, 0]), dataset.images([1, 3]))


def test_with_preprocessing_reaches_subsets_and_validation() -> None:
    dataset = array_dataset(validation=Subset(array_dataset(), np.array([1])))
    changed = dataset.with_preprocessing(Preprocessing.straight(9))
    assert changed.images([0]).shape == (1, 3, 9, 9)
    assert changed.validation is not None
    assert changed.validation.images([0]).shape == (1, 3, 9, 9)
    assert dataset.images([0]).shape == (1, 3, 6, 6)


def test_with_classes_maps_labels_by_name() -> None:
    dataset = array_dataset(validation=array_dataset())
    changed = dataset.with_classes(["cat", "dog", "ant", "bee"])
    assert changed.labels.tolist() == [3, 2, 3, 0]
    assert changed.classes == ["cat", "dog", "ant", "bee"]
    assert changed.validation is not None
    assert changed.validation.labels.tolist() == [3, 2, 3, 0]
    assert dataset.labels.tolist() == LABELS.tolist()


def test_with_classes_refuses_a_class_that_is_not_among_them() -> None:
    with pytest.raises(DataError, match=r"numbers: class 'cat' is unknown; expected only the classes ant, bee$"):
        array_dataset().with_classes(["ant", "bee"])
    many = ["ant", *map(str, range(20))]
    with pytest.raises(DataError, match=r"class 'bee' is unknown; .* ant, 0, .* and 11 more$"):
        array_dataset().with_classes(many)
