"""IDX files: names, splits, classes, damage, and Fashion-MNIST itself where it is installed."""

from __future__ import annotations

import gzip
import random
import struct
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from idx_files import idx_bytes, write_idx, write_mnist

from gradcli.data.idx import holds_idx, looks_like_idx, open_idx, read_idx
from gradcli.data.preprocessing import Preprocessing
from gradcli.errors import DataError

FASHION_MNIST = Path("/usr/share/datasets/fashion-mnist")
IMAGES = np.arange(2 * 3 * 4, dtype=np.uint8).reshape(2, 3, 4)


@pytest.mark.parametrize("dtype", ["u1", "i1", "i2", "i4", "f4", "f8"])
@pytest.mark.parametrize("shape", [(5,), (2, 3), (2, 3, 4), (1, 2, 3, 2), (0,)])
@pytest.mark.parametrize("suffix", ["", ".gz"])
def test_arrays_are_read_as_they_were_written(tmp_path: Path, dtype: str, shape: tuple[int, ...], suffix: str) -> None:
    array = np.arange(-3, np.prod(shape) - 3).astype(dtype).reshape(shape)
    read = read_idx(write_idx(tmp_path / f"array{suffix}", array))
    assert read.dtype == np.dtype(dtype)
    assert read.dtype.isnative
    np.testing.assert_array_equal(read, array)


@pytest.mark.parametrize("suffix", ["", ".gz"])
def test_a_folder_has_training_and_test_split(tmp_path: Path, suffix: str) -> None:
    folder = write_mnist(tmp_path, suffix=suffix)
    dataset = open_idx(folder)
    assert (dataset.source, dataset.classes, len(dataset)) == (str(folder), ["0", "1", "2"], 12)
    assert list(dataset.splits()) == ["train", "test"]
    test = dataset.splits()["test"]
    assert test.labels.tolist() == [0, 1, 2, 0]
    assert test.classes == dataset.classes
    assert test.name(3) == f"{folder / f't10k-images-idx3-ubyte{suffix}'}[3]"
    assert dataset.image(1).size == (4, 5)
    assert dataset.images([0]).shape == (1, 3, 32, 32)
    assert open_idx(folder, Preprocessing.straight(9)).splits()["test"].images([0]).shape == (1, 3, 9, 9)


@pytest.mark.parametrize(
    ("images", "labels", "split"),
    [
        ("train-images-idx3-ubyte", "train-labels-idx1-ubyte", "train"),
        ("train-images.idx3-ubyte", "train-labels.idx1-ubyte.gz", "train"),
        ("t10k-images-idx3-ubyte.gz", "t10k-labels-idx1-ubyte.gz", "test"),
        ("val-images-idx3-ubyte", "validation-labels-idx1-ubyte", "validation"),
        ("emnist-letters-test-images-idx3-ubyte", "emnist-letters-test-labels-idx1-int", "test"),
    ],
)
def test_files_are_called_in_several_ways(tmp_path: Path, images: str, labels: str, split: str) -> None:
    path = write_idx(tmp_path / images, IMAGES)
    write_idx(tmp_path / labels, np.array([1, 7], dtype=np.uint8))
    assert holds_idx([images])
    assert holds_idx([labels])
    dataset = open_idx(path)
    assert list(dataset.splits()) == ["train"]  # the file named is the data set
    assert dataset.labels.tolist() == [0, 1]
    if split != "train":
        with pytest.raises(DataError, match="has no train-images-idx3-ubyte"):
            open_idx(tmp_path)


def test_a_file_of_training_images_brings_the_other_splits_of_its_set(tmp_path: Path) -> None:
    write_mnist(tmp_path)
    for split in ("train", "val"):
        write_idx(tmp_path / f"other-{split}-images-idx3-ubyte", IMAGES)
        write_idx(tmp_path / f"other-{split}-labels-idx1-ubyte", np.array([4, 5], dtype=np.uint8))
    plain, other = open_idx(tmp_path / "train-images-idx3-ubyte"), open_idx(tmp_path / "other-train-images-idx3-ubyte")
    assert (list(plain.splits()), len(plain)) == (["train", "test"], 12)
    assert (list(other.splits()), other.classes) == (["train", "validation"], ["4", "5"])
    alone = open_idx(tmp_path / "t10k-images-idx3-ubyte")
    assert (list(alone.splits()), len(alone)) == (["train"], 4)
    with pytest.raises(DataError, match=r"holds 2 data sets; name the images of one: .*/other-train-images"):
        open_idx(tmp_path)


@pytest.mark.parametrize(
    "name", ["photos", "train-images-idx3-ubyte.bak", "images-idx3-ubyte", "train-masks-idx3-ubyte"]
)
def test_other_names_are_no_idx_files(name: str) -> None:
    assert not holds_idx([name])


def test_values_of_labels_are_classes(tmp_path: Path) -> None:
    write_idx(tmp_path / "train-images-idx3-ubyte", np.zeros((5, 2, 2), np.uint8))
    write_idx(tmp_path / "train-labels-idx1-int", np.array([26, 3, 700, 3, 26], dtype=np.int32))
    write_idx(tmp_path / "t10k-images-idx3-ubyte", np.zeros((2, 2, 2), np.uint8))
    write_idx(tmp_path / "t10k-labels-idx1-int", np.array([700, 3], dtype=np.int32))
    dataset = open_idx(tmp_path)
    assert dataset.classes == ["3", "26", "700"]
    assert dataset.labels.tolist() == [1, 0, 2, 0, 1]
    assert dataset.splits()["test"].labels.tolist() == [2, 0]


def test_colour_images(tmp_path: Path) -> None:
    path = write_idx(tmp_path / "train-images-idx4-ubyte", np.zeros((2, 4, 5, 3), np.uint8))
    write_idx(tmp_path / "train-labels-idx1-ubyte", np.array([0, 1], dtype=np.uint8))
    image = open_idx(path).image(0)
    assert (image.mode, image.size) == ("RGB", (5, 4))


def pair(images: Any = IMAGES, labels: Any = (0, 1)) -> dict[str, np.ndarray[Any, Any]]:
    return {"train-images-idx3-ubyte": np.asarray(images), "train-labels-idx1-ubyte": np.asarray(labels, dtype="u1")}


@pytest.mark.parametrize(
    ("arrays", "named", "message"),
    [
        ({"train-images-idx3-ubyte": IMAGES}, "", "has no train-labels-idx1-ubyte or train-labels-idx1-ubyte.gz$"),
        ({"train-images-idx3-ubyte": IMAGES}, "train-images-idx3-ubyte", "has no train-labels-idx1-ubyte"),
        (pair() | {"t10k-images-idx3-ubyte": IMAGES}, "", "has no t10k-labels-idx1-ubyte"),
        (pair(), "train-labels-idx1-ubyte", "holds labels; name the file of the images, or the folder of both$"),
        (pair(), "train-images-idx3-ubyte.gz", "train-images-idx3-ubyte.gz: no such file; expected an IDX file$"),
        ({"digits": IMAGES}, "digits", "an IDX file whose name doesn't say what it holds"),
        (pair(IMAGES.astype(np.int16)), "", r"holds int16 of shape \(2, 3, 4\); expected bytes of shape \(N, H, W\)"),
        (pair(IMAGES[0]), "", r"holds uint8 of shape \(3, 4\); expected bytes"),
        (pair(IMAGES[..., None]), "", r"holds uint8 of shape \(2, 3, 4, 1\); expected bytes"),
        (pair(IMAGES[:, :0]), "", r"is empty, with shape \(2, 0, 4\)"),
        (pair(labels=[[0], [1]]), "", r"labels-idx1-ubyte: holds uint8 of shape \(2, 1\); expected integers"),
        (pair(labels=[0, 1, 2]), "", "3 labels for the 2 images of train-images-idx3-ubyte$"),
        (
            pair() | {"t10k-images-idx3-ubyte": IMAGES, "t10k-labels-idx1-ubyte": np.array([1, 9], dtype=np.uint8)},
            "",
            "t10k-labels-idx1-ubyte: holds 9 at position 1; expected labels that the training part has, from 0 to 1$",
        ),
    ],
)
def test_files_that_hold_no_data_set(tmp_path: Path, arrays: dict[str, Any], named: str, message: str) -> None:
    for name, array in arrays.items():
        write_idx(tmp_path / name, array)
    with pytest.raises(DataError, match=message) as caught:
        open_idx(tmp_path / named)
    assert str(caught.value).startswith(str(tmp_path))


GZIPPED = gzip.compress(idx_bytes(IMAGES), mtime=0)


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (b"", r"no IDX file: it starts with the bytes ; expected 00 00 08 03"),
        (b"\x89PNG\r\n", r"no IDX file: it starts with the bytes 89 50 4e 47"),
        (b"\0\0\x08\x05" + bytes(40), "no IDX file"),
        (b"\0\0\x08\x03\0\0", "cut short in its head"),
        (idx_bytes(IMAGES)[:-1], r"cut short: its head says 24 bytes follow|cut short after 23 of 24 bytes"),
        (idx_bytes(IMAGES) + b"0", "holds more than the 24 bytes that its head says"),
        (b"\0\0\x08\x03" + struct.pack(">3I", *[2**32 - 1] * 3), "cut short: its head says"),
        (GZIPPED[:-1], "its gzip compression is damaged or cut short"),
        (GZIPPED[:30], "its gzip compression is damaged or cut short"),
        (GZIPPED[:20] + b"\xff" + GZIPPED[21:], "its gzip compression is damaged|holds more|no IDX file|cut short"),
        (gzip.compress(b"\0\0\x08\x03" + struct.pack(">3I", 2**31, 2**31, 4)), "cut short: its head says"),
    ],
)
def test_damaged_files_are_named(tmp_path: Path, content: bytes, message: str) -> None:
    path = tmp_path / "train-images-idx3-ubyte"
    path.write_bytes(content)
    with pytest.raises(DataError, match=message) as caught:
        read_idx(path)
    assert str(caught.value).startswith(f"{path}: ")


@pytest.mark.parametrize("content", [idx_bytes(IMAGES), GZIPPED], ids=["plain", "gzipped"])
def test_every_cut_is_refused_and_every_flip_refused_in_one_line_or_read(tmp_path: Path, content: bytes) -> None:
    path = tmp_path / "train-images-idx3-ubyte"
    for length in range(len(content)):
        path.write_bytes(content[:length])
        assert refusal(path) is not None
    generator = random.Random(0)
    for _ in range(200):
        position = generator.randrange(len(content))
        path.write_bytes(content[:position] + bytes([generator.randrange(256)]) + content[position + 1 :])
        assert "\n" not in (refusal(path) or "")


def refusal(path: Path) -> str | None:
    """The message with which a file is refused, None if it is read; any other error goes through."""
    try:
        read_idx(path)
    except DataError as error:
        return str(error)
    return None


def test_a_folder_in_place_of_a_file_is_named(tmp_path: Path) -> None:
    with pytest.raises(DataError, match="can't be read"):
        read_idx(tmp_path)


def test_idx_files_are_told_by_their_first_bytes() -> None:
    assert looks_like_idx(idx_bytes(IMAGES))
    for opening in (b"", b"\0\0\x08", b"\0\0\x07\x03", b"\0\0\x08\x00", b"\x01\0\x08\x03"):
        assert not looks_like_idx(opening)


@pytest.mark.skipif(not FASHION_MNIST.is_dir(), reason="Fashion-MNIST is not installed")
def test_fashion_mnist_is_known_by_its_labels(tmp_path: Path) -> None:
    for name in ("t10k-images-idx3-ubyte.gz", "t10k-labels-idx1-ubyte.gz"):
        (tmp_path / name).symlink_to(FASHION_MNIST / name)
    dataset = open_idx(tmp_path / "t10k-images-idx3-ubyte.gz")
    assert dataset.classes[:3] == ["T-shirt/top", "Trouser", "Pullover"]
    assert np.bincount(dataset.labels).tolist() == [1000] * 10
    assert [dataset.classes[label] for label in dataset.labels[:3]] == ["Ankle boot", "Pullover", "Trouser"]
