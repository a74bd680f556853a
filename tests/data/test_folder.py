"""Folders of images: classes, their order, splits, and what is refused."""

from __future__ import annotations

from pathlib import Path

import pytest
from PIL import Image

from gradcli.data.folder import open_folder
from gradcli.data.preprocessing import Preprocessing
from gradcli.errors import DataError


def write_images(folder: Path, *names: str) -> None:
    for name in names:
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        Image.new("RGB", (4, 4)).save(folder / name)


def test_classes_are_sorted_as_strings_and_images_by_name(tmp_path: Path) -> None:
    write_images(tmp_path, "10/b.png", "10/a.jpg", "2/x.PNG", "Zebra/1.bmp", "apple/1.webp")
    dataset = open_folder(tmp_path)
    assert dataset.classes == ["10", "2", "Zebra", "apple"]
    assert dataset.files == ["10/a.jpg", "10/b.png", "2/x.PNG", "Zebra/1.bmp", "apple/1.webp"]
    assert dataset.name(3) == str(tmp_path / "Zebra" / "1.bmp")
    assert dataset.labels.tolist() == [0, 0, 1, 2, 3]
    assert dataset.validation is None
    assert dataset.source == str(tmp_path)


def test_images_are_preprocessed_as_imagenet_unless_told(tmp_path: Path) -> None:
    write_images(tmp_path, "a/1.png", "b/1.png")
    assert open_folder(tmp_path).images([0, 1]).shape == (2, 3, 224, 224)
    assert open_folder(tmp_path, Preprocessing.straight(5)).images([1]).shape == (1, 3, 5, 5)


def test_nested_images_belong_to_the_class_and_hidden_ones_are_passed_over(tmp_path: Path) -> None:
    write_images(tmp_path, "a/deep/er/2.png", "a/9.png", "a/.cache/3.png", "b/1.png", ".git/x/1.png")
    (tmp_path / "a" / "._9.png").write_bytes(b"resource fork")
    (tmp_path / "a" / "notes.txt").touch()
    (tmp_path / "readme.md").touch()
    dataset = open_folder(tmp_path)
    assert dataset.classes == ["a", "b"]
    assert dataset.files == ["a/9.png", "a/deep/er/2.png", "b/1.png"]


def test_validation_classes_are_matched_by_name(tmp_path: Path) -> None:
    write_images(tmp_path, "train/a/1.png", "train/b/1.png", "train/c/1.png", "val/c/1.png", "val/b/1.png")
    (tmp_path / "val" / "a").mkdir()  # an empty validation class shifts no label
    dataset = open_folder(tmp_path)
    assert dataset.classes == ["a", "b", "c"]
    assert len(dataset) == 3
    assert dataset.validation is not None
    assert dataset.validation.classes == ["a", "b", "c"]
    assert dataset.validation.labels.tolist() == [1, 2]


def test_validation_without_a_class_of_training_keeps_the_indices(tmp_path: Path) -> None:
    write_images(tmp_path, "train/a/1.png", "train/b/1.png", "val/b/1.png")
    validation = open_folder(tmp_path).validation
    assert validation is not None
    assert validation.labels.tolist() == [1]


@pytest.mark.parametrize(
    ("train", "validation", "test"),
    [("train", "val", "test"), ("training", "valid", "testing"), ("Train", "Validation", "TEST")],
)
def test_splits_have_several_spellings(tmp_path: Path, train: str, validation: str, test: str) -> None:
    write_images(tmp_path, *(f"{train}/{name}/1.png" for name in "abc"), f"{validation}/b/2.png", f"{test}/c/3.png")
    dataset = open_folder(tmp_path)
    splits = dataset.splits()
    assert {split: part.labels.tolist() for split, part in splits.items()} == {
        "train": [0, 1, 2],
        "validation": [1],
        "test": [2],
    }
    assert splits["test"].name(0) == str(tmp_path / test / "c" / "3.png")


def test_test_split_without_validation(tmp_path: Path) -> None:
    write_images(tmp_path, "train/a/1.png", "train/b/1.png", "test/b/1.png")
    assert list(open_folder(tmp_path).splits()) == ["train", "test"]


def test_train_folder_alone_is_the_training_split(tmp_path: Path) -> None:
    write_images(tmp_path, "train/a/1.png", "train/b/1.png", "other/1.png")
    dataset = open_folder(tmp_path)
    assert dataset.classes == ["a", "b"]
    assert dataset.validation is None


def test_train_may_be_a_class_like_any_other(tmp_path: Path) -> None:
    write_images(tmp_path, "bus/1.png", "train/1.png")
    assert open_folder(tmp_path).classes == ["bus", "train"]


def test_test_may_be_a_class_like_any_other(tmp_path: Path) -> None:
    write_images(tmp_path, "bus/1.png", "test/deep/1.png", "val/deep/1.png")
    assert open_folder(tmp_path).classes == ["bus", "test", "val"]


def test_letters_may_differ_in_case(tmp_path: Path) -> None:
    write_images(tmp_path, "A/1.png", "a/1.png", "b/1.png")
    if len(list(tmp_path.iterdir())) < 3:
        pytest.skip("the file system doesn't tell A from a")
    assert open_folder(tmp_path).classes == ["A", "a", "b"]


def test_links_to_class_folders_and_images_are_followed(tmp_path: Path) -> None:
    write_images(tmp_path, "elsewhere/deep/1.png", "data/b/1.png")
    (tmp_path / "data" / "a").symlink_to(tmp_path / "elsewhere")
    (tmp_path / "data" / "b" / "0.png").symlink_to(tmp_path / "elsewhere" / "deep" / "1.png")
    (tmp_path / "data" / "b" / "loop").symlink_to(tmp_path / "data")
    dataset = open_folder(tmp_path / "data")
    assert dataset.files == ["a/deep/1.png", "b/0.png", "b/1.png"]


@pytest.mark.parametrize(
    ("files", "folders", "message"),
    [
        ([], [], "no class folders in it; expected one subfolder of images per class"),
        (["1.png"], [], "no class folders in it"),
        (["a/1.png"], ["b"], "b: no images in this class; expected files ending in jpg"),
        (["val/a/1.png"], [], "has val/ but no train/"),
        (["train/a/1.png", "val/b/1.png"], [], "val: class 'b' is unknown; expected only the classes a"),
        (["train/a/1.png"], ["val"], "val: no class folders in it"),
        (["train/a/1.png"], ["val/a"], "val: no images in any class"),
        (["train/a/1.png"], ["train/b"], "b: no images in this class"),
        (["train/a/1.png", "test/b/1.png"], [], "test: class 'b' is unknown; expected only the classes a"),
        (["train/cat/1.png", "val/Cat/1.png"], [], "val: class 'Cat' is unknown; expected it to be spelled 'cat'"),
        (["train/a/1.png", "val/a/1.png", "valid/a/1.png"], [], "has both val/ and valid/; expected one folder"),
        (["test/a/1.png"], [], "has test/ but no train/ of class folders; expected both, or name .*test$"),
        (["bird/1.png", "Cat/1.png", "cat/2.png"], [], "the classes 'Cat' and 'cat' differ in case alone; merge them"),
    ],
)
def test_folders_that_hold_no_data_set(tmp_path: Path, files: list[str], folders: list[str], message: str) -> None:
    write_images(tmp_path, *files)
    for folder in folders:
        (tmp_path / folder).mkdir(parents=True)
    with pytest.raises(DataError, match=message) as caught:
        open_folder(tmp_path)
    assert str(caught.value).startswith(str(tmp_path))


def test_missing_folder_is_named(tmp_path: Path) -> None:
    with pytest.raises(DataError, match=r"missing: can't be listed .no such file"):
        open_folder(tmp_path / "missing")


def test_class_names_that_cannot_be_written_down_are_refused(tmp_path: Path) -> None:
    try:
        write_images(tmp_path, "a/1.png", "caf\udce9/1.png")
    except OSError:
        pytest.skip("the file system takes no such name")
    with pytest.raises(DataError, match=r"the class name 'caf\\udce9' is no UTF-8; rename it") as caught:
        open_folder(tmp_path)
    str(caught.value).encode()
