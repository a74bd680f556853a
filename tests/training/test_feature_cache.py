"""Features computed once: what they are, what they are kept under, and that training on them changes nothing."""

from __future__ import annotations

import json
import logging
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from finetuning_runs import HEAD_ONLY, UP_TO_LAYER3
from prefix_features import COUNT, SMALL_BATCH, cut_of, digits, features_of, frozen_model, values

import gradcli
from gradcli import nn
from gradcli.autograd import Tensor
from gradcli.data.arrays import open_arrays
from gradcli.data.augmentation import Augmentation
from gradcli.data.batches import batch_indices, epoch_order
from gradcli.data.dataset import Dataset, Subset
from gradcli.data.digits import open_digits
from gradcli.data.loader import Loader
from gradcli.data.preprocessing import Preprocessing
from gradcli.errors import DataError
from gradcli.kernels.policy import using_kernels
from gradcli.models import ResNet
from gradcli.models.resnet import build_resnet18
from gradcli.nn.functional import cross_entropy
from gradcli.optim import SGD
from gradcli.training import feature_cache
from gradcli.training.feature_cache import (
    Features,
    backbone_features,
    cached_features,
    feature_batch_size,
    features_folder,
)
from gradcli.training.feature_store import JOURNAL_FILE, ROWS_FILE
from gradcli.training.freezing import FreezeRule

pytestmark = pytest.mark.usefixtures("small_feature_batches")


@pytest.mark.parametrize("kernels", ["exact", "fast"])
@pytest.mark.parametrize(("rules", "shape"), [(HEAD_ONLY, (512,)), (UP_TO_LAYER3, (256, 2, 2))])
def test_features_are_what_the_prefix_gives(rules: list[FreezeRule], shape: tuple[int, ...], kernels: Any) -> None:
    cut, data = cut_of(frozen_model(rules)), digits()
    features = features_of(cut, data, kernels=kernels)
    assert (features.shape, features.views, len(features)) == (shape, 1, COUNT)
    with using_kernels(kernels):
        expected = np.concatenate(
            [
                cut.prefix(Tensor(data.images(np.arange(start, min(start + SMALL_BATCH, COUNT))))).array
                for start in range(0, COUNT, SMALL_BATCH)
            ]
        )
    np.testing.assert_array_equal(values(features), expected)
    np.testing.assert_array_equal(features.labels, data.labels)
    np.testing.assert_array_equal(features.kept, np.arange(COUNT))
    found = features_of(cut, data, kernels=kernels)
    assert (features.computed, found.computed) == (COUNT, 0)
    assert features.folders == found.folders
    np.testing.assert_array_equal(values(found), expected)
    in_memory = features_of(cut, data, kernels=kernels, keep=False)
    assert (in_memory.computed, in_memory.folders) == (COUNT, ())
    np.testing.assert_array_equal(values(in_memory), expected)


def train_head(
    model: ResNet, scores: Callable[[np.ndarray[Any, Any]], Any], labels: np.ndarray[Any, Any]
) -> list[float]:
    """The losses of three epochs."""
    optimizer = SGD(model.fc.parameters(), lr=0.05, momentum=0.9)
    losses = []
    for epoch in range(3):
        for indices in batch_indices(epoch_order(len(labels), 0, epoch), 32):
            optimizer.zero_grad()
            loss = cross_entropy(scores(indices), Tensor(labels[indices]))
            loss.backward()
            optimizer.step()
            losses.append(loss.item())
    return losses


@pytest.mark.parametrize("kernels", ["exact", "fast"])
def test_training_on_features_is_training_without_the_cache(kernels: Any) -> None:
    data = digits(150)
    plain, cached, in_memory = (frozen_model() for _ in range(3))

    def train_on_features(model: ResNet, keep: bool) -> list[float]:
        cut = cut_of(model)
        features = features_of(cut, data, kernels=kernels, keep=keep)
        return train_head(model, lambda positions: cut.rest(Tensor(features.batch(positions))), features.labels)

    with using_kernels(kernels):
        expected = train_head(plain, lambda positions: plain(Tensor(data.images(positions))), data.labels)
        losses = train_on_features(cached, True)
        assert train_on_features(in_memory, False) == losses
    np.testing.assert_array_equal(in_memory.fc.weight.array, cached.fc.weight.array)
    assert expected[-1] < 0.9 * expected[0]
    # The features of a batch of another size differ by rounding, and so do losses and head.
    np.testing.assert_allclose(losses, expected, rtol=1e-6)
    np.testing.assert_allclose(cached.fc.weight.array, plain.fc.weight.array, rtol=0, atol=1e-5)


def changed_weights(model: ResNet) -> None:
    model.layer1[0].conv1.weight.array[0, 0, 0, 0] += 1


def changed_statistics(model: ResNet) -> None:
    assert model.bn1.running_mean is not None
    model.bn1.running_mean.array[3] += 1


def changed_head(model: ResNet) -> None:
    model.fc = nn.Linear(512, 4)


@pytest.mark.parametrize(
    ("change", "computed"), [(changed_weights, COUNT), (changed_statistics, COUNT), (changed_head, 0)]
)
def test_the_state_of_the_prefix_is_part_of_the_key(change: Callable[[ResNet], None], computed: int) -> None:
    model = frozen_model()
    features_of(cut_of(model), digits())
    change(model)
    assert features_of(cut_of(model), digits()).computed == computed
    assert len(list(features_folder().iterdir())) == (2 if computed else 1)


@pytest.mark.parametrize(
    ("data", "options"),
    [
        (lambda: digits(39), {}),
        (lambda: Subset(open_digits(), np.arange(COUNT)[::-1].copy()), {}),
        (lambda: digits().with_preprocessing(Preprocessing.straight(48)), {}),
        (digits, {"kernels": "exact"}),
    ],
)
def test_data_preprocessing_and_kernels_are_part_of_the_key(
    data: Callable[[], Dataset], options: dict[str, Any]
) -> None:
    cut = cut_of(frozen_model())
    features_of(cut, digits())
    other = features_of(cut, data(), **options)
    assert other.computed == len(other)
    assert features_of(cut, digits()).computed == 0


def test_what_is_kept_is_described(tmp_path: Path) -> None:
    (folder,) = features_of(cut_of(frozen_model()), digits()).folders
    assert folder.parent == tmp_path / "home" / "features"
    description = json.loads((folder / "features.json").read_text())
    assert {name: description[name] for name in ("source", "images", "kernels", "stage", "augmentation")} == {
        "source": "digits",
        "images": COUNT,
        "kernels": "fast",
        "stage": "fc",
        "augmentation": None,
    }
    assert np.load(folder / "features.npy", mmap_mode="r").shape == (COUNT, 512)


def test_progress_counts_images() -> None:
    cut, seen = cut_of(frozen_model()), []
    features_of(cut, digits(), on_batch=lambda done, total: seen.append((done, total)))
    assert seen == [(16, 40), (32, 40), (40, 40)]
    features_of(cut, digits(), on_batch=lambda done, total: seen.append((done, total)))
    assert seen[3:] == [(40, 40)]


def test_an_interrupted_computation_goes_on_where_it_was() -> None:
    cut = cut_of(frozen_model())
    expected = values(features_of(cut, digits(), keep=False))

    def interrupt(done: int, total: int) -> None:
        if done == 32:
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        features_of(cut, digits(), loader=Loader(digits(), workers=2), on_batch=interrupt)
    features = features_of(cut, digits())
    assert features.computed == 8
    np.testing.assert_array_equal(values(features), expected)


def test_damaged_features_are_computed_again(caplog: pytest.LogCaptureFixture) -> None:
    cut = cut_of(frozen_model())
    features = features_of(cut, digits())
    expected, (folder,) = values(features), features.folders
    content = bytearray((folder / ROWS_FILE).read_bytes())
    content[-4 * 512 * 20] ^= 0x40
    (folder / ROWS_FILE).write_bytes(content)
    again = features_of(cut, digits())
    assert again.computed == 16
    np.testing.assert_array_equal(values(again), expected)
    (folder / JOURNAL_FILE).unlink()
    assert features_of(cut, digits()).computed == COUNT
    assert "1 of 3 blocks are damaged" in caplog.text


def test_subsets_have_the_same_features() -> None:
    features = features_of(cut_of(frozen_model()), digits())
    positions = np.array([30, 2, 17])
    part = features.subset(positions)
    assert len(part) == 3
    np.testing.assert_array_equal(part.labels, features.labels[positions])
    np.testing.assert_array_equal(part.batch([0, 2]), features.batch([30, 17]))
    np.testing.assert_array_equal(part.subset(np.array([1])).batch([0]), features.batch([2]))


def test_views_of_augmented_images() -> None:
    cut, data, augmentation = cut_of(frozen_model()), digits(20), Augmentation.named("standard")

    def views_of(views: int, seed: int = 0) -> Features:
        loader = Loader(data, workers=0, augmentation=augmentation, seed=seed)
        return features_of(cut, data, loader=loader, views=views)

    features = views_of(2)
    assert (features.views, features.computed, len(features.folders)) == (2, 40, 2)
    with using_kernels("fast"):
        for view in range(2):
            (batch,) = Loader(data, workers=0, augmentation=augmentation).batches([np.arange(16)], view)
            np.testing.assert_array_equal(values(features, view)[:16], cut.prefix(Tensor(batch.images)).array)
    assert (values(features, 0) != values(features, 1)).any(axis=1).all()
    more = views_of(3)
    assert (more.views, more.computed) == (3, 20)
    np.testing.assert_array_equal(values(more, 1), values(features, 1))
    assert views_of(2, seed=1).computed == 40
    assert features_of(cut, data, views=3).views == 1  # nothing random: one view is all there is


def test_too_many_features_are_left_to_the_caller(monkeypatch: pytest.MonkeyPatch) -> None:
    cut, data = cut_of(frozen_model()), digits()
    size = COUNT * 512 * 4
    assert cached_features(cut, Loader(data, workers=0), limit=size - 1) is None
    assert cached_features(cut, Loader(data, workers=0), limit=size - 1, keep=False) is None
    assert features_of(cut, data, limit=size).computed == COUNT
    monkeypatch.setattr(feature_cache, "DISK_LIMIT", size - 1)
    with pytest.raises(DataError, match="digits: the features of 40 images are too many"):
        backbone_features(frozen_model(), Loader(data, workers=0))


def test_the_cache_stays_within_its_limit() -> None:
    cut = cut_of(frozen_model())
    limit = 2 * (COUNT * 512 * 4 + 128)
    first = features_of(cut, digits(), limit=limit)
    before = values(first)
    features_of(cut, digits(39), limit=limit)
    assert len(list(features_folder().iterdir())) == 2
    features_of(cut, digits(38), limit=limit)
    assert len(list(features_folder().iterdir())) == 2
    assert not first.folders[0].exists()
    np.testing.assert_array_equal(values(first), before)


def test_a_cache_that_cant_be_written_is_done_without(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    cut = cut_of(frozen_model())
    (tmp_path / "file").touch()
    monkeypatch.setenv("GRADCLI_HOME", str(tmp_path / "file"))
    features = features_of(cut, digits())
    assert (features.computed, features.folders) == (COUNT, ())
    assert [record.levelno for record in caplog.records] == [logging.WARNING]
    assert "features are not kept, but computed in memory" in caplog.text
    monkeypatch.setattr(feature_cache, "MEMORY_LIMIT", 10)
    assert cached_features(cut, Loader(digits(), workers=0)) is None


def test_backbone_features_are_the_classifiers_input() -> None:
    gradcli.manual_seed(0)
    model = build_resnet18(10)
    seen = []
    features = backbone_features(model, Loader(digits(SMALL_BATCH), workers=0))
    look = model.fc.register_forward_hook(lambda module, args, result: seen.append(args[0].array))
    with look, using_kernels("fast"), gradcli.no_grad():
        model(Tensor(digits(SMALL_BATCH).images(np.arange(SMALL_BATCH))))
    np.testing.assert_array_equal(values(features), seen[0])


@pytest.mark.parametrize(("size", "expected"), [((32, 32), 256), ((64, 64), 128), ((128, 128), 32), ((224, 224), 16)])
def test_batch_sizes(size: tuple[int, int], expected: int, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.undo()
    assert feature_batch_size(size) == expected


def test_arrays_of_floats_have_features_too(tmp_path: Path) -> None:
    pixels = np.random.default_rng(0).uniform(size=(5, 16, 16)).astype(np.float32)
    np.savez(tmp_path / "floats.npz", images=pixels, labels=np.arange(5) % 2)
    data = open_arrays(tmp_path / "floats.npz")
    features = features_of(cut_of(frozen_model()), data)
    assert np.isfinite(values(features)).all()
    assert features.labels.tolist() == [0, 1, 0, 1, 0]
