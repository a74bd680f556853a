"""Features that were computed once train as the images themselves do: whole, in views, with images missing."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from finetuning_runs import UP_TO_LAYER3
from labelled_images import write_folder

from gradcli.errors import DataError, UsageError
from gradcli.models import load_model
from gradcli.training import feature_cache
from gradcli.training.finetuning import run as finetuning_run
from gradcli.training.finetuning.batch_source import image_batches
from gradcli.training.finetuning.data import training_batches
from gradcli.training.finetuning.records import EpochRecord
from gradcli.training.finetuning.run import FinetuneRun
from gradcli.training.finetuning.run_folder import RunFolder
from gradcli.training.finetuning.settings import FinetuneSettings
from gradcli.training.finetuning.setup import Finetuning
from gradcli.training.optimizers import SGDSettings


@pytest.fixture
def settings(settings: FinetuneSettings) -> FinetuneSettings:
    return replace(settings, epochs=2, batch_size=6, optimizer=SGDSettings(lr=0.01))


def run(settings: FinetuneSettings, folder: Path, **options: Any) -> tuple[list[EpochRecord], Finetuning]:
    finetuning = Finetuning(settings)
    return list(FinetuneRun(finetuning, RunFolder.check(folder)).records(finetuning.config(), **options)), finetuning


def run_on_images(
    settings: FinetuneSettings, folder: Path, monkeypatch: pytest.MonkeyPatch
) -> tuple[list[EpochRecord], Finetuning]:
    """A run in which nothing is computed once."""
    with monkeypatch.context() as patch:
        patch.setattr(finetuning_run, "cut_model", lambda model: None)
        return run(settings, folder)


def assert_alike(
    results: tuple[list[EpochRecord], Finetuning], others: tuple[list[EpochRecord], Finetuning], *, rtol: float
) -> None:
    """Losses to rounding, and weights to what the steps make of it."""
    for record, other in zip(results[0], others[0], strict=True):
        assert record.train_loss == pytest.approx(other.train_loss, rel=rtol)
        assert record.val_loss == pytest.approx(other.val_loss, rel=rtol)
        assert record.train_accuracy == other.train_accuracy
    weight, other_weight = (each[1].model.fc.weight.array for each in (results, others))
    np.testing.assert_allclose(weight, other_weight, atol=rtol * np.abs(other_weight).max())


@pytest.mark.parametrize(
    "changes",
    [
        {},
        {
            "freeze": UP_TO_LAYER3,
            "kernels": "exact",
            "image_size": 64,
        },  # batch norm over 1x1 maps would enlarge rounding
        {"augment": "light", "views": 2},
        {"mode": "eval", "class_weights": "balanced"},
    ],
    ids=["head", "last layers", "views", "eval mode"],
)
def test_training_on_features_is_training_on_images(
    changes: dict[str, Any], settings: FinetuneSettings, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    settings = replace(settings, **changes)
    seen: list[tuple[int, int]] = []
    on_features = run(settings, tmp_path / "features", on_features=lambda done, total: seen.append((done, total)))
    total = 20 if settings.views is None else 2 * 16 + 4
    assert seen[-1] == (total, total)
    assert_alike(on_features, run_on_images(settings, tmp_path / "images", monkeypatch), rtol=1e-4)


def test_kept_features_and_those_in_memory_give_the_same_bytes(settings: FinetuneSettings, tmp_path: Path) -> None:
    kept, _ = run(settings, tmp_path / "kept")
    in_memory, _ = run(replace(settings, feature_cache=False), tmp_path / "memory")
    assert [replace(record, seconds=0) for record in kept] == [replace(record, seconds=0) for record in in_memory]


def test_another_split_of_the_data_finds_its_features(settings: FinetuneSettings, tmp_path: Path) -> None:
    run(settings, tmp_path / "first")
    before = set(feature_cache.features_folder().iterdir())
    run(replace(settings, validation_split=0.4, seed=3), tmp_path / "second")
    assert set(feature_cache.features_folder().iterdir()) == before


def test_epochs_take_turns_with_the_views(settings: FinetuneSettings, tmp_path: Path) -> None:
    still = replace(settings, epochs=3, augment="light", views=2, optimizer=SGDSettings(lr=0.0))
    (first, second, third), _ = run(still, tmp_path / "run")
    assert first.train_loss != pytest.approx(second.train_loss, rel=1e-4)
    assert first.train_loss == pytest.approx(third.train_loss, rel=1e-5)  # summed in another order
    assert first.val_loss == second.val_loss


def test_without_views_every_epoch_is_augmented_anew(settings: FinetuneSettings, tmp_path: Path) -> None:
    still = replace(settings, epochs=3, augment="light", optimizer=SGDSettings(lr=0.0))
    records, _ = run(still, tmp_path / "run")
    losses = sorted(record.train_loss for record in records)
    assert np.diff(losses).min() > 1e-4 * losses[0]


def test_training_batches_take_the_sizes_in_turn_over_all_epochs(
    settings: FinetuneSettings, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    mixed = replace(settings, freeze=[], mode="eval", train_sizes=(40, 32), optimizer=SGDSettings(lr=0.0))
    finetuning = Finetuning(mixed)
    seen: list[tuple[int, ...]] = []
    finetuning.model.conv1.register_forward_hook(lambda module, inputs, output: seen.append(inputs[0].shape))
    list(FinetuneRun(finetuning, RunFolder.check(tmp_path / "run")).records(finetuning.config()))
    validation = [(4, 3, 40, 40)]
    first = [(6, 3, 40, 40), (6, 3, 32, 32), (4, 3, 40, 40)]
    second = [(6, 3, 32, 32), (6, 3, 40, 40), (4, 3, 32, 32)]
    assert seen == first + validation + second + validation
    assert load_model(tmp_path / "run").preprocessing == finetuning.val_data.preprocessing.to_dict()
    assert finetuning.val_data.preprocessing.size == (40, 40)
    text = finetuning.describe()
    assert text.startswith("16 images to train and 4 to validate, batches of 40,32 pixels in turn and 40x40 in valid")


def test_batches_are_augmented_at_their_size_wherever_an_epoch_is_entered(settings: FinetuneSettings) -> None:
    mixed = replace(settings, augment="light", train_sizes=(32, 48), batch_size=5, seed=3)
    finetuning = Finetuning(mixed)
    data = finetuning.train_data
    source = image_batches(mixed, finetuning.model, data, finetuning.val_data)
    positions = training_batches(data, mixed, 2)
    assert len(positions) == 3
    batches = list(source.training(positions, 2))
    for batch, places, side in zip(batches, positions, (48, 32, 48), strict=True):
        assert batch.image_size == batch.inputs.shape[2:] == (side, side)
        preprocessing = data.preprocessing.with_size(side, side)
        for image, place in zip(batch.inputs, map(int, places), strict=True):
            expected = mixed.augmentation.apply(data.image(place), preprocessing, seed=3, view=1, index=place)
            np.testing.assert_array_equal(image, expected)
    for batch, later in zip(batches[1:], source.training(positions, 2, first=1), strict=True):
        np.testing.assert_array_equal(batch.inputs, later.inputs)


def test_sizes_in_turn_need_images_that_are_loaded_in_every_epoch(settings: FinetuneSettings) -> None:
    message = (
        "--train-sizes 64,32: the features of the frozen layers are computed once, at one size; leave it out, or have "
        "every epoch augmented anew with --augment and without --views"
    )
    for changes in ({}, {"augment": "light", "views": 2}):
        with pytest.raises(UsageError) as caught:
            Finetuning(replace(settings, train_sizes=(64, 32), **changes))
        assert str(caught.value) == message
    for changes in ({"augment": "light"}, {"freeze": ()}, {"mode": "train"}):
        assert Finetuning(replace(settings, train_sizes=(64, 32), **changes)).val_data.preprocessing.size == (64, 64)


def test_views_need_layers_that_stay_as_they_are(settings: FinetuneSettings) -> None:
    for changes in ({"freeze": ()}, {"mode": "train"}):
        with pytest.raises(UsageError, match="--views 2: the first layers train, so their features can't be kept"):
            Finetuning(replace(settings, augment="light", views=2, **changes))


def test_features_that_are_too_many_are_computed_in_each_epoch(
    settings: FinetuneSettings, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    kept = run(settings, tmp_path / "kept")
    monkeypatch.setattr(feature_cache, "DISK_LIMIT", 100)
    seen: list[int] = []
    results = run(settings, tmp_path / "run", on_features=lambda done, total: seen.append(done))
    assert seen == []
    assert_alike(results, kept, rtol=1e-4)


@pytest.mark.parametrize("on_images", [False, True], ids=["features", "images"])
def test_an_image_that_cannot_be_read_is_left_out_or_refused(
    on_images: bool, settings: FinetuneSettings, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    photos = write_folder(tmp_path / "photos", 18)
    broken = photos / "class1" / "07.png"
    broken.write_bytes(broken.read_bytes()[:200])
    settings = replace(settings, data=str(photos), seed=1)
    if on_images:
        records, _ = run_on_images(settings, tmp_path / "run", monkeypatch)
    else:
        records, _ = run(settings, tmp_path / "run")
    assert len(records) == 2
    summary = RunFolder(tmp_path / "run").summary()
    assert summary is not None
    assert list(summary["data"]["skipped"]) == [str(broken)]
    strict = replace(settings, strict=True)
    with pytest.raises(DataError, match=r"07\.png: "):
        run_on_images(strict, tmp_path / "strict", monkeypatch) if on_images else run(strict, tmp_path / "strict")
    assert not (tmp_path / "strict").exists()


def test_data_of_which_nothing_can_be_read(
    settings: FinetuneSettings, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    photos = write_folder(tmp_path / "photos")
    for path in photos.rglob("*.png"):
        path.write_text("no image")
    settings = replace(settings, data=str(photos))
    with pytest.raises(DataError, match="photos: none of its 12 images can be read"):
        run(settings, tmp_path / "run")
    with pytest.raises(DataError, match="photos: none of 10 images to train or validate with can be read"):
        run_on_images(settings, tmp_path / "run", monkeypatch)
    assert not (tmp_path / "run").exists()


def test_an_image_that_vanishes_during_the_run_is_left_out_from_then_on(
    settings: FinetuneSettings, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    photos = write_folder(tmp_path / "photos")
    settings = replace(settings, data=str(photos), freeze=[], epochs=2, mode="eval")
    finetuning = Finetuning(settings)
    records = FinetuneRun(finetuning, RunFolder.check(tmp_path / "run")).records(finetuning.config())
    next(records)
    gone = photos / "class0" / "00.png"
    for path in (photos / "class0").iterdir():
        path.unlink()
    next(records)
    summary = RunFolder(tmp_path / "run").summary()
    assert summary is not None
    assert str(gone) in summary["data"]["skipped"]
    assert f"{gone}: " in caplog.text
