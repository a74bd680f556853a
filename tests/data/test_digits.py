"""The bundled digits: the facts of the data set, pinned."""

from __future__ import annotations

import zipfile

import numpy as np

from gradcli.data.digits import DIGITS_FILE, open_digits
from gradcli.data.numpy_files import npz_names, read_npz
from gradcli.data.preprocessing import Preprocessing


def test_counts_and_sums() -> None:
    images, labels = read_npz(DIGITS_FILE, ["images", "labels"])
    assert images.shape == (1797, 8, 8)
    assert images.dtype == labels.dtype == np.uint8
    assert (images.min(), images.max(), images.sum()) == (0, 16, 561_718)
    assert np.bincount(labels).tolist() == [178, 182, 177, 183, 181, 182, 181, 179, 174, 180]


def test_first_digit_is_the_zero_everyone_knows() -> None:
    images, labels = read_npz(DIGITS_FILE, ["images", "labels"])
    assert labels[:12].tolist() == [0, 1, 2, 3, 4, 5, 6, 7, 8, 9, 0, 1]
    assert images[0, 0].tolist() == [0, 0, 5, 13, 9, 1, 0, 0]
    assert images[0, 7].tolist() == [0, 0, 6, 13, 10, 0, 0, 0]


def test_file_is_small_and_carries_no_time_of_its_making() -> None:
    assert npz_names(DIGITS_FILE) == ["images", "labels"]
    assert DIGITS_FILE.stat().st_size < 50_000
    with zipfile.ZipFile(DIGITS_FILE) as archive:
        assert {entry.date_time for entry in archive.infolist()} == {(1980, 1, 1, 0, 0, 0)}


def test_licence_stands_beside_the_data() -> None:
    licence = DIGITS_FILE.with_name("digits.LICENSE.txt").read_text(encoding="utf-8")
    for fact in ("Alpaydin", "Kaynak", "CC BY 4.0", "10.24432/C50P49", "Changes:"):
        assert fact in licence


def test_data_set_has_ten_classes_and_default_size_32() -> None:
    digits = open_digits()
    assert digits.classes == list("0123456789")
    assert len(digits) == 1797
    assert digits.images([0, 5]).shape == (2, 3, 32, 32)
    assert digits.name(7) == "digits[7]"


def test_ink_is_scaled_to_the_full_range() -> None:
    digits = open_digits()
    images, _ = read_npz(DIGITS_FILE, ["images", "labels"])
    assert digits.pixels.dtype == np.uint8
    assert np.abs(digits.pixels - images * (255 / 16)).max() <= 0.5
    assert digits.pixels.max() == 255


def test_preprocessing_is_taken_as_given() -> None:
    preprocessing = Preprocessing(size=(8, 8), resize=None, mean=(0, 0, 0), std=(1, 1, 1))
    digits = open_digits(preprocessing)
    expected = np.repeat(digits.pixels[:3, None] / np.float32(255), 3, axis=1)
    np.testing.assert_array_equal(digits.images([0, 1, 2]), expected)
