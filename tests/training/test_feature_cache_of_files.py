"""Features of image files: those that can't be read, and those that change."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from labelled_images import write_folder
from prefix_features import COUNT, SMALL_BATCH, cut_of, features_of, frozen_model

from gradcli.data.dataset import Dataset
from gradcli.data.folder import open_folder
from gradcli.data.loader import Loader
from gradcli.data.preprocessing import Preprocessing
from gradcli.errors import DataError
from gradcli.training.feature_cache import features_folder

pytestmark = pytest.mark.usefixtures("small_feature_batches")


@pytest.fixture
def photos(tmp_path: Path) -> Path:
    """Forty images in files, of which two are none."""
    folder = write_folder(tmp_path / "photos", count=COUNT)
    for file in ("class0/00.png", "class1/04.png"):
        (folder / file).write_bytes(b"no image")
    return folder


def small_folder(photos: Path) -> Dataset:
    return open_folder(photos).with_preprocessing(Preprocessing.straight(32))


@pytest.mark.parametrize("workers", [0, 2])
def test_unreadable_images_are_left_out(photos: Path, workers: int, caplog: pytest.LogCaptureFixture) -> None:
    cut, data = cut_of(frozen_model()), small_folder(photos)
    names = [data.name(index) for index in range(COUNT)]
    bad = [index for index, name in enumerate(names) if name.endswith(("00.png", "04.png"))]
    for computed in (COUNT, 0):  # the second time from the cache
        caplog.clear()
        loader = Loader(data, workers=workers)
        features = features_of(cut, data, loader=loader)
        assert features.computed == computed
        assert sorted(loader.skipped) == [names[index] for index in bad]
        assert features.kept.tolist() == [index for index in range(COUNT) if index not in bad]
        assert not features.batch(bad).any()
        assert all(names[index] in caplog.text for index in bad)
    part = features.subset(np.array([*bad, 5, 6]))
    assert part.kept.tolist() == [2, 3]
    with pytest.raises(DataError, match=r"0[04]\.png"):
        features_of(cut, data, loader=Loader(data, workers=workers, strict=True))


def test_the_other_features_dont_depend_on_unreadable_images(tmp_path: Path, photos: Path) -> None:
    whole = small_folder(write_folder(tmp_path / "whole", count=COUNT))
    cut, data = cut_of(frozen_model()), small_folder(photos)
    features, expected = features_of(cut, data), features_of(cut, whole)
    np.testing.assert_array_equal(features.batch(features.kept), expected.batch(features.kept))


def test_images_that_become_readable_are_added(photos: Path) -> None:
    cut, data = cut_of(frozen_model()), small_folder(photos)
    features = features_of(cut, data)
    readable = Loader(data, workers=0)
    fetch = data.images
    data.images = lambda indices: fetch([10 if index == 0 else index for index in indices])  # type: ignore[method-assign]
    again = features_of(cut, data, loader=readable)
    assert again.computed == SMALL_BATCH
    assert again.kept.tolist() == sorted([0, *features.kept])
    np.testing.assert_array_equal(again.batch([0]), again.batch([10]))


def test_no_image_that_can_be_read(photos: Path) -> None:
    for path in photos.glob("*/*.png"):
        path.write_bytes(b"no image")
    with pytest.raises(DataError, match="none of its 40 images can be read"):
        features_of(cut_of(frozen_model()), small_folder(photos))


def test_data_that_changes_meanwhile_is_refused(photos: Path) -> None:
    data = small_folder(photos)

    def change(done: int, total: int) -> None:
        (photos / "class2" / "02.png").write_bytes(b"another image")

    with pytest.raises(DataError, match=r"photos: changed while features .* run again"):
        features_of(cut_of(frozen_model()), data, on_batch=change)
    assert list(features_folder().iterdir()) == []
