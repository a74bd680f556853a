"""Opening data by name or path, and the stratified split."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from cifar_batches import cifar10_files, write_archive, write_files
from idx_files import write_mnist
from PIL import Image

from gradcli.data.dataset import ArrayDataset
from gradcli.data.known_datasets import MANIFEST
from gradcli.data.preprocessing import Preprocessing
from gradcli.data.sources import open_dataset, split
from gradcli.errors import DataError, UsageError


def dataset_with(counts: list[int], shuffle_seed: int = 0) -> ArrayDataset:
    labels = np.repeat(np.arange(len(counts)), counts)
    np.random.default_rng(shuffle_seed).shuffle(labels)
    pixels = np.zeros((len(labels), 2, 2), dtype=np.uint8)
    return ArrayDataset("made", pixels, labels, [str(c) for c in range(len(counts))], Preprocessing.straight(2))


def test_each_kind_of_source_is_opened(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    pixels, labels = np.zeros((2, 4, 4), np.uint8), np.array([0, 1])
    np.savez("set.npz", x=pixels, y=labels)
    Path("arrays").mkdir()
    np.save("arrays/images.npy", pixels)
    np.save("arrays/labels.npy", labels)
    Path("photos/a").mkdir(parents=True)
    Image.new("RGB", (4, 4)).save("photos/a/1.png")
    Path("list.csv").write_text("photos/a/1.png,a\n")
    Path("LIST.TSV").write_text("photos/a/1.png\ta\n")
    write_mnist(Path("mnist"), training=7)
    write_mnist(Path("mnist-gz"), training=7, suffix=".gz")
    write_files(Path("cifar"), cifar10_files(pickled=True))
    write_archive(Path("cifar.tar.gz"), cifar10_files(pickled=False))
    write_archive(Path("cifar.archive"), cifar10_files(pickled=False))
    expected = {
        "digits": 1797,
        "set.npz": 2,
        "arrays": 2,
        "arrays/images.npy": 2,
        "photos": 1,
        "./photos/": 1,
        "list.csv": 1,
        "LIST.TSV": 1,
        "mnist": 7,
        "mnist-gz": 7,
        "mnist/t10k-images-idx3-ubyte": 4,
        "mnist-gz/train-images-idx3-ubyte.gz": 7,
        "cifar": 20,
        "cifar/test_batch": 4,
        "cifar.tar.gz": 20,
        "cifar.archive": 20,
    }
    assert {spec: len(open_dataset(spec)) for spec in expected} == expected
    assert all(open_dataset(spec).source == str(Path(spec)) for spec in expected)


@pytest.mark.parametrize("name", ["fashion-mnist", "cifar10"])
def test_known_names_that_are_not_here_say_how_to_fetch_them(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, name: str
) -> None:
    monkeypatch.chdir(tmp_path)
    manifest = tmp_path / "manifest.toml"
    lines = MANIFEST.read_text().splitlines(keepends=True)
    manifest.write_text("".join(line for line in lines if not line.startswith("folders")))
    monkeypatch.setattr("gradcli.data.known_datasets.MANIFEST", manifest)
    with pytest.raises(DataError, match=f"^{name}: is not here; gradcli data fetch {name} downloads it$"):
        open_dataset(name)
    (tmp_path / name / "a").mkdir(parents=True)
    Image.new("RGB", (4, 4)).save(tmp_path / name / "a" / "1.png")
    with pytest.raises(DataError, match="is not here"):
        open_dataset(name)
    assert len(open_dataset(f"./{name}")) == 1


@pytest.mark.parametrize("opening", [b"\0\0\x08\x03", b"\x1f\x8bnot gzip"])
def test_files_are_told_by_their_content_if_their_names_say_nothing(tmp_path: Path, opening: bytes) -> None:
    path = tmp_path / "pictures"
    path.write_bytes(opening)
    with pytest.raises(DataError, match=r"name doesn't say what it holds|not a known kind of data set"):
        open_dataset(str(path))


def test_preprocessing_and_classes_are_passed_on() -> None:
    classes = ["blank", *(str(digit) for digit in range(10))]
    dataset = open_dataset("digits", Preprocessing.straight(16), classes)
    assert dataset.images([0]).shape == (1, 3, 16, 16)
    assert dataset.labels[:3].tolist() == [1, 2, 3]
    with pytest.raises(DataError, match="digits: class '0' is unknown"):
        open_dataset("digits", classes=["cat", "dog"])


@pytest.mark.parametrize(
    ("name", "message"),
    [
        (
            "digitz",
            "no such data set, folder or file; expected digits, fashion-mnist, cifar10, a folder with one subfolder .*",
        ),
        ("notes.txt", "not a known kind of data set; expected digits, "),
        ("missing.npz", "no such file; expected a .npz file"),
    ],
)
def test_unknown_sources_are_refused_with_what_is_known(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, name: str, message: str
) -> None:
    monkeypatch.chdir(tmp_path)
    (tmp_path / "notes.txt").write_text("hello")
    with pytest.raises(DataError, match=f"^{name}: {message}"):
        open_dataset(name)


def test_split_parts_the_data_without_overlap_in_order() -> None:
    dataset = dataset_with([50, 30, 20])
    training, validation = split(dataset, 0.2, seed=0)
    names = [part.name(index) for part in (training, validation) for index in range(len(part))]
    assert sorted(names) == sorted(dataset.name(index) for index in range(100))
    positions = [int(validation.name(index)[5:-1]) for index in range(len(validation))]
    assert positions == sorted(positions)


@pytest.mark.parametrize(
    ("counts", "fraction", "expected"),
    [
        ([50, 30, 20], 0.2, [10, 6, 4]),
        ([10, 10, 10], 0.25, [3, 3, 2]),  # 7.5 in all rounds to 8; the first classes take the rest
        ([2, 2, 2, 2, 2], 0.2, [1, 1, 0, 0, 0]),
        ([100, 3], 0.2, [20, 1]),
        ([1, 1, 8], 0.5, [0, 0, 5]),  # a class that has no image to give leaves its half to another
        ([3, 3], 0.9, [2, 2]),  # every class keeps one image for training
        ([1, 2], 0.01, [0, 1]),  # at least one in all
        ([4, 0, 4], 0.5, [2, 0, 2]),
    ],
)
def test_split_is_stratified_by_largest_remainders(counts: list[int], fraction: float, expected: list[int]) -> None:
    training, validation = split(dataset_with(counts), fraction, seed=3)
    assert np.bincount(validation.labels, minlength=len(counts)).tolist() == expected
    assert (np.bincount(training.labels, minlength=len(counts)) >= np.minimum(counts, 1)).all()


def test_split_depends_on_the_seed_alone() -> None:
    dataset = dataset_with([40, 40])

    def chosen(seed: int) -> list[str]:
        validation = split(dataset, 0.25, seed)[1]
        return [validation.name(index) for index in range(len(validation))]

    np.random.seed(1)
    first = chosen(0)
    np.random.seed(2)
    assert chosen(0) == first
    assert chosen(1) != first


def test_split_of_digits_is_pinned() -> None:
    training, validation = split(open_dataset("digits"), 0.2, seed=0)
    assert (len(training), len(validation)) == (1438, 359)
    assert [validation.name(index) for index in range(5)] == [
        "digits[14]",
        "digits[15]",
        "digits[24]",
        "digits[30]",
        "digits[34]",
    ]


def test_split_keeps_a_validation_split_of_its_own() -> None:
    dataset = dataset_with([4, 4])
    dataset.validation = dataset_with([1, 2])
    training, validation = split(dataset, 0.5, seed=0)
    assert training is dataset
    assert validation is dataset.validation


@pytest.mark.parametrize("fraction", [0, 1, -0.1, float("nan")])
def test_split_refuses_a_fraction_that_is_none(fraction: float) -> None:
    with pytest.raises(UsageError, match=r"validation fraction .*: expected a number above 0 and below 1"):
        split(dataset_with([4, 4]), fraction, seed=0)


def test_split_refuses_data_with_nothing_to_set_aside() -> None:
    with pytest.raises(DataError, match="made: no class has two images"):
        split(dataset_with([1, 1, 1]), 0.2, seed=0)


def test_split_names_classes_that_nothing_validates(caplog: pytest.LogCaptureFixture) -> None:
    split(dataset_with([10, 10]), 0.2, seed=0)
    assert not caplog.records
    split(dataset_with([10, 1, 10]), 0.2, seed=0)
    split(dataset_with([1] * 12 + [10]), 0.2, seed=0)
    assert caplog.messages == [
        "made: classes of one image are trained on and never validated: 1",
        "made: classes of one image are trained on and never validated: 0, 1, 2, 3, 4, 5, 6, 7, 8, 9 and 2 more",
    ]


def test_an_empty_text_is_not_the_folder_one_is_in(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    Path("a").mkdir()
    Image.new("RGB", (4, 4)).save("a/1.png")
    with pytest.raises(DataError, match="no data is named"):
        open_dataset("")
