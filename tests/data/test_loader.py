"""The loader: the same batches for any number of workers, what can't be read, and threads that end."""

from __future__ import annotations

import logging
import threading
from collections.abc import Sequence
from contextlib import closing
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

from gradcli.data.augmentation import Augmentation
from gradcli.data.batches import batch_indices, epoch_order
from gradcli.data.dataset import ArrayDataset, FileDataset, Subset
from gradcli.data.loader import Batch, Loader
from gradcli.data.preprocessing import Preprocessing
from gradcli.errors import DataError
from gradcli.kernels.threads import get_num_threads

PREPROCESSING = Preprocessing(size=(6, 5), resize=7)
JITTERED = Augmentation.named("standard", brightness=0.4, hue=0.1)
WORKERS = [0, 1, 2, 5]


def array_dataset(count: int = 23, *channels: int) -> ArrayDataset:
    pixels = np.random.default_rng(0).integers(0, 256, (count, 9, 8, *channels), dtype=np.uint8)
    return ArrayDataset("arrays", pixels, np.arange(count) % 4, list("abcd"), PREPROCESSING)


def file_dataset(folder: Path, unreadable: Sequence[int] = (), count: int = 12) -> FileDataset:
    """Images 0.png, 1.png, …, of which some are cut off."""
    for index in range(count):
        path = folder / f"{index}.png"
        pixels = np.random.default_rng(index).integers(0, 256, (10, 12 + index, 3), dtype=np.uint8)
        Image.fromarray(pixels).save(path)
        if index in unreadable:
            path.write_bytes(path.read_bytes()[:100])
    names = [f"{index}.png" for index in range(count)]
    return FileDataset(str(folder), folder, names, np.arange(count) % 3, list("abc"), PREPROCESSING)


def loader_threads() -> list[str]:
    return [thread.name for thread in threading.enumerate() if thread.name.startswith("gradcli-loader")]


def assert_same_batches(first: list[Batch], second: list[Batch]) -> None:
    assert len(first) == len(second)
    for one, other in zip(first, second, strict=True):
        np.testing.assert_array_equal(one.images, other.images)
        np.testing.assert_array_equal(one.labels, other.labels)
        np.testing.assert_array_equal(one.indices, other.indices)


@pytest.mark.parametrize("workers", WORKERS)
def test_batches_hold_the_images_of_the_data_set_in_order(workers: int) -> None:
    dataset = array_dataset()
    order = batch_indices(epoch_order(23, 0, 0), 5)
    batches = list(Loader(dataset, workers=workers).batches(order))
    assert [len(batch) for batch in batches] == [5, 5, 5, 5, 3]
    for batch, indices in zip(batches, order, strict=True):
        assert batch.images.dtype == np.float32
        assert batch.labels.dtype == np.int64
        np.testing.assert_array_equal(batch.indices, indices)
        np.testing.assert_array_equal(batch.labels, dataset.labels[indices])
        np.testing.assert_array_equal(batch.images, dataset.images(indices))


@pytest.mark.parametrize("workers", WORKERS)
@pytest.mark.parametrize("channels", [(), (3,)])
def test_an_augmented_image_depends_neither_on_workers_nor_on_batches(workers: int, channels: tuple[int, ...]) -> None:
    dataset = array_dataset(23, *channels)
    loader = Loader(dataset, workers=workers, augmentation=JITTERED, seed=3)
    for view in (0, 1):
        for batch in loader.batches(batch_indices(epoch_order(23, 0, view), 4 + workers), view):
            for image, index in zip(batch.images, batch.indices.tolist(), strict=True):
                expected = JITTERED.apply(dataset.image(index), PREPROCESSING, seed=3, view=view, index=index)
                np.testing.assert_array_equal(image, expected)


def test_files_are_loaded_the_same_by_any_number_of_workers(tmp_path: Path) -> None:
    dataset = Subset(file_dataset(tmp_path), np.arange(11, -1, -1))
    order = batch_indices(np.arange(12), 5)
    for augmentation in (None, JITTERED):
        loads = [list(Loader(dataset, workers=n, augmentation=augmentation).batches(order, 1)) for n in WORKERS]
        for batches in loads[1:]:
            assert_same_batches(batches, loads[0])


def test_grey_images_among_coloured_ones_are_augmented() -> None:
    class Mixed(ArrayDataset):
        def image(self, index: int) -> Image.Image:
            image = super().image(index)
            return image.convert("L") if index % 2 else image

    dataset = Mixed("mixed", array_dataset(6, 3).pixels, np.zeros(6, int), ["a"], PREPROCESSING)
    (batch,) = Loader(dataset, workers=1, augmentation=JITTERED).batches([np.arange(6)])
    for index, image in enumerate(batch.images):
        expected = JITTERED.apply(dataset.image(index), PREPROCESSING, seed=0, view=0, index=index)
        np.testing.assert_array_equal(image, expected)


@pytest.mark.parametrize("workers", WORKERS)
@pytest.mark.parametrize("augmentation", [None, JITTERED])
def test_batches_may_have_preprocessings_of_their_own(
    tmp_path: Path, workers: int, augmentation: Augmentation | None
) -> None:
    dataset = Subset(file_dataset(tmp_path, unreadable=(1, 4, 5)), np.arange(1, 12))
    order = [np.array([0, 1, 2]), np.array([3, 4]), np.array([5, 6]), np.array([7, 8, 9, 10])]
    small, wide = Preprocessing.straight(4), PREPROCESSING.with_size(8, 16)
    preprocessings = [small, wide, PREPROCESSING, small]
    loader = Loader(dataset, workers=workers, augmentation=augmentation, seed=2)
    batches = list(loader.batches(order, 1, preprocessings))
    assert [batch.images.shape for batch in batches] == [(2, 3, 4, 4), (0, 3, 8, 16), (2, 3, 6, 5), (4, 3, 4, 4)]
    for batch, preprocessing in zip(batches, preprocessings, strict=True):
        same = Loader(dataset.with_preprocessing(preprocessing), workers=0, augmentation=augmentation, seed=2)
        (expected,) = same.batches([batch.indices], 1)
        np.testing.assert_array_equal(batch.images, expected.images)
        np.testing.assert_array_equal(batch.labels, expected.labels)
    assert len(loader.skipped) == 3
    with pytest.raises(ValueError, match="zip"):
        list(loader.batches(order, 1, preprocessings[:3]))


def test_an_augmentation_without_transforms_is_none() -> None:
    loader = Loader(array_dataset(), workers=0, augmentation=Augmentation())
    assert loader.augmentation is None


def test_workers_are_by_default_as_many_as_compute_threads() -> None:
    assert Loader(array_dataset()).workers == get_num_threads()
    with pytest.raises(ValueError, match="workers -1: expected 0 or more"):
        Loader(array_dataset(), workers=-1)


@pytest.mark.parametrize("workers", WORKERS)
@pytest.mark.parametrize("augmentation", [None, JITTERED])
def test_unreadable_images_are_left_out_and_named_once(
    tmp_path: Path, caplog: pytest.LogCaptureFixture, workers: int, augmentation: Augmentation | None
) -> None:
    dataset = file_dataset(tmp_path, unreadable=(2, 6, 7))
    loader = Loader(dataset, workers=workers, augmentation=augmentation)
    order = [np.arange(0, 6), np.array([6, 7]), np.arange(8, 12)]
    with caplog.at_level(logging.WARNING):
        for view in (0, 1):
            batches = list(loader.batches(order, view))
            assert [batch.indices.tolist() for batch in batches] == [[0, 1, 3, 4, 5], [], [8, 9, 10, 11]]
            assert [batch.labels.tolist() for batch in batches] == [[0, 1, 0, 1, 2], [], [2, 0, 1, 2]]
            assert [batch.images.shape for batch in batches] == [(5, 3, 6, 5), (0, 3, 6, 5), (4, 3, 6, 5)]
            if augmentation is None:
                np.testing.assert_array_equal(batches[0].images, dataset.images([0, 1, 3, 4, 5]))
    assert list(loader.skipped) == [str(tmp_path / f"{index}.png") for index in (2, 6, 7)]
    assert all("image file is truncated" in reason for reason in loader.skipped.values())
    assert not any(str(tmp_path) in reason for reason in loader.skipped.values())
    messages = [record.getMessage() for record in caplog.records]
    assert len(messages) == 3
    assert messages[0].startswith(f"{tmp_path / '2.png'}: can't be read as an image")
    assert messages[0].endswith("; left out")


def test_a_name_with_a_line_break_is_logged_in_one_line(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    dataset = FileDataset("images", tmp_path, ["two\nlines.png"], np.zeros(1, np.int64), ["a"], PREPROCESSING)
    with caplog.at_level(logging.WARNING):
        assert [len(batch) for batch in Loader(dataset, workers=0).batches([np.arange(1)])] == [0]
    assert caplog.messages == [rf"{tmp_path / 'two'}\nlines.png: no such file; expected an image; left out"]


@pytest.mark.parametrize("workers", WORKERS)
@pytest.mark.parametrize("augmentation", [None, JITTERED])
def test_strict_refuses_the_first_unreadable_image_at_its_batch(
    tmp_path: Path, workers: int, augmentation: Augmentation | None
) -> None:
    dataset = file_dataset(tmp_path, unreadable=(6, 7))
    batches = Loader(dataset, workers=workers, augmentation=augmentation, strict=True).batches(
        batch_indices(np.arange(12), 4)
    )
    assert next(batches).indices.tolist() == [0, 1, 2, 3]
    with pytest.raises(DataError, match=r"6\.png: can't be read as an image"):
        next(batches)
    assert not loader_threads()


@pytest.mark.parametrize("workers", WORKERS)
def test_a_narrow_image_is_left_out_when_it_would_be_resized_to_gigabytes(tmp_path: Path, workers: int) -> None:
    dataset = file_dataset(tmp_path).with_preprocessing(Preprocessing())
    Image.new("L", (20_000, 1)).save(tmp_path / "3.png")
    flip = Augmentation.named("none", horizontal_flip=0.5)
    for augmentation, kept in ((None, 1), (flip, 1), (Augmentation.named("light"), 2)):
        loader = Loader(dataset, workers=workers, augmentation=augmentation)
        (batch,) = loader.batches([np.array([3, 4])])
        assert len(batch) == kept
        assert len(loader.skipped) == 2 - kept


@pytest.mark.parametrize("workers", WORKERS)
def test_an_image_left_out_at_one_size_is_there_at_another(tmp_path: Path, workers: int) -> None:
    dataset = file_dataset(tmp_path)
    Image.new("L", (20_000, 1)).save(tmp_path / "3.png")
    large, small = Preprocessing(), Preprocessing.straight(8)
    loader = Loader(dataset, workers=workers)
    batches = loader.batches([np.array([3, 4])] * 5, 0, [large, small, small, large, small])
    assert [len(batch) for batch in batches] == [1, 2, 2, 1, 2]
    assert list(loader.skipped) == [str(tmp_path / "3.png")]


class CountingDataset(ArrayDataset):
    """Counts the images that were asked for, and breaks at one of them."""

    asked = 0
    broken_at: int | None = None

    def images(self, indices: Any) -> np.ndarray:
        self.asked += len(indices)
        if self.broken_at in list(indices):
            raise ZeroDivisionError("a defect")
        return super().images(indices)


def counting_dataset(count: int = 60) -> CountingDataset:
    plain = array_dataset(count)
    return CountingDataset("counted", plain.pixels, plain.labels, plain.classes, PREPROCESSING)


@pytest.mark.parametrize("workers", WORKERS)
def test_other_exceptions_of_workers_reach_the_caller_at_their_batch(workers: int) -> None:
    dataset = counting_dataset()
    dataset.broken_at = 25
    batches = Loader(dataset, workers=workers).batches(batch_indices(np.arange(60), 10))
    assert [next(batches).indices[0] for _ in range(2)] == [0, 10]
    with pytest.raises(ZeroDivisionError, match="a defect"):
        next(batches)
    assert not loader_threads()


@pytest.mark.parametrize("workers", [1, 2, 5])
def test_no_more_than_two_batches_are_loaded_ahead(workers: int) -> None:
    dataset = counting_dataset()
    for number, _ in enumerate(Loader(dataset, workers=workers).batches(batch_indices(np.arange(60), 5)), start=1):
        assert dataset.asked <= 5 * (number + 2)
    assert dataset.asked == 60


def test_without_workers_a_batch_is_loaded_when_it_is_asked_for() -> None:
    dataset = counting_dataset()
    batches = Loader(dataset, workers=0).batches(batch_indices(np.arange(60), 5))
    assert dataset.asked == 0
    next(batches)
    assert dataset.asked == 5


@pytest.mark.parametrize("error", [RuntimeError, KeyboardInterrupt])
def test_leaving_early_leaves_no_thread(error: type[BaseException]) -> None:
    def leave_early() -> None:
        with closing(Loader(array_dataset(), workers=3).batches(batch_indices(np.arange(23), 2))) as batches:
            next(batches)
            assert loader_threads()
            raise error

    with pytest.raises(error):
        leave_early()
    assert not loader_threads()


def test_threads_end_with_the_last_batch() -> None:
    assert len(list(Loader(array_dataset(), workers=3).batches(batch_indices(np.arange(23), 2)))) == 12
    assert not loader_threads()


def test_no_batches_at_all() -> None:
    assert list(Loader(array_dataset(), workers=2).batches([])) == []
