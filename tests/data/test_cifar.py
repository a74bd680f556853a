"""CIFAR's batches in every form they are published in, and what is refused."""

from __future__ import annotations

import io
import tarfile
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from cifar_batches import (
    NAMES,
    binary_batch,
    cifar10_files,
    python2_pickle,
    rows_and_labels,
    write_archive,
    write_files,
)

from gradcli.data.cifar import holds_cifar, is_cifar_file, open_cifar
from gradcli.errors import DataError

Files = dict[str, bytes]


@pytest.mark.parametrize("pickled", [False, True])
@pytest.mark.parametrize("form", ["folder", "batches.tar.gz", "batches.tgz", "batches.tar"])
def test_cifar10_in_every_form(tmp_path: Path, form: str, pickled: bool) -> None:
    files = cifar10_files(pickled)
    write = write_files if form == "folder" else write_archive
    dataset = open_cifar(write(tmp_path / form, files))
    assert (dataset.source, dataset.classes) == (str(tmp_path / form), NAMES)
    rows, labels = zip(*(rows_and_labels(number) for number in range(1, 6)), strict=True)
    assert dataset.labels.tolist() == [label for part in labels for label in part]
    planes = np.concatenate(rows).reshape(-1, 3, 32, 32)
    np.testing.assert_array_equal(dataset.pixels, planes.transpose(0, 2, 3, 1))
    np.testing.assert_array_equal(np.asarray(dataset.image(7))[:, :, 2], planes[7, 2])
    assert list(dataset.splits()) == ["train", "test"]
    test = dataset.splits()["test"]
    assert test.labels.tolist() == rows_and_labels(0)[1]
    assert test.classes == NAMES
    assert "test_batch" in test.name(0)
    assert test.images([0]).shape == (1, 3, 32, 32)


def test_bytes_that_are_all_text_are_read_too(tmp_path: Path) -> None:
    files = cifar10_files(pickled=True)
    rows, labels = rows_and_labels(1)
    files["data_batch_1"] = python2_pickle({"data": rows & 127, "labels": labels})
    np.testing.assert_array_equal(open_cifar(write_files(tmp_path, files)).pixels[0, 0, 0], rows[0, ::1024] & 127)


@pytest.mark.parametrize("protocol", [2, 4])
def test_batches_that_python_3_has_pickled(tmp_path: Path, protocol: int) -> None:
    import pickle

    rows, labels = rows_and_labels(3)
    content = pickle.dumps({b"data": rows, b"labels": labels}, protocol=protocol)
    dataset = open_cifar(write_files(tmp_path, {"data_batch_1": content}) / "data_batch_1")
    assert dataset.labels.tolist() == labels
    np.testing.assert_array_equal(dataset.pixels[1, 0, :, 0], rows[1, :32])


@pytest.mark.parametrize("pickled", [False, True])
def test_one_file_of_batches_is_a_data_set(tmp_path: Path, pickled: bool) -> None:
    files = cifar10_files(pickled)
    suffix = "" if pickled else ".bin"
    folder = write_files(tmp_path, files)
    for name, seed in ((f"data_batch_2{suffix}", 2), (f"test_batch{suffix}", 0)):
        assert is_cifar_file(name)
        dataset = open_cifar(folder / name)
        assert (dataset.classes, list(dataset.splits())) == (NAMES, ["train"])
        assert dataset.labels.tolist() == rows_and_labels(seed)[1]
    (folder / ("batches.meta" if pickled else "batches.meta.txt")).unlink()
    assert open_cifar(folder / f"test_batch{suffix}").classes == [str(label) for label in range(10)]


@pytest.mark.parametrize("pickled", [False, True])
def test_cifar100_has_its_fine_labels(tmp_path: Path, pickled: bool) -> None:
    names = [f"class{label:02d}" for label in range(100)]
    (rows, labels), (test_rows, test_labels) = rows_and_labels(1, classes=100), rows_and_labels(2, classes=100)
    if pickled:
        files = {
            "train": python2_pickle({"data": rows, "coarse_labels": [0] * 4, "fine_labels": labels}),
            "test": python2_pickle({"data": test_rows, "coarse_labels": [0] * 4, "fine_labels": test_labels}),
            "meta": python2_pickle({"coarse_label_names": ["thing"], "fine_label_names": names}),
        }
    else:
        files = {
            "train.bin": binary_batch(rows, labels, b"\x13"),
            "test.bin": binary_batch(test_rows, test_labels, b"\x07"),
            "fine_label_names.txt": "\n".join(names).encode(),
            "coarse_label_names.txt": b"thing",
        }
    assert holds_cifar(files)
    dataset = open_cifar(write_archive(tmp_path / "cifar-100.tar.gz", files))
    assert (dataset.classes, dataset.labels.tolist()) == (names, labels)
    assert dataset.splits()["test"].labels.tolist() == test_labels


def without(name: str) -> Callable[[Files], Files]:
    return lambda files: {each: content for each, content in files.items() if each != name}


def with_file(name: str, content: bytes) -> Callable[[Files], Files]:
    return lambda files: files | {name: content}


ROWS, LABELS = rows_and_labels(9)


@pytest.mark.parametrize(
    ("pickled", "change", "message"),
    [
        (False, without("data_batch_3.bin"), "has no data_batch_3.bin; expected all of data_batch_1.bin, "),
        (False, lambda files: {"batches.meta.txt": b""}, "no batches of CIFAR in it; expected data_batch_1 to"),
        (False, with_file("data_batch_2.bin", b""), "data_batch_2.bin: 0 bytes; expected a multiple of 3073"),
        (False, with_file("data_batch_2.bin", bytes(3074)), "data_batch_2.bin: 3074 bytes; expected a multiple"),
        (
            False,
            with_file("test_batch.bin", binary_batch(ROWS, [0, 1, 10, 2])),
            "test_batch.bin: holds the label 10 at position 2; expected 0 to 9$",
        ),
        (False, with_file("batches.meta.txt", b"cat\ndog\n"), "batches.meta.txt: names 2 classes; expected 10 names$"),
        (False, with_file("batches.meta.txt", b"cat\n" * 10), "batches.meta.txt: names 1 classes; expected 10 names$"),
        (True, with_file("data_batch_1", b"hello"), "data_batch_1: its pickle is "),
        (True, with_file("data_batch_1", b"\x80\x02cos\nsystem\n."), "refuses to run 'os.system', .* a batch of CIFAR"),
        (True, with_file("data_batch_1", b"\x80\x02]."), "its pickle holds a list; expected a dictionary"),
        (True, with_file("data_batch_1", python2_pickle({"data": ROWS})), "has no list of whole numbers called labels"),
        (
            True,
            with_file("data_batch_1", python2_pickle({"data": ROWS, "labels": ["cat"]})),
            "has no list of whole numbers called labels",
        ),
        (
            True,
            with_file("data_batch_1", python2_pickle({"labels": LABELS})),
            "data_batch_1: has no array of bytes called data",
        ),
        (
            True,
            with_file("data_batch_1", python2_pickle({"data": ROWS.astype(np.int16), "labels": LABELS})),
            "has no array of bytes called data",
        ),
        (
            True,
            with_file("data_batch_1", python2_pickle({"data": ROWS.ravel()[:4], "labels": LABELS})),
            r"its array data of shape \(4,\) has 4 bytes; it is damaged$",
        ),
        (
            True,
            with_file("data_batch_1", python2_pickle({"data": ROWS[:, :3], "labels": LABELS})),
            r"holds an array of shape \(4, 3\); expected rows of 3072 bytes$",
        ),
        (
            True,
            with_file("data_batch_1", python2_pickle({"data": ROWS, "labels": LABELS[:3]})),
            "3 labels for 4 images; expected one each$",
        ),
        (
            True,
            with_file(
                "data_batch_1", python2_pickle({"data": ROWS, "labels": LABELS}).replace(b"M\x00\x0c", b"M\x01\x0c")
            ),
            r"its array data of shape \(4, 3073\) has 12288 bytes; it is damaged$",
        ),
        (True, with_file("batches.meta", python2_pickle({"label_names": [1]})), "has no list of names called label_"),
        (True, with_file("batches.meta", python2_pickle({})), "batches.meta: has no list of names called label_names"),
    ],
)
@pytest.mark.parametrize("form", ["folder", "batches.tar.gz"])
def test_what_is_wrong_is_named(
    tmp_path: Path, form: str, pickled: bool, change: Callable[[Files], Files], message: str
) -> None:
    write = write_files if form == "folder" else write_archive
    path = write(tmp_path / form, change(cifar10_files(pickled)))
    with pytest.raises(DataError, match=message) as caught:
        open_cifar(path)
    assert str(caught.value).startswith(str(path))
    assert "\n" not in str(caught.value)


def test_archives_that_are_cut_short_are_named(tmp_path: Path) -> None:
    path = write_archive(tmp_path / "batches.tar.gz", cifar10_files(pickled=False, count=1))
    content = path.read_bytes()
    for length in (0, 5, 100, len(content) // 2, len(content) - 2000):
        path.write_bytes(content[:length])
        with pytest.raises(DataError, match=r"batches\.tar\.gz: (damaged, cut short|cut short in|has no|no batches)"):
            open_cifar(path)


def test_members_that_are_no_plain_files_are_passed_over(tmp_path: Path) -> None:
    files = cifar10_files(pickled=False)
    path = tmp_path / "batches.tar"
    with tarfile.open(path, "w") as archive:
        link = tarfile.TarInfo("data_batch_1.bin")
        link.type, link.linkname = tarfile.SYMTYPE, "/etc/passwd"
        archive.addfile(link)
        for name, content in list(files.items()):
            member = tarfile.TarInfo(f"../../{name}")  # nothing is unpacked, wherever it would lie
            member.size = len(content)
            archive.addfile(member, io.BytesIO(content))
    assert len(open_cifar(path)) == 20
    assert [each.name for each in tmp_path.iterdir()] == ["batches.tar"]


def test_the_file_of_names_is_no_data_set(tmp_path: Path) -> None:
    folder = write_files(tmp_path, cifar10_files(pickled=False))
    with pytest.raises(DataError, match=r"batches\.meta\.txt: holds the names of classes; name a file of batches"):
        open_cifar(folder / "batches.meta.txt")


@pytest.mark.parametrize("name", ["data_batch_1.bin", "missing.tar.gz"])
def test_missing_files_are_named(tmp_path: Path, name: str) -> None:
    with pytest.raises(DataError, match=f"{name}: no such file; expected a"):
        open_cifar(tmp_path / name)


def test_folders_of_classes_are_no_batches() -> None:
    assert not holds_cifar(["readme.txt", "test", "meta"])
    assert holds_cifar(["data_batch_1"])
    assert not is_cifar_file("data_batch_6")
