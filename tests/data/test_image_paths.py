"""Image files as commands name them: folders, lists, names that are no UTF-8."""

from __future__ import annotations

import io
import os
import threading
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from gradcli.data.image_paths import image_files, image_paths, read_paths
from gradcli.data.preprocessing import Preprocessing
from gradcli.errors import DataError


def folder_of_images(path: Path, *names: str) -> Path:
    path.mkdir()
    for name in names:
        Image.new("RGB", (8, 8)).save(path / name)
    return path


def test_files_stay_in_their_order_and_folders_stand_for_their_images(tmp_path: Path) -> None:
    folder = folder_of_images(tmp_path / "photos", "b.png", "a.png")
    (folder / "notes.txt").write_text("")
    (chunk,) = image_paths(["z.jpg", str(folder), "missing.jpg"])
    assert chunk == ["z.jpg", str(folder / "a.png"), str(folder / "b.png"), "missing.jpg"]


def test_a_folder_without_images_is_refused_before_anything_is_read(tmp_path: Path) -> None:
    with pytest.raises(DataError, match=r"no images in this folder; expected files ending in"):
        image_paths(["a.jpg", str(tmp_path)])


@pytest.mark.parametrize(
    ("content", "separator", "paths"),
    [
        (b"", b"\n", []),
        (b"a.jpg\n", b"\n", ["a.jpg"]),
        (b"a.jpg\nb c.jpg", b"\n", ["a.jpg", "b c.jpg"]),
        (b"\n\na.jpg\n\n", b"\n", ["a.jpg"]),
        (b"a.jpg\r\n\r\nb.jpg\r\n", b"\n", ["a.jpg", "b.jpg"]),
        (b"a.jpg\r\nb.jpg\r", b"\n", ["a.jpg", "b.jpg"]),
        (b"a.jpg\r\0", b"\0", ["a.jpg\r"]),
        (b"a\nb.jpg\0c.jpg\0", b"\0", ["a\nb.jpg", "c.jpg"]),
        (b"caf\xe9.jpg\n", b"\n", [os.fsdecode(b"caf\xe9.jpg")]),
        (
            b"\n".join(b"%d.jpg" % number for number in range(30_000)),
            b"\n",
            [f"{number}.jpg" for number in range(30_000)],
        ),
    ],
)
def test_a_list_is_split_where_it_says(content: bytes, separator: bytes, paths: list[str]) -> None:
    stream = io.BufferedReader(io.BytesIO(content))
    assert [path for chunk in read_paths(stream, separator) for path in chunk] == paths


def test_what_is_there_is_given_out_before_the_list_ends() -> None:
    reading, writing = os.pipe()
    with os.fdopen(reading, "rb") as stream, os.fdopen(writing, "wb", buffering=0) as pipe:
        chunks = read_paths(stream)
        pipe.write(b"first.jpg\nsec")
        assert next(chunks) == ["first.jpg"]
        writer = threading.Thread(target=lambda: (pipe.write(b"ond.jpg\n"), pipe.close()))
        writer.start()
        assert list(chunks) == [["second.jpg"]]
        writer.join()


def test_standard_input_takes_its_place_among_the_others(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("sys.stdin", io.TextIOWrapper(io.BytesIO(b"b.jpg\nc.jpg\n")))
    assert list(image_paths(["a.jpg", "-", "d.jpg"])) == [["a.jpg"], ["b.jpg", "c.jpg"], ["d.jpg"]]
    monkeypatch.setattr("sys.stdin", io.TextIOWrapper(io.BytesIO(b"\n")))
    with pytest.raises(DataError, match="names no image files; expected a path for each line"):
        list(image_paths(["a.jpg", "-"]))
    monkeypatch.setattr("sys.stdin", None)
    with pytest.raises(DataError, match="standard input is closed"):
        list(image_paths(["-"]))


def test_files_are_a_data_set_without_labels(tmp_path: Path) -> None:
    folder = folder_of_images(tmp_path / "photos", "a.png", "b.png")
    paths = [str(folder / name) for name in ("b.png", "a.png")]
    dataset = image_files("photos", paths, Preprocessing.straight(16))
    assert [dataset.name(index) for index in range(len(dataset))] == paths
    assert dataset.images([0, 1]).shape == (2, 3, 16, 16)
    assert np.array_equal(dataset.labels, [0, 0])
