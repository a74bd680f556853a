"""Data sets of arrays, of files and of parts of others behave alike."""

from __future__ import annotations

import os
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


def array_dataset(validation: Dataset | None = None, test: Dataset | None = None) -> ArrayDataset:
    return ArrayDataset("numbers", pixels(), LABELS, CLASSES, PREPROCESSING, validation, test)


def file_dataset(folder: Path) -> FileDataset:
    paths = [folder / f"{index}.png" for index in range(4)]
    for path, image in zip(paths, pixels(), strict=True):
        Image.fromarray(image).save(path)
    return FileDataset(str(folder), folder, [path.name for path in paths], LABELS, CLASSES, PREPROCESSING)


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
    (tmp_path / "2.png").unlink()
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


def test_images_are_given_as_they_are_before_preprocessing(tmp_path: Path) -> None:
    for dataset in (file_dataset(tmp_path), array_dataset(), Subset(array_dataset(), np.arange(4))):
        image = dataset.image(3)
        assert image.mode == "RGB"
        np.testing.assert_array_equal(np.asarray(image), pixels()[3])
    grey = ArrayDataset("grey", pixels()[..., 0], LABELS, CLASSES, PREPROCESSING)
    assert grey.image(1).mode == "L"
    np.testing.assert_array_equal(np.asarray(grey.image(1)), pixels()[1, ..., 0])
    transparent = np.concatenate([pixels(), pixels()[..., :1]], axis=3)
    clear = ArrayDataset("clear", transparent, LABELS, CLASSES, PREPROCESSING)
    assert clear.image(1).mode == "RGBA"
    np.testing.assert_array_equal(np.asarray(clear.image(1)), transparent[1])
    floats = ArrayDataset("floats", (pixels() / 255).astype(np.float32), LABELS, CLASSES, PREPROCESSING)
    np.testing.assert_array_equal(np.asarray(floats.image(2)), pixels()[2])


def test_splits_are_listed_by_name() -> None:
    assert list(array_dataset().splits()) == ["train"]
    validation, test = array_dataset(), array_dataset()
    dataset = array_dataset(validation, test)
    assert dataset.splits() == {"train": dataset, "validation": validation, "test": test}


def test_with_preprocessing_reaches_subsets_and_other_splits() -> None:
    other = Subset(array_dataset(), np.array([1]))
    dataset = array_dataset(validation=other, test=other)
    changed = dataset.with_preprocessing(Preprocessing.straight(9))
    assert [part.images([0]).shape for part in changed.splits().values()] == [(1, 3, 9, 9)] * 3
    assert [part.images([0]).shape for part in dataset.splits().values()] == [(1, 3, 6, 6)] * 3


def test_with_classes_maps_labels_by_name() -> None:
    dataset = array_dataset(validation=array_dataset(), test=array_dataset())
    changed = dataset.with_classes(["cat", "dog", "ant", "bee"])
    for part in changed.splits().values():
        assert part.labels.tolist() == [3, 2, 3, 0]
        assert part.classes == ["cat", "dog", "ant", "bee"]
    assert dataset.labels.tolist() == LABELS.tolist()


def test_with_classes_refuses_a_class_that_is_not_among_them() -> None:
    with pytest.raises(DataError, match=r"numbers: class 'cat' is unknown; expected only the classes ant, bee$"):
        array_dataset().with_classes(["ant", "bee"])
    many = ["ant", *map(str, range(20))]
    with pytest.raises(DataError, match=r"class 'bee' is unknown; .* ant, 0, .* and 11 more$"):
        array_dataset().with_classes(many)
    with pytest.raises(DataError, match=r"class 'ant' is unknown; expected it to be spelled 'Ant'$"):
        array_dataset().with_classes(["Ant", "bee", "cat"])


def changed_array_datasets() -> dict[str, Dataset]:
    other_pixels = pixels()
    other_pixels[2, 3, 4, 1] ^= 1
    whole = array_dataset()
    return {
        "as it is": whole,
        "a pixel": ArrayDataset("numbers", other_pixels, LABELS, CLASSES, PREPROCESSING),
        "the order": ArrayDataset("numbers", pixels()[::-1], LABELS, CLASSES, PREPROCESSING),
        "a label": ArrayDataset("numbers", pixels(), np.array([1, 0, 1, 1]), CLASSES, PREPROCESSING),
        "a name": ArrayDataset("numbers", pixels(), LABELS, ["ant", "bee", "dog"], PREPROCESSING),
        "where one name ends": ArrayDataset("numbers", pixels(), LABELS, ["ant", "be", "ecat"], PREPROCESSING),
        "floats": ArrayDataset("numbers", (pixels() / 255).astype(np.float32), LABELS, CLASSES, PREPROCESSING),
        "a part": Subset(whole, np.array([0, 1])),
        "another part": Subset(whole, np.array([0, 3])),
        "a part under other names": Subset(whole, np.array([0, 1])).with_classes(["cat", *CLASSES[:2]]),
    }


def test_fingerprints_of_arrays_change_with_what_is_trained_on() -> None:
    fingerprints = {what: dataset.fingerprint() for what, dataset in changed_array_datasets().items()}
    assert len(set(fingerprints.values())) == len(fingerprints)
    assert all(len(fingerprint) == 64 for fingerprint in fingerprints.values())
    again = {what: dataset.fingerprint() for what, dataset in changed_array_datasets().items()}
    assert again == fingerprints
    elsewhere = ArrayDataset("other", np.asfortranarray(pixels()), LABELS, CLASSES, Preprocessing())
    assert elsewhere.fingerprint() == fingerprints["as it is"]


def test_fingerprints_of_files_change_with_names_sizes_times_and_labels(tmp_path: Path) -> None:
    dataset = file_dataset(tmp_path)
    seen = {dataset.fingerprint()}
    assert dataset.with_preprocessing(Preprocessing()).fingerprint() in seen

    def is_new() -> bool:
        before = len(seen)
        seen.add(dataset.fingerprint())
        return len(seen) > before

    path = tmp_path / "1.png"
    status = path.stat()
    path.write_bytes(path.read_bytes() + b"0")
    os.utime(path, ns=(status.st_atime_ns, status.st_mtime_ns))
    assert is_new()
    os.utime(path, ns=(status.st_atime_ns, status.st_mtime_ns + 1000))
    assert is_new()
    path.unlink()
    assert is_new()
    dataset.files[1] = "2.png"
    assert is_new()
    dataset.files[1] = "no\0name.png"
    assert is_new()
    dataset.labels[0] = 2
    assert is_new()


def test_fingerprints_of_files_stay_when_the_folder_moves(tmp_path: Path) -> None:
    (tmp_path / "here").mkdir()
    before = file_dataset(tmp_path / "here")
    fingerprint = before.fingerprint()
    (tmp_path / "here").rename(tmp_path / "there")
    moved = FileDataset("there", tmp_path / "there", before.files, LABELS, CLASSES, PREPROCESSING)
    assert moved.fingerprint() == fingerprint
