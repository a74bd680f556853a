"""CSV lists of images: headings, splits, quotes, and lines that are wrong."""

from __future__ import annotations

from pathlib import Path

import pytest
from PIL import Image

from gradcli.data.path_list import open_path_list
from gradcli.data.preprocessing import Preprocessing
from gradcli.errors import DataError


def write_list(folder: Path, text: str, name: str = "photos.csv", encoding: str = "utf-8") -> Path:
    (folder / "img").mkdir(exist_ok=True)
    for image in "abcd":
        Image.new("RGB", (4, 4)).save(folder / "img" / f"{image}.png")
    path = folder / name
    path.write_bytes(text.encode(encoding))
    return path


@pytest.mark.parametrize(
    ("text", "files", "labels"),
    [
        ("img/a.png,dog\nimg/b.png,cat\n", ["img/a.png", "img/b.png"], ["dog", "cat"]),
        ("path,label\nimg/a.png,dog\nimg/b.png,cat", ["img/a.png", "img/b.png"], ["dog", "cat"]),
        ("\ufeffLabel,Filename\r\ndog,img/a.png\r\n\r\ncat,img/b.png\r\n", ["img/a.png", "img/b.png"], ["dog", "cat"]),
        ("img/a.png,2\nimg/b.png,10\nimg/c.png,2\n", ["img/a.png", "img/b.png", "img/c.png"], ["2", "10", "2"]),
        ('"img/a.png","big, ""fat"" cat"\nimg/b.png, dog \n', ["img/a.png", "img/b.png"], ['big, "fat" cat', "dog"]),
        ("id,image,year,class\n1,img/a.png,1999,dog\n", ["img/a.png"], ["dog"]),
        ("img/a.png,Æble\nimg/a.png,Æble\n", ["img/a.png", "img/a.png"], ["Æble", "Æble"]),
    ],
)
def test_lists_of_paths_and_labels(tmp_path: Path, text: str, files: list[str], labels: list[str]) -> None:
    path = write_list(tmp_path, text)
    dataset = open_path_list(path)
    assert (dataset.source, dataset.files) == (str(path), files)
    assert [dataset.classes[label] for label in dataset.labels] == labels
    assert dataset.classes == sorted(set(labels))
    assert list(dataset.splits()) == ["train"]
    assert dataset.name(0) == str(tmp_path / files[0])
    assert dataset.images([0]).shape == (1, 3, 224, 224)


def test_tabs_part_the_columns_of_tsv_files(tmp_path: Path) -> None:
    dataset = open_path_list(write_list(tmp_path, "img/a.png\ta,b\nimg/b.png\tc\n", "photos.tsv"))
    assert dataset.classes == ["a,b", "c"]


@pytest.mark.parametrize("heading", ["", "path,label,split\n"])
def test_a_third_column_tells_the_split(tmp_path: Path, heading: str) -> None:
    text = heading + "img/a.png,x,train\nimg/b.png,y,Training\nimg/c.png,y,val\nimg/d.png,x,test\n"
    dataset = open_path_list(write_list(tmp_path, text), Preprocessing.straight(5))
    assert {split: (part.labels.tolist(), part.name(0)[-5:]) for split, part in dataset.splits().items()} == {
        "train": ([0, 1], "a.png"),
        "validation": ([1], "c.png"),
        "test": ([0], "d.png"),
    }
    assert all(part.images([0]).shape == (1, 3, 5, 5) for part in dataset.splits().values())


def test_absolute_paths_are_fine(tmp_path: Path) -> None:
    (tmp_path / "lists").mkdir()
    image = tmp_path / "image.png"
    Image.new("L", (3, 3)).save(image)
    path = tmp_path / "lists" / "all.csv"
    path.write_text(f"{image},a\n")
    assert open_path_list(path).name(0) == str(image)


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("", "lists no images; expected lines of path,label$"),
        ("path,label\n\n", "lists no images"),
        ("path,size\nimg/a.png,3\n", "its heading path, size names no label; expected path,label$"),
        ("img/a.png\n", "line 1: only img/a.png; expected path,label$"),
        ("path,label,split\n\nimg/a.png,x\n", "line 3: only img/a.png, x; expected path,label,split$"),
        ("img/a.png,x\nimg/b.png,\n", "line 2: the label is empty; expected path,label$"),
        ("img/a.png,x\n,y\n", "line 2: the path is empty"),
        ("img/a.png,x,train\nimg/b.png,y,holdout\n", "line 2: split 'holdout'; expected train, val or test$"),
        ("img/a.png,x,test\n", "has no images to train on, only for test"),
        ("img/a.png,x,train\nimg/b.png,y,val\n", "line 2: class 'y' has no images to train on, only for validation$"),
        ("img/a.png,x\nimg/b.png,y\nimg/a.png,y\n", "line 3: img/a.png is 'y' here and 'x' in line 1$"),
        ("img/a.png,cat\nimg/b.png,Cat\n", "the classes 'Cat' and 'cat' differ in case alone"),
        ("a.png,x\n", "line 1: a.png: no such file; expected paths relative to "),
        ('img/a.png,"x\n', "line 1: no CSV"),
    ],
)
def test_lists_that_are_wrong(tmp_path: Path, text: str, message: str) -> None:
    path = write_list(tmp_path, text)
    with pytest.raises(DataError, match=message) as caught:
        open_path_list(path)
    assert str(caught.value).startswith(f"{path}: ")
    assert "\n" not in str(caught.value)


def test_lists_that_cannot_be_read(tmp_path: Path) -> None:
    with pytest.raises(DataError, match=r"list\.csv: no such file; expected a list of images in CSV"):
        open_path_list(tmp_path / "list.csv")
    with pytest.raises(DataError, match=r"can't be read"):
        open_path_list(tmp_path)
    with pytest.raises(DataError, match=r"photos\.csv: is no UTF-8"):
        open_path_list(write_list(tmp_path, "img/a.png,Æble\n", encoding="latin-1"))


def test_an_image_that_is_missing_is_named_when_it_is_read(tmp_path: Path) -> None:
    dataset = open_path_list(write_list(tmp_path, "img/a.png,x\nimg/z.png,y\nno\0name.png,y\n"))
    assert len(dataset) == 3
    for index, name in ((1, "z.png"), (2, "name.png")):
        with pytest.raises(DataError, match=name):
            dataset.image(index)
