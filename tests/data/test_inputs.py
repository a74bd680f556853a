"""What --input and --target take, and what they refuse."""

from __future__ import annotations

import io
import re
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

from gradcli.data.inputs import check_target, load_input, load_target
from gradcli.data.preprocessing import Preprocessing, normalise, normalise_channels_last
from gradcli.errors import DataError

PREPROCESSING = Preprocessing(size=(6, 6), resize=7)
BATCH = np.random.default_rng(0).standard_normal((2, 3, 4, 5)).astype(np.float32)
PIXELS = np.random.default_rng(0).integers(0, 256, (2, 3, 4, 5), dtype=np.uint8)


def save_npy(folder: Path, array: np.ndarray) -> str:
    np.save(folder / "a.npy", array)
    return str(folder / "a.npy")


def test_image_file(tmp_path: Path) -> None:
    path = tmp_path / "photo.jpg"
    Image.new("RGB", (20, 30), (255, 255, 255)).save(path)
    batch, names = load_input(str(path), PREPROCESSING)
    assert names == [str(path)]
    white = normalise(np.full((1, 3, 6, 6), 255, np.uint8), PREPROCESSING)
    np.testing.assert_array_equal(batch, white)


def test_folder_of_images_is_sorted(tmp_path: Path) -> None:
    for name in ("b.png", "a.png"):
        Image.new("L", (20, 30), ord(name[0])).save(tmp_path / name)
    batch, names = load_input(str(tmp_path), PREPROCESSING)
    assert names == [str(tmp_path / "a.png"), str(tmp_path / "b.png")]
    assert batch.shape == (2, 3, 6, 6)
    assert batch[0, 0, 0, 0] < batch[1, 0, 0, 0]


def test_floats_of_an_array_are_taken_as_they_are(tmp_path: Path) -> None:
    path = save_npy(tmp_path, BATCH)
    batch, names = load_input(path, PREPROCESSING)
    np.testing.assert_array_equal(batch, BATCH)
    assert names == [f"{path}[0]", f"{path}[1]"]


@pytest.mark.parametrize("stored", [np.float16, np.float64, ">f4"])
def test_every_float_becomes_the_dtype_asked_for(tmp_path: Path, stored: Any) -> None:
    path = save_npy(tmp_path, np.asfortranarray(BATCH.astype(stored)))
    batch, _ = load_input(path, PREPROCESSING)
    assert batch.dtype == np.float32
    assert batch.flags.c_contiguous
    np.testing.assert_array_equal(batch, BATCH.astype(stored).astype(np.float32))


def test_float64_keeps_its_digits_when_asked_for(tmp_path: Path) -> None:
    array = np.random.default_rng(1).standard_normal((1, 3, 2, 2))
    batch, _ = load_input(save_npy(tmp_path, array), PREPROCESSING, np.float64)
    assert batch.dtype == np.float64
    np.testing.assert_array_equal(batch, array)


def test_images_and_pixels_come_in_the_dtype_asked_for(tmp_path: Path) -> None:
    Image.new("RGB", (9, 9)).save(tmp_path / "a.png")
    for spec in (str(tmp_path / "a.png"), str(tmp_path), save_npy(tmp_path, PIXELS)):
        assert load_input(spec, PREPROCESSING, np.float64)[0].dtype == np.float64


@pytest.mark.parametrize("channels_last", [False, True])
def test_bytes_are_pixels_to_scale_and_normalise(tmp_path: Path, channels_last: bool) -> None:
    stored = PIXELS.transpose(0, 2, 3, 1) if channels_last else PIXELS  # (N, 3, H, W) -> (N, H, W, 3)
    batch, _ = load_input(save_npy(tmp_path, stored), PREPROCESSING)
    np.testing.assert_array_equal(batch, normalise(PIXELS, PREPROCESSING))


@pytest.mark.parametrize("channels_last", [False, True])
def test_a_fourth_channel_is_opacity_over_white(tmp_path: Path, channels_last: bool) -> None:
    pixels = np.random.default_rng(1).integers(0, 256, (2, 6, 5, 4), dtype=np.uint8)
    stored = pixels if channels_last else pixels.transpose(0, 3, 1, 2)  # (N, H, W, 4) -> (N, 4, H, W)
    batch, _ = load_input(save_npy(tmp_path, stored), PREPROCESSING)
    opacity = pixels[..., 3:] / 255
    white = normalise_channels_last(np.float32(pixels[..., :3] / 255 * opacity + 1 - opacity), PREPROCESSING)
    np.testing.assert_allclose(batch, white, atol=1.01 / 255 / min(PREPROCESSING.std))


@pytest.mark.parametrize("name", ["input", "x", "images", "data", "anything"])
def test_npz_array_by_name_or_alone(tmp_path: Path, name: str) -> None:
    others = {} if name == "anything" else {"labels": np.arange(2)}
    np.savez(tmp_path / "a.npz", **others, **{name: BATCH})
    batch, _ = load_input(str(tmp_path / "a.npz"), PREPROCESSING)
    np.testing.assert_array_equal(batch, BATCH)


def test_npz_with_several_unknown_names_is_refused(tmp_path: Path) -> None:
    np.savez(tmp_path / "a.npz", first=BATCH, second=BATCH)
    message = r"a\.npz: holds first, second; expected one array, or one called input, x, images or data"
    with pytest.raises(DataError, match=message):
        load_input(str(tmp_path / "a.npz"), PREPROCESSING)


def test_standard_input(monkeypatch: pytest.MonkeyPatch) -> None:
    stream = io.BytesIO()
    np.save(stream, BATCH)
    monkeypatch.setattr(sys, "stdin", io.TextIOWrapper(io.BytesIO(stream.getvalue())))
    batch, names = load_input("-", PREPROCESSING)
    np.testing.assert_array_equal(batch, BATCH)
    assert names == ["-[0]", "-[1]"]


def with_value(value: float) -> np.ndarray:
    changed = BATCH.copy()
    changed[1, 2, 3, 4] = value
    return changed


@pytest.mark.parametrize(
    ("array", "message"),
    [
        (BATCH[:, :1], r"shape \(2, 1, 4, 5\); expected \(N, 3, H, W\): repeat the grey channel"),
        (BATCH[:, :2], r"shape \(2, 2, 4, 5\); expected \(N, 3, H, W\)"),
        (BATCH[0], r"shape \(3, 4, 5\); expected \(N, 3, H, W\): add the batch axis with array\[None\]"),
        (BATCH.transpose(0, 2, 3, 1), r"expected \(N, 3, H, W\): move the channels with array\.transpose"),
        (BATCH[..., None], r"shape \(2, 3, 4, 5, 1\); expected \(N, 3, H, W\)"),
        (np.float32(1), r"shape \(\); expected \(N, 3, H, W\)"),
        (BATCH[:0], r"shape \(0, 3, 4, 5\) is empty; expected at least one image"),
        (BATCH[..., :0], "is empty; expected at least one image"),
        (PIXELS[:, :2], r"shape \(2, 2, 4, 5\); expected \(N, 3, H, W\), with uint8 pixels also"),
        (PIXELS[..., :3], r"shape \(2, 3, 4, 3\) could be"),
        (PIXELS[..., :1], r"shape \(2, 3, 4, 1\) could be"),
        (PIXELS.transpose(0, 2, 3, 1)[..., :1], r"shape \(2, 4, 5, 1\); expected \(N, 3, H, W\)"),
        (BATCH.astype(np.int64), "dtype int64; expected floats, or uint8 pixels"),
        (BATCH > 0, "dtype bool; expected floats, or uint8 pixels"),
        (BATCH.astype(complex), "dtype complex128; expected floats, or uint8 pixels"),
        (np.array(["a", "b"]), "dtype <U1; expected floats, or uint8 pixels"),
        (
            with_value(np.nan),
            r"1 NaN or infinite value, the first at \[1, 2, 3, 4\] \(nan\); expected finite",
        ),
        (
            with_value(np.inf),
            r"1 NaN or infinite value, the first at \[1, 2, 3, 4\] \(inf\); expected finite",
        ),
        (BATCH.astype(float) * 1e300, r"a\.npy as float32: \d+ NaN or infinite values"),
    ],
)
def test_arrays_that_are_no_batch(tmp_path: Path, array: np.ndarray, message: str) -> None:
    path = save_npy(tmp_path, array)
    with pytest.raises(DataError, match=message) as caught:
        load_input(path, PREPROCESSING)
    assert str(caught.value).startswith(path)
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize(
    ("name", "message"),
    [
        ("missing.jpg", "missing.jpg: no such file; expected an image"),
        ("missing.npy", "missing.npy: no such file; expected a .npy file"),
        ("missing.npz", "missing.npz: no such file; expected a .npz file"),
        ("empty", "empty: no images in this folder"),
        ("text.jpg", "text.jpg: not an image"),
        ("text.NPY", "text.NPY: corrupt, or no such file format"),
        ("null\0byte", "can't be decoded"),
    ],
)
def test_paths_that_hold_no_input(tmp_path: Path, name: str, message: str) -> None:
    (tmp_path / "empty").mkdir()
    for text in ("text.jpg", "text.NPY"):
        (tmp_path / text).write_text("hello")
    with pytest.raises(DataError, match=message):
        load_input(str(tmp_path / name), PREPROCESSING)


def test_target_index_is_repeated_for_the_batch() -> None:
    target = load_target("7", batch_size=3)
    assert target.dtype == np.int64
    assert target.tolist() == [7, 7, 7]


@pytest.mark.parametrize(
    ("stored", "expected"),
    [
        (np.uint8, np.int64),
        (np.int32, np.int64),
        (np.float16, np.float32),
        (np.float32, np.float32),
        (float, float),
    ],
)
def test_target_array_dtypes(tmp_path: Path, stored: Any, expected: Any) -> None:
    target = load_target(save_npy(tmp_path, np.array([1, 0, 1], dtype=stored)), batch_size=3)
    assert target.dtype == expected
    assert target.tolist() == [1, 0, 1]


@pytest.mark.parametrize(
    ("array", "message"),
    [
        (np.array([1.0, np.nan]), r"a\.npy: 1 NaN or infinite value, the first at \[1\]"),
        (np.array([True, False]), r"a\.npy: dtype bool; expected integer class indices or floats"),
        (np.array([2**63], np.uint64), r"a\.npy: holds 9223372036854775808; expected class indices"),
    ],
)
def test_target_arrays_that_are_refused(tmp_path: Path, array: np.ndarray, message: str) -> None:
    with pytest.raises(DataError, match=message):
        load_target(save_npy(tmp_path, array), batch_size=2)


@pytest.mark.parametrize(
    ("spec", "message"),
    [
        ("cat", "target cat: expected a .npy file or a whole number"),
        ("1.5", "target 1.5: expected a .npy file or a whole number"),
        ("9" * 30, "expected a class index"),
        ("missing.npy", "missing.npy: no such file"),
    ],
)
def test_target_specs_that_are_refused(spec: str, message: str) -> None:
    with pytest.raises(DataError, match=message):
        load_target(spec, batch_size=2)


def test_targets_that_fit_pass() -> None:
    check_target(np.array([0, 9]), (2, 10), "indices", "t.npy")
    check_target(np.zeros((2, 10), np.float32), (2, 10), "values", "t.npy")


@pytest.mark.parametrize(
    ("target", "kind", "message"),
    [
        (
            np.array([0, 10]),
            "indices",
            "t.npy: class index 10 at position 1 is out of range; expected 0 to 9",
        ),
        (
            np.array([-1, 0]),
            "indices",
            "t.npy: class index -1 at position 0 is out of range; expected 0 to 9",
        ),
        (
            np.array([0, 1, 2]),
            "indices",
            "t.npy: int64 of shape (3,); expected integer class indices of shape (2,)",
        ),
        (np.array([0.0, 1.0]), "indices", "t.npy: float64 of shape (2,); expected integer class indices"),
        (np.zeros((2, 9)), "values", "t.npy: float64 of shape (2, 9); this loss expects floats"),
        (
            np.array([1, 2]),
            "values",
            "t.npy: int64 of shape (2,); this loss expects floats of the prediction's",
        ),
        (np.zeros((2, 10), int), "values", "t.npy: int64 of shape (2, 10); this loss expects floats"),
    ],
)
def test_targets_that_do_not_fit_are_refused(target: np.ndarray, kind: Any, message: str) -> None:
    with pytest.raises(DataError, match=re.escape(message)):
        check_target(target, (2, 10), kind, "t.npy")
