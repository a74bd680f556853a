"""Running averages of weights: by the formula, in place of the weights for a while, and in a run."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from gradcli import nn
from gradcli.models import load_model
from gradcli.training.finetuning.run import FinetuneRun
from gradcli.training.finetuning.run_folder import RunFolder
from gradcli.training.finetuning.settings import FinetuneSettings
from gradcli.training.finetuning.setup import Finetuning
from gradcli.training.finetuning.weight_average import WeightAverage


def test_an_average_forgets_by_its_decay_and_faster_in_the_beginning() -> None:
    model = nn.BatchNorm2d(3)
    average = WeightAverage(0.25, model, ["weight", "num_batches_tracked"])
    weight, expected = model.state_dict()["weight"].array, np.ones(3)
    for step in range(1, 6):
        weight[...] = step * 10
        model.state_dict()["num_batches_tracked"].array[...] = step
        average.update()
        decay = min(0.25, (1 + step) / (10 + step))
        expected = decay * expected + (1 - decay) * step * 10
        np.testing.assert_allclose(average.averages["weight"], expected, rtol=1e-6)
        assert average.averages["num_batches_tracked"] == step
    assert list(average.averages) == ["weight", "num_batches_tracked"]


def test_averages_take_the_place_of_the_weights_for_a_while() -> None:
    model = nn.BatchNorm2d(3)
    average = WeightAverage(0.5, model, ["weight"])
    array = model.state_dict()["weight"].array
    array[...] = 7
    with average.in_place():
        np.testing.assert_array_equal(array, 1)
    np.testing.assert_array_equal(array, 7)


def test_an_average_goes_on_from_another() -> None:
    model = nn.BatchNorm2d(3)
    first, second = (WeightAverage(0.9, model, ["weight"]) for _ in range(2))
    model.state_dict()["weight"].array[...] = [1, 2, 3]
    first.update()
    second.load(first.averages, first.steps)
    model.state_dict()["weight"].array[...] = [4, 5, 6]
    for average in (first, second):
        average.update()
    assert first.averages["weight"].tobytes() == second.averages["weight"].tobytes()
    with pytest.raises(KeyError):
        second.load({"bias": np.ones(3)}, 1)


def test_a_run_validates_and_writes_the_averages(model_file: Path, images_file: Path, tmp_path: Path) -> None:
    finetuning = Finetuning(
        FinetuneSettings(
            data=str(images_file), weights=str(model_file), epochs=2, freeze=[("freeze-backbone", "")], ema=0.5
        )
    )
    start = finetuning.model.fc.weight.array.copy()
    records = FinetuneRun(finetuning, RunFolder.check(tmp_path / "run")).records(finetuning.config())
    weights = [finetuning.model.fc.weight.array.copy() for _ in records]  # an epoch is one step here
    expected = start
    for step, weight in enumerate(weights, start=1):
        decay = min(0.5, (1 + step) / (10 + step))
        expected = decay * expected + (1 - decay) * weight
    saved = load_model(tmp_path / "run" / "last.safetensors").model.fc.weight.array
    np.testing.assert_allclose(saved, expected, rtol=1e-5, atol=1e-7)
