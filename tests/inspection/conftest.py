"""A model that tells ten classes apart as chance has it, with images for it."""

from __future__ import annotations

import numpy as np
import pytest

from gradcli.autograd import Tensor, no_grad
from gradcli.data.dataset import ArrayDataset
from gradcli.data.preprocessing import Preprocessing
from gradcli.models import LoadedModel, load_model

CLASSES = [f"class{index}" for index in range(10)]


@pytest.fixture
def images() -> ArrayDataset:
    """100 images of the ten classes, in no order; of the last class there are none."""
    generator = np.random.default_rng(11)
    pixels = generator.integers(0, 256, (100, 1, 1, 3), dtype=np.uint8).repeat(32, axis=1).repeat(32, axis=2)
    labels = generator.integers(0, 9, 100)
    return ArrayDataset("blots", pixels, labels, list(CLASSES), Preprocessing.straight(32))


@pytest.fixture
def loaded(images: ArrayDataset) -> LoadedModel:
    """A random model of ten named classes that takes the images for one as often as for another, and is rather sure."""
    model = load_model("random:1", num_classes=10).model
    model.fc.weight.array[...] *= 100
    model.eval()
    with no_grad():
        scores = model(Tensor(images.images(np.arange(len(images))))).array
    model.fc.bias.array[...] -= scores.mean(axis=0)
    return LoadedModel(
        model, "ten.safetensors", classes=list(CLASSES), preprocessing=Preprocessing.straight(32).to_dict()
    )
