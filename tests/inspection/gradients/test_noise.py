"""Mean, variance and cosines of gradients over batches, against all the gradients at once; memory that stays."""

from __future__ import annotations

import dataclasses
import math
import tracemalloc
from pathlib import Path

import numpy as np
import pytest
from labelled_images import write_npz

from gradcli.autograd import Tensor
from gradcli.data.sources import open_dataset
from gradcli.errors import DataError, DivergedError
from gradcli.inspection.gradients.collection import collect_gradients
from gradcli.inspection.gradients.noise import BatchSource, _Running, gradient_noise, open_batches
from gradcli.training.passes import Pass, PassSettings

CHOSEN = ["fc.*", "layer4.1.conv2.weight"]


SETTINGS = PassSettings(mode="eval", loss="cross-entropy")


@pytest.fixture(scope="module")
def data(tmp_path_factory: pytest.TempPathFactory) -> str:
    return str(write_npz(tmp_path_factory.mktemp("data") / "bands.npz", count=13))


@pytest.fixture(scope="module")
def source(data: str) -> BatchSource:
    return open_batches(SETTINGS, data, batch_size=4)


def all_gradients(source: BatchSource) -> list[dict[str, np.ndarray]]:
    found = []
    for indices in source.batches:
        images, labels = source.dataset.images(indices), source.dataset.labels[indices]
        source.loaded.model.zero_grad()
        run = Pass(source.settings, source.loaded, Tensor(images), [], Tensor(labels))
        arrays = collect_gradients(run, CHOSEN).arrays
        found.append({name: array.astype(np.float64).ravel() for name, array in arrays.items()})
    return found


def cosine(one: np.ndarray, other: np.ndarray) -> float:
    return float(one @ other / np.linalg.norm(one) / np.linalg.norm(other))


def test_running_sums_are_the_statistics_of_all_gradients(source: BatchSource) -> None:
    assert [len(batch) for batch in source.batches] == [4, 4, 4]  # the last image is left out
    noise = gradient_noise(source, CHOSEN)
    gradients = all_gradients(source)
    whole = [np.concatenate(list(each.values())) for each in gradients]
    assert noise.images == 12
    assert len(noise.losses) == 3
    assert noise.cosines == pytest.approx([cosine(whole[0], whole[1]), cosine(whole[1], whole[2])], rel=1e-5)
    stacks = {name: np.stack([each[name] for each in gradients]) for name in gradients[0]}
    assert [each.name for each in noise.parameters] == list(stacks)
    for found, stack in zip([*noise.parameters, noise.total], [*stacks.values(), np.stack(whole)], strict=True):
        variance = stack.var(axis=0, ddof=1)
        assert found.numel == stack.shape[1]
        assert found.mean_norm == pytest.approx(np.linalg.norm(stack.mean(axis=0)), rel=1e-5)
        assert found.variance == pytest.approx(variance.mean(), rel=1e-5)
        assert found.std_norm == pytest.approx(math.sqrt(variance.sum()), rel=1e-5)
        assert found.signal_to_noise == pytest.approx(found.mean_norm / found.std_norm)
        pairs = [cosine(stack[0], stack[1]), cosine(stack[1], stack[2])]
        assert found.cosine == pytest.approx(np.mean(pairs), rel=1e-4)


def test_agreement_and_zeros_have_their_own_numbers() -> None:
    equal, zero = _Running(np.ones(4, np.float32)), _Running(np.zeros(4, np.float32))
    for _ in range(3):
        equal.add(np.ones(4, np.float32))
        zero.add(np.zeros(4, np.float32))
    assert (equal.described("equal").signal_to_noise, equal.described("equal").cosine) == (math.inf, 1)
    assert math.isnan(zero.described("zero").signal_to_noise)
    assert math.isnan(zero.described("zero").cosine)


def test_too_few_batches_are_refused(data: str) -> None:
    with pytest.raises(DataError, match="its 13 images make 3 batches of 4; expected at least 5: choose a smaller"):
        open_batches(SETTINGS, data, batch_size=4, batches=5)


def test_a_thousand_images_take_the_memory_of_a_few(source: BatchSource, tmp_path: Path) -> None:
    dataset = open_dataset(str(write_npz(tmp_path / "many.npz", count=1000)))
    order = np.arange(1000).reshape(20, 50)
    peaks = []
    for count in (4, 20):
        many = dataclasses.replace(source, dataset=dataset, batches=list(order[:count]))
        tracemalloc.start()
        try:
            noise = gradient_noise(many, CHOSEN)
            peaks.append(tracemalloc.get_traced_memory()[1])
        finally:
            tracemalloc.stop()
        assert noise.images == 50 * count
    assert peaks[1] < 1.05 * peaks[0]


def test_a_gradient_that_is_not_finite_ends_it(source: BatchSource) -> None:
    weight = source.loaded.model.conv1.weight.array
    before = weight[0, 0, 0, 0]
    weight[0, 0, 0, 0] = np.nan
    try:
        with pytest.raises(
            DivergedError,
            match=r"the loss is nan: 1 of the 9408 values of conv1\.weight \(first at 0,0,0,0\) in emoji1k",
        ):
            gradient_noise(source, CHOSEN)
    finally:
        weight[0, 0, 0, 0] = before


def test_weights_for_other_classes_get_a_new_head_and_leave_small_images_small() -> None:
    source = open_batches(PassSettings(), "digits", batch_size=4, batches=2)
    assert source.loaded.model.fc.out_features == 10
    assert source.loaded.classes == source.dataset.classes
    assert source.dataset.preprocessing.size == (32, 32)
