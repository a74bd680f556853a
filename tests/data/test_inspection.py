"""Reports on data sets: counts, sizes, modes, unreadable files and duplicates."""

from __future__ import annotations

import shutil
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from gradcli.data.dataset import ArrayDataset, Subset
from gradcli.data.folder import open_folder
from gradcli.data.inspection import ImageSize, inspect_dataset
from gradcli.data.preprocessing import Preprocessing
from gradcli.data.sources import open_dataset
from gradcli.kernels.threads import get_num_threads, set_num_threads


def save(path: Path, colour: int, mode: str = "RGB", size: tuple[int, int] = (6, 4)) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    Image.new(mode, size, colour).save(path)
    return path


def photos(folder: Path) -> Path:
    """Two classes in three splits, with an unreadable image and with images that occur twice."""
    for number in range(5):
        save(folder / "train" / "cat" / f"{number}.png", number)
    save(folder / "train" / "dog" / "0.png", 100, "L", (20, 10))
    save(folder / "train" / "dog" / "1.jpg", 101, "RGB", (3, 2))
    shutil.copy(folder / "train" / "cat" / "0.png", folder / "train" / "cat" / "9.png")
    (folder / "train" / "dog" / "2.png").write_bytes(b"no image")
    (folder / "val" / "cat").mkdir(parents=True)
    shutil.copy(folder / "train" / "cat" / "1.png", folder / "val" / "cat" / "1.png")
    (folder / "test" / "dog").mkdir(parents=True)
    shutil.copy(folder / "train" / "cat" / "1.png", folder / "test" / "dog" / "7.png")
    return folder


def test_what_a_folder_holds_is_reported(tmp_path: Path) -> None:
    folder = photos(tmp_path)
    dataset = open_folder(folder)
    report = inspect_dataset(dataset)
    assert (report.source, report.images) == (str(folder), 11)
    assert report.splits == {"train": 9, "validation": 1, "test": 1}
    assert [(each.name, each.train, each.validation, each.test) for each in report.classes] == [
        ("cat", 6, 1, 0),
        ("dog", 3, 0, 1),
    ]
    assert report.imbalance == 2.0
    assert report.distinct_sizes == 3
    assert report.most_common_size == ImageSize(width=6, height=4, images=8)
    assert report.smallest_size == ImageSize(width=3, height=2, images=1)
    assert report.largest_size == ImageSize(width=20, height=10, images=1)
    assert report.modes == {"RGB": 9, "L": 1}
    (unreadable,) = report.unreadable
    assert (unreadable.path, unreadable.split) == (str(folder / "train" / "dog" / "2.png"), "train")
    assert unreadable.reason.startswith("not an image")
    assert report.fingerprint == dataset.fingerprint()


def test_duplicates_within_and_across_splits_and_classes(tmp_path: Path) -> None:
    report = inspect_dataset(open_folder(photos(tmp_path)))
    found = {
        tuple(str(Path(image.path).relative_to(tmp_path)) for image in group.images): (
            group.across_splits,
            group.across_classes,
        )
        for group in report.duplicates
    }
    assert found == {
        ("train/cat/0.png", "train/cat/9.png"): (False, False),
        ("train/cat/1.png", "val/cat/1.png", "test/dog/7.png"): (True, True),
    }
    assert [image.class_name for image in report.duplicates[1].images] == ["cat", "cat", "dog"]


def test_sizes_are_upright(tmp_path: Path) -> None:
    exif = Image.Exif()
    exif[0x0112] = 6  # to be turned by 90 degrees
    (tmp_path / "a").mkdir()
    Image.new("RGB", (8, 4)).save(tmp_path / "a" / "1.jpg", exif=exif)
    assert inspect_dataset(open_folder(tmp_path)).smallest_size == ImageSize(width=4, height=8, images=1)


def test_reports_do_not_depend_on_the_number_of_threads(tmp_path: Path) -> None:
    for number in range(40):
        save(tmp_path / f"class{number % 3}" / f"{number}.png", number // 2)
    dataset = open_folder(tmp_path)
    before = get_num_threads()
    reports = []
    try:
        for count in (1, 2, 5):
            set_num_threads(count)
            reports.append(inspect_dataset(dataset))
    finally:
        set_num_threads(before)
    assert reports[0] == reports[1] == reports[2]
    assert len(reports[0].duplicates) == 20


def test_progress_counts_every_image(tmp_path: Path) -> None:
    counts: list[int] = []
    inspect_dataset(open_folder(photos(tmp_path)), counts.append)
    assert sum(counts) == 11
    assert len(counts) == 3


def test_a_callback_that_raises_ends_the_inspection(tmp_path: Path) -> None:
    def stop(count: int) -> None:
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        inspect_dataset(open_folder(photos(tmp_path)), stop)


@pytest.mark.parametrize(("shape", "mode"), [((6, 4, 5), "L"), ((6, 4, 5, 3), "RGB"), ((6, 4, 5, 4), "RGBA")])
@pytest.mark.parametrize("dtype", [np.uint8, np.float32])
def test_arrays_are_compared_by_their_pixels(shape: tuple[int, ...], mode: str, dtype: type) -> None:
    pixels = (np.arange(np.prod(shape)).reshape(shape) % 251).astype(np.uint8)
    pixels[4] = pixels[1]
    images = pixels if dtype == np.uint8 else (pixels / 255).astype(np.float32)
    dataset = ArrayDataset("made", images, np.arange(6) % 2, ["a", "b"], Preprocessing(), test=None)
    report = inspect_dataset(dataset)
    assert report.most_common_size == ImageSize(width=5, height=4, images=6)
    assert report.modes == {mode: 6}
    (group,) = report.duplicates
    assert [image.path for image in group.images] == ["made[1]", "made[4]"]
    assert (group.across_splits, group.across_classes) == (False, True)


def test_a_class_without_images_has_no_imbalance() -> None:
    dataset = ArrayDataset("made", np.zeros((1, 2, 2), np.uint8), np.array([0]), ["a", "b"], Preprocessing())
    assert inspect_dataset(dataset).imbalance is None


def test_images_that_are_all_unreadable(tmp_path: Path) -> None:
    (tmp_path / "a").mkdir()
    (tmp_path / "a" / "1.png").touch()
    report = inspect_dataset(open_folder(tmp_path))
    assert (report.most_common_size, report.smallest_size, report.largest_size) == (None, None, None)
    assert (len(report.unreadable), report.modes) == (1, {})


def test_parts_of_data_sets_are_not_inspected() -> None:
    with pytest.raises(TypeError, match="a Subset can't be inspected"):
        inspect_dataset(Subset(open_dataset("digits"), np.arange(3)))
