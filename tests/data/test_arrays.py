"""Labelled images in .npz files: names, layouts, splits, and what is refused."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest

from gradcli.data.arrays import open_arrays
from gradcli.data.preprocessing import Preprocessing, preprocess_arrays
from gradcli.data.transparency import over_white
from gradcli.errors import DataError

PIXELS = np.random.default_rng(0).integers(0, 256, (4, 6, 7, 3), dtype=np.uint8)
LABELS = np.array([0, 1, 2, 1])


def save(folder: Path, **arrays: Any) -> Path:
    np.savez(folder / "set.npz", **arrays)
    return folder / "set.npz"


@pytest.mark.parametrize(("images", "labels"), [("images", "labels"), ("x", "y"), ("x_train", "y_train")])
def test_known_names(tmp_path: Path, images: str, labels: str) -> None:
    dataset = open_arrays(save(tmp_path, **{images: PIXELS, labels: LABELS}))
    assert dataset.classes == ["0", "1", "2"]
    assert dataset.labels.tolist() == [0, 1, 2, 1]
    assert dataset.images([0]).shape == (1, 3, 32, 32)
    assert dataset.validation is None


def test_layouts_give_the_same_images(tmp_path: Path) -> None:
    expected = open_arrays(save(tmp_path, x=PIXELS, y=LABELS)).images(range(4))
    channels_first = PIXELS.transpose(0, 3, 1, 2)  # (N, H, W, C) -> (N, C, H, W)
    np.testing.assert_array_equal(open_arrays(save(tmp_path, x=channels_first, y=LABELS)).images(range(4)), expected)


@pytest.mark.parametrize("dtype", [np.uint8, np.float32])
def test_a_fourth_channel_is_opacity(tmp_path: Path, dtype: type) -> None:
    pixels = np.random.default_rng(1).integers(0, 256, (4, 6, 7, 4), dtype=np.uint8)
    images = pixels if dtype == np.uint8 else (pixels / 255).astype(np.float32)
    names = {"classes": ["🐕 dog", "🐈 cat", "🦆 duck"], "pack_train": LABELS, "licences": np.array(["MIT"])}
    last = open_arrays(save(tmp_path, x=images, y=LABELS, **names))
    first = open_arrays(save(tmp_path, x=images.transpose(0, 3, 1, 2), y=LABELS, **names))  # -> (N, 4, H, W)
    image = last.image(2)
    assert (image.mode, image.size) == ("RGBA", (7, 6))
    np.testing.assert_array_equal(np.asarray(image), pixels[2])
    np.testing.assert_array_equal(first.images([2, 0]), last.images([2, 0]))
    white = preprocess_arrays(np.asarray(over_white(image))[None], last.preprocessing)
    np.testing.assert_allclose(last.images([2]), white, atol=0 if dtype == np.uint8 else 0.05)
    assert last.classes == names["classes"]
    assert first.fingerprint() == last.fingerprint()


def test_grey_layouts_give_the_same_images(tmp_path: Path) -> None:
    grey = PIXELS[..., 0]
    results = [
        open_arrays(save(tmp_path, x=images, y=LABELS)).images(range(4))
        for images in (grey, grey[..., None], grey[:, None])
    ]
    np.testing.assert_array_equal(results[1], results[0])
    np.testing.assert_array_equal(results[2], results[0])


@pytest.mark.parametrize("dtype", [np.float16, np.float64, ">f4"])
def test_floats_are_pixels_from_0_to_1(tmp_path: Path, dtype: Any) -> None:
    preprocessing = Preprocessing(size=(6, 7), resize=None)
    floats = open_arrays(save(tmp_path, x=(PIXELS / 255).astype(dtype), y=LABELS), preprocessing)
    bytes_ = open_arrays(save(tmp_path, x=PIXELS, y=LABELS), preprocessing)
    np.testing.assert_allclose(floats.images([0, 3]), bytes_.images([0, 3]), atol=2e-3 if dtype == np.float16 else 1e-5)


def test_class_names_of_the_file(tmp_path: Path) -> None:
    dataset = open_arrays(save(tmp_path, x=PIXELS, y=LABELS, classes=["ant", "bee", "cat", "dog"]))
    assert dataset.classes == ["ant", "bee", "cat", "dog"]


def test_labels_may_be_a_column(tmp_path: Path) -> None:
    assert open_arrays(save(tmp_path, x=PIXELS, y=LABELS[:, None])).labels.tolist() == LABELS.tolist()


@pytest.mark.parametrize(("suffix", "split"), [("val", "validation"), ("test", "test")])
def test_other_splits_of_the_file(tmp_path: Path, suffix: str, split: str) -> None:
    arrays = {f"x_{suffix}": PIXELS[:2], f"y_{suffix}": LABELS[1:3]}
    dataset = open_arrays(save(tmp_path, x_train=PIXELS, y_train=LABELS, **arrays))
    assert list(dataset.splits()) == ["train", split]
    other = dataset.splits()[split]
    assert other.labels.tolist() == [1, 2]
    assert other.classes == dataset.classes
    np.testing.assert_array_equal(other.images([0]), dataset.images([0]))


def save_files(folder: Path, **arrays: Any) -> Path:
    for name, array in arrays.items():
        np.save(folder / f"{name}.npy", array)
    return folder


def test_npy_files_are_the_arrays_of_a_folder(tmp_path: Path) -> None:
    folder = save_files(tmp_path, x_train=PIXELS, y_train=LABELS, x_test=PIXELS[:1], y_test=LABELS[:1])
    (folder / "notes.txt").write_text("hello")
    by_folder, by_file = open_arrays(folder), open_arrays(folder / "x_train.npy")
    assert (by_folder.source, by_file.source) == (str(folder), str(folder / "x_train.npy"))
    for dataset in (by_folder, by_file):
        np.testing.assert_array_equal(dataset.pixels, PIXELS)
        assert dataset.labels.tolist() == LABELS.tolist()
        assert dataset.test is not None
        assert dataset.test.name(0) == f"{folder / 'x_test.npy'}[0]"


@pytest.mark.parametrize(
    ("arrays", "named", "message"),
    [
        ({"x": PIXELS}, "x.npy", r"x\.npy: has no labels; expected them beside it in y\.npy$"),
        ({"x": PIXELS}, "", "has x but no y; expected both$"),
        ({"y": LABELS}, "y.npy", r"y\.npy: images alone are no data set; expected images\.npy with labels\.npy"),
        ({"x": PIXELS}, "missing.npy", r"missing\.npy: no such file; expected a \.npy file of images$"),
        ({"x": PIXELS, "y": np.array([{}] * 4)}, "", r"y\.npy: corrupt, or no such file format"),
        ({"x": PIXELS.astype(object), "y": LABELS}, "", r"x\.npy: corrupt, or no such file format"),
        ({"x": PIXELS, "y": LABELS[:2]}, "", "4 x but 2 y; expected one label per image$"),
    ],
)
def test_npy_files_that_hold_no_data_set(tmp_path: Path, arrays: dict[str, Any], named: str, message: str) -> None:
    with pytest.raises(DataError, match=message) as caught:
        open_arrays(save_files(tmp_path, **arrays) / named)
    assert str(caught.value).startswith(str(tmp_path))


def with_value(array: np.ndarray, value: float) -> np.ndarray:
    changed = array.copy()
    changed.flat[2] = value
    return changed


@pytest.mark.parametrize(
    ("arrays", "message"),
    [
        (
            {"a": PIXELS, "b": LABELS},
            "holds a, b; expected images and labels, x and y, or x_train and y_train",
        ),
        ({"x": PIXELS}, "has x but no y; expected both"),
        ({"labels": LABELS}, "has labels but no images; expected both"),
        ({"x": PIXELS, "y": LABELS, "x_val": PIXELS}, "has x_val but no y_val"),
        ({"x": PIXELS[:3], "y": LABELS}, "3 x but 4 y; expected one label per image"),
        ({"x": PIXELS[:0], "y": LABELS[:0]}, "x is empty"),
        ({"x": PIXELS[:, :, :0], "y": LABELS}, "x is empty"),
        ({"x": PIXELS.astype(np.int64), "y": LABELS}, "x has dtype int64; expected uint8 pixels in 0..255"),
        ({"x": PIXELS > 3, "y": LABELS}, "x has dtype bool; expected uint8"),
        ({"x": PIXELS.astype(np.float32), "y": LABELS}, "x ranges from .* to 25.; expected floats in 0..1"),
        ({"x": PIXELS / 255 - 0.5, "y": LABELS}, "x ranges from -0.5 to"),
        (
            {"x": with_value(PIXELS / 255, np.nan), "y": LABELS},
            r"x: 1 NaN or infinite value, .* \[0, 0, 0, 2\]",
        ),
        ({"x": PIXELS[:, :3], "y": LABELS}, r"x: shape \(4, 3, 7, 3\) could be"),
        ({"x": PIXELS[..., :2], "y": LABELS}, "x: shape .* no array of images"),
        ({"x": PIXELS, "y": LABELS.astype(float)}, "y has dtype float64; expected integer class indices"),
        ({"x": PIXELS, "y": LABELS > 0}, "y has dtype bool; expected integer class indices"),
        ({"x": PIXELS, "y": np.eye(4, dtype=int)}, r"y has shape \(4, 4\); expected \(N,\), one class index"),
        (
            {"x": PIXELS, "y": np.array([0, 1, -1, 0])},
            "y holds -1 at position 2; expected class indices from 0$",
        ),
        (
            {"x": PIXELS, "y": LABELS + 1},
            "y goes up to 3 but never holds 0; .* without gaps, or an array classes",
        ),
        ({"x": PIXELS, "y": LABELS * 5}, "y goes up to 10 but never holds 1"),
        ({"x": PIXELS, "y": np.full(4, 2**63, np.uint64)}, "y holds 9223372036854775808"),
        (
            {"x": PIXELS, "y": LABELS, "classes": ["a", "b"]},
            "y holds 2 at position 2; expected .* from 0 to 1",
        ),
        ({"x": PIXELS, "y": LABELS, "classes": ["a", "b", "a"]}, "classes holds 'a' twice"),
        ({"x": PIXELS, "y": LABELS, "classes": ["ant", "Ant", "b"]}, "classes 'ant' and 'Ant' differ in case alone"),
        (
            {"x": PIXELS, "y": LABELS, "classes": [1, 2, 3]},
            "classes has dtype int64 and shape .* array of strings",
        ),
        ({"x": PIXELS, "y": LABELS, "x_val": PIXELS, "y_val": LABELS + 1}, "y_val holds 3 at position 2"),
    ],
)
def test_files_that_hold_no_data_set(tmp_path: Path, arrays: dict[str, Any], message: str) -> None:
    path = save(tmp_path, **arrays)
    with pytest.raises(DataError, match=message) as caught:
        open_arrays(path)
    assert str(caught.value).startswith(str(path))
    assert "\n" not in str(caught.value)
