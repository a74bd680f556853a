"""Finetuning: losses and accuracies recomputed, determinism, heads, stopping, divergence."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from gradcli.autograd import Tensor, no_grad
from gradcli.checkpoints import load_checkpoint, save_safetensors
from gradcli.data.preprocessing import Preprocessing
from gradcli.errors import DataError, DivergedError, UsageError, WeightsError
from gradcli.kernels.policy import Kernels, get_kernels
from gradcli.models import load_model
from gradcli.models.weights_metadata import metadata_entries
from gradcli.training.finetuning.records import EpochProgress, EpochRecord, best_record
from gradcli.training.finetuning.run import FinetuneRun
from gradcli.training.finetuning.run_folder import RunFolder
from gradcli.training.finetuning.settings import FinetuneSettings
from gradcli.training.finetuning.setup import Finetuning
from gradcli.training.optimizers import SGDSettings


@pytest.fixture
def settings(settings: FinetuneSettings) -> FinetuneSettings:
    return replace(settings, epochs=2, batch_size=6)


def run(finetuning: Finetuning, folder: Path, **options: Any) -> list[EpochRecord]:
    return list(FinetuneRun(finetuning, RunFolder.check(folder)).records(finetuning.config(), **options))


def test_validation_is_the_saved_weights_on_the_validation_images(settings: FinetuneSettings, tmp_path: Path) -> None:
    finetuning = Finetuning(settings)
    records = run(finetuning, tmp_path / "run")
    assert [record.epoch for record in records] == [1, 2]
    data = finetuning.val_data
    assert len(data) == 4  # a fifth of twenty
    for file, record in (("last.safetensors", records[-1]), ("model.safetensors", best_record(records))):
        model = load_model(tmp_path / "run" / file).model.eval()
        with no_grad():
            scores = model(Tensor(data.images(range(len(data))))).array.astype(np.float64)
        log_probabilities = scores - np.log(np.exp(scores).sum(axis=1, keepdims=True))
        expected = -log_probabilities[np.arange(len(data)), data.labels].mean()
        assert record is not None
        assert record.val_loss == pytest.approx(expected, rel=1e-4)
        assert record.val_accuracy == (scores.argmax(axis=1) == data.labels).mean()


@pytest.mark.parametrize(
    ("of_weights", "options", "size", "resize"),
    [
        (Preprocessing(std=(0.5, 0.5, 0.5), interpolation="bicubic"), {}, (32, 32), None),
        (Preprocessing(std=(0.5, 0.5, 0.5), interpolation="bicubic"), {"image_size": 96}, (96, 96), None),
        (Preprocessing.straight(48), {}, (32, 32), None),
        (Preprocessing.imagenet(24), {}, (24, 24), 27),
    ],
    ids=["of photographs", "a size that is asked for", "of larger drawings", "smaller still"],
)
def test_small_images_are_not_made_as_large_as_the_other_things_that_the_weights_know(
    settings: FinetuneSettings,
    model_file: Path,
    of_weights: Preprocessing,
    options: dict[str, int],
    size: tuple[int, int],
    resize: int | None,
    tmp_path: Path,
) -> None:
    weights = tmp_path / "weights.safetensors"
    entries = metadata_entries(preprocessing=of_weights.to_dict())
    save_safetensors(weights, load_checkpoint(model_file).tensors, entries)
    data = Finetuning(replace(settings, weights=str(weights), **options)).train_data
    assert data.preprocessing == replace(of_weights, size=size, resize=resize)
    assert data.images([0]).shape == (1, 3, *size)


def test_images_of_the_classes_that_the_weights_know_get_the_size_of_the_weights(
    settings: FinetuneSettings, tmp_path: Path
) -> None:
    run(Finetuning(replace(settings, epochs=1, image_size=48)), tmp_path / "run")
    assert Finetuning(replace(settings, weights=str(tmp_path / "run"))).train_data.preprocessing.size == (48, 48)


def test_the_first_epochs_losses_are_those_of_its_batches(settings: FinetuneSettings, tmp_path: Path) -> None:
    # With a learning rate of 0 nothing moves, so the epoch's mean is that of all training images at once.
    finetuning = Finetuning(replace(settings, epochs=1, optimizer=SGDSettings(lr=0)))
    progress: list[EpochProgress] = []
    (record,) = run(finetuning, tmp_path / "run", on_batch=progress.append)
    data = finetuning.train_data
    with no_grad():
        scores = finetuning.model(Tensor(data.images(range(len(data))))).array.astype(np.float64)
    log_probabilities = scores - np.log(np.exp(scores).sum(axis=1, keepdims=True))
    assert record.train_loss == pytest.approx(-log_probabilities[np.arange(16), data.labels].mean(), rel=1e-4)
    assert record.train_accuracy == (scores.argmax(axis=1) == data.labels).mean()
    assert [each.images for each in progress] == [6, 12, 16, 20]
    assert finetuning.images_per_epoch == 20
    assert progress[-1] == progress[2]._replace(images=20) == (1, 20, record.train_loss, record.train_accuracy)


def test_the_same_settings_give_the_same_bytes_and_another_seed_does_not(
    settings: FinetuneSettings, tmp_path: Path
) -> None:
    for name, seed in (("a", 0), ("b", 0), ("c", 1)):
        run(Finetuning(replace(settings, seed=seed)), tmp_path / name)
    a, b, c = ((tmp_path / name / "model.safetensors").read_bytes() for name in "abc")
    assert a == b
    assert a != c


def test_label_smoothing_raises_the_training_loss_of_a_good_head_only(
    settings: FinetuneSettings, tmp_path: Path
) -> None:
    still = replace(settings, epochs=1, optimizer=SGDSettings(lr=0))
    run(Finetuning(replace(settings, epochs=6)), tmp_path / "trained")
    still = replace(still, weights=str(tmp_path / "trained"))
    (plain,) = run(Finetuning(still), tmp_path / "plain")
    (smoothed,) = run(Finetuning(replace(still, label_smoothing=0.3)), tmp_path / "smoothed")
    assert smoothed.train_loss > plain.train_loss
    assert smoothed.val_loss == plain.val_loss


def test_a_head_that_fits_is_kept_and_another_one_replaced(settings: FinetuneSettings, tmp_path: Path) -> None:
    first = Finetuning(settings)
    assert first.model.fc.out_features == 3
    run(first, tmp_path / "run")
    head = load_model(tmp_path / "run").model.fc.weight.array
    kept = Finetuning(replace(settings, weights=str(tmp_path / "run")))
    np.testing.assert_array_equal(kept.model.fc.weight.array, head)
    larger = Finetuning(replace(settings, weights=str(tmp_path / "run"), num_classes=4))
    assert larger.model.fc.out_features == 4


@pytest.mark.parametrize(
    ("changes", "error", "message"),
    [
        ({"num_classes": 2}, UsageError, r"--num-classes 2: the data has 3 classes \(0, 1, 2, …\)"),
        ({"validation_split": 1.0}, UsageError, "--validation-split 1: expected a share above 0 and below 1"),
        ({"validation_split": float("nan")}, UsageError, "--validation-split nan: expected a share"),
        ({"freeze": (("freeze", "*"),)}, UsageError, "every parameter is frozen"),
        ({"data": "nowhere"}, DataError, "nowhere: no such data set, folder or file"),
    ],
)
def test_settings_that_make_no_run(
    changes: dict[str, Any], error: type[Exception], message: str, settings: FinetuneSettings
) -> None:
    with pytest.raises(error, match=message):
        Finetuning(replace(settings, **changes))


def test_a_request_to_stop_saves_the_weights_so_far(settings: FinetuneSettings, tmp_path: Path) -> None:
    batches: list[EpochProgress] = []
    finetuning = Finetuning(settings)
    run = FinetuneRun(finetuning, RunFolder.check(tmp_path / "run"))
    records = run.records(finetuning.config(), on_batch=batches.append, should_stop=lambda: len(batches) == 6)
    assert [record.epoch for record in records] == [1]  # of four batches, then two of the second
    assert run.stopped == 2
    saved = load_model(tmp_path / "run" / "last.safetensors").model.fc.weight.array
    np.testing.assert_array_equal(saved, finetuning.model.fc.weight.array)
    assert len((tmp_path / "run" / "metrics.jsonl").read_text().splitlines()) == 1


def test_a_run_that_fails_in_its_first_epoch_leaves_nothing(settings: FinetuneSettings, tmp_path: Path) -> None:
    everything = replace(settings, freeze=(), optimizer=SGDSettings(lr=1e30))
    with pytest.raises(DivergedError, match="try a smaller --lr"):
        run(Finetuning(everything), tmp_path / "run")
    with pytest.raises(DataError, match="take --batch-size above 1, or --image-size above 32"):
        run(Finetuning(replace(settings, batch_size=1, freeze=())), tmp_path / "run")
    with pytest.raises(DataError, match=r"of 1 image of 32x32 leaves .* above 1, or --train-sizes above 32$"):
        run(Finetuning(replace(settings, batch_size=1, freeze=(), train_sizes=(32, 64))), tmp_path / "run")
    assert not (tmp_path / "run").exists()


@pytest.mark.parametrize("name", ["layer2.0.conv1.weight", "bn1.running_var"])
def test_weights_that_are_not_finite_are_refused_before_anything_is_computed(
    name: str, settings: FinetuneSettings, tmp_path: Path
) -> None:
    tensors = load_checkpoint(settings.weights).tensors
    tensors[name].flat[:2] = np.nan
    save_safetensors(tmp_path / "nan.safetensors", tensors)
    found = rf"nan\.safetensors: 2 of the \d+ values of {name} \(first at [0,]+\) are not finite; take"
    with pytest.raises(WeightsError, match=found):
        Finetuning(replace(settings, weights=str(tmp_path / "nan.safetensors")))


def test_force_does_not_replace_the_weights_that_the_run_begins_with(
    settings: FinetuneSettings, tmp_path: Path
) -> None:
    run(Finetuning(replace(settings, epochs=1)), tmp_path / "run")
    (tmp_path / "link").symlink_to(tmp_path / "run")
    for weights in (tmp_path / "run", tmp_path / "link" / "last.safetensors"):
        finetuning = Finetuning(replace(settings, weights=str(weights)))
        with pytest.raises(UsageError, match=r"--weights \S+: lies in \S+run, which --force replaces; name another"):
            next(FinetuneRun(finetuning, RunFolder.check(tmp_path / "run", force=True)).records(finetuning.config()))
    assert (tmp_path / "run" / "last.safetensors").exists()
    folder = RunFolder.check(tmp_path / "run", force=True)
    finetuning = Finetuning(settings)
    assert len(list(FinetuneRun(finetuning, folder).records(finetuning.config()))) == settings.epochs


def test_a_run_that_diverges_later_keeps_the_epochs_before(settings: FinetuneSettings, tmp_path: Path) -> None:
    finetuning = Finetuning(settings)
    records = FinetuneRun(finetuning, RunFolder.check(tmp_path / "run")).records(finetuning.config())
    next(records)
    weight = finetuning.model.fc.weight.array.copy()
    finetuning.model.fc.bias.array[0] = np.nan
    with pytest.raises(
        DivergedError, match=r"the loss is nan in epoch 2, batch 1, at learning rate 0\.05, first in the output of fc;"
    ):
        next(records)
    np.testing.assert_array_equal(load_model(tmp_path / "run").model.fc.weight.array, weight)
    assert len((tmp_path / "run" / "metrics.jsonl").read_text().splitlines()) == 1


def test_batches_of_one_are_fine_where_no_batch_norm_trains(settings: FinetuneSettings, tmp_path: Path) -> None:
    (record,) = run(Finetuning(replace(settings, batch_size=1, epochs=1)), tmp_path / "run")
    assert np.isfinite(record.train_loss)


def test_the_description_says_what_trains(settings: FinetuneSettings) -> None:
    text = Finetuning(settings).describe()
    assert text.startswith("16 images to train and 4 to validate, 32x32, 3 classes; weights ")
    assert text.endswith(", 1,539 of 11,178,051 parameters train, fast kernels")
    text = Finetuning(replace(settings, mode="train")).describe()
    assert text.endswith("running statistics of 20 frozen batch norms move in train mode, as in PyTorch")


@pytest.mark.parametrize("kernels", ["exact", "fast"])
def test_a_run_trains_and_validates_on_its_own_kernels(
    kernels: Kernels, settings: FinetuneSettings, tmp_path: Path
) -> None:
    finetuning = Finetuning(replace(settings, kernels=kernels, epochs=1))
    seen = []
    finetuning.model.fc.register_forward_hook(lambda *_: seen.append(get_kernels()))
    (record,) = run(finetuning, tmp_path / "run")
    assert seen == [kernels] * (3 + 1)
    assert get_kernels() == "exact"
    assert record.kernels == kernels


def test_one_class_is_nothing_to_learn(settings: FinetuneSettings, tmp_path: Path) -> None:
    np.savez(tmp_path / "one.npz", images=np.zeros((4, 8, 8), np.uint8), labels=np.zeros(4, np.int64))
    with pytest.raises(DataError, match=r"one\.npz: one class only \(0\); expected at least two"):
        Finetuning(replace(settings, data=str(tmp_path / "one.npz")))
