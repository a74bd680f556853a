"""Fixtures for the workflows: a small pass, and weights of ten classes."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from finetuning_runs import HEAD_ONLY, run_whole
from labelled_images import write_npz
from prefix_features import SMALL_BATCH

from gradcli.models import load_model
from gradcli.training import feature_cache
from gradcli.training.finetuning.settings import FinetuneSettings
from gradcli.training.optimizers import SGDSettings
from gradcli.training.passes import Pass, PassSettings, prepare
from gradcli.training.saving import save_model


@pytest.fixture(scope="session")
def model_file(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Random weights of ten classes."""
    path = tmp_path_factory.mktemp("weights") / "ten.safetensors"
    save_model(path, load_model("random:1", num_classes=10))
    return path


@pytest.fixture
def prepared(model_file: Path) -> Callable[..., Pass]:
    """Prepare a pass over two random images of 32x32."""

    def prepare_pass(**settings: Any) -> Pass:
        return prepare(PassSettings(**({"weights": str(model_file), "shape": (2, 3, 32, 32)} | settings)))

    return prepare_pass


@pytest.fixture(scope="session")
def images_file(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A data set of 20 images of 32x32 in three classes."""
    return write_npz(tmp_path_factory.mktemp("data") / "bands.npz")


@pytest.fixture(scope="session")
def settings(model_file: Path, images_file: Path) -> FinetuneSettings:
    """A new head on these images: 16 to train with, in 4 batches an epoch, and 4 to validate."""
    return FinetuneSettings(
        data=str(images_file),
        weights=str(model_file),
        epochs=3,
        batch_size=4,
        freeze=HEAD_ONLY,
        optimizer=SGDSettings(lr=0.05),
    )


@pytest.fixture(scope="session")
def whole_run(settings: FinetuneSettings, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The folder of a finished run of these settings, to read and to compare with."""
    path = tmp_path_factory.mktemp("runs") / "whole"
    run_whole(settings, path)
    return path


@pytest.fixture
def state_bytes() -> Callable[[Any], dict[str, bytes]]:
    """A function that gives the bytes of every parameter and buffer of a model."""

    def bytes_by_name(model: Any) -> dict[str, bytes]:
        return {name: tensor.array.tobytes() for name, tensor in model.state_dict().items()}

    return bytes_by_name


@pytest.fixture
def small_feature_batches(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """An empty cache in `home`, and features computed in small batches, so that few images are several."""
    monkeypatch.setenv("GRADCLI_HOME", str(tmp_path / "home"))
    monkeypatch.setattr(feature_cache, "_BATCH_SIZES", range(SMALL_BATCH, SMALL_BATCH + 1))
