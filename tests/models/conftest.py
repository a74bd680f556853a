"""Weights files for the tests of models, each written once."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from gradcli.checkpoints import save_safetensors
from gradcli.models.loading import state_arrays
from gradcli.models.resnet import build_resnet18
from gradcli.models.weights_metadata import metadata_entries
from gradcli.ops.random import fork_default_generator


@pytest.fixture(autouse=True)
def _empty_caches(monkeypatch: pytest.MonkeyPatch, tmp_path_factory: pytest.TempPathFactory) -> None:
    """Give each test caches of its own that hold nothing."""
    for variable in ("GRADCLI_HOME", "TORCH_HOME"):
        monkeypatch.setenv(variable, str(tmp_path_factory.mktemp(variable.lower())))


@pytest.fixture(scope="session")
def ten_class_state() -> dict[str, np.ndarray]:
    """The state of a ResNet-18 with ten classes, random weights and batch norms that have seen batches."""
    with fork_default_generator(5):
        state = state_arrays(build_resnet18(10))
    generator = np.random.default_rng(5)
    for name, values in state.items():
        if name.endswith(("running_mean", "running_var")):
            values[...] = generator.uniform(0.5, 1.5, values.shape)
        elif name.endswith("num_batches_tracked"):
            values[...] = 17
    return state


@pytest.fixture(scope="session")
def thousand_class_state() -> dict[str, np.ndarray]:
    """The state of a ResNet-18 with ImageNet's number of classes and random weights."""
    with fork_default_generator(6):
        return state_arrays(build_resnet18())


@pytest.fixture(scope="session")
def ten_class_file(ten_class_state: dict[str, np.ndarray], tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A safetensors file of that state, with everything gradcli puts into the metadata."""
    path = tmp_path_factory.mktemp("run") / "model.safetensors"
    metadata = metadata_entries(
        frozen=["conv1.weight", "fc.bias"],
        classes=[f"digit {index}" for index in range(10)],
        preprocessing={"size": [32, 32]},
    )
    save_safetensors(path, ten_class_state, {**metadata, "author": "somebody"})
    return path
