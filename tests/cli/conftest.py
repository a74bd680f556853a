"""Fixtures that run the test application and gradcli itself: in process, and as a process of its own."""

from __future__ import annotations

import importlib.util
import json
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from types import ModuleType
from typing import Any

import numpy as np
import pytest
import typer.testing
from labelled_images import write_npz

from gradcli.cli.main import app

PROBE_APP = Path(__file__).with_name("probe_app.py")

Result = subprocess.CompletedProcess[str]


@pytest.fixture(scope="session")
def probe_app() -> ModuleType:
    """The module of the test application."""
    spec = importlib.util.spec_from_file_location("gradcli_probe_app", PROBE_APP)
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    sys.modules[spec.name] = module  # annotations are looked up there
    spec.loader.exec_module(module)
    return module


@pytest.fixture
def invoke(probe_app: ModuleType) -> Callable[..., Any]:
    """Run the test application in process; the result has exit_code, stdout and stderr."""

    def run(*arguments: object, **options: Any) -> Any:
        return typer.testing.CliRunner().invoke(probe_app.app, [str(each) for each in arguments], **options)

    return run


@pytest.fixture
def run_probe() -> Callable[..., Result]:
    """Run the test application as a process."""

    def run(*arguments: object, **options: Any) -> Result:
        command = [sys.executable, str(PROBE_APP), *(str(each) for each in arguments)]
        return subprocess.run(command, capture_output=True, text=True, timeout=60, check=False, **options)

    return run


@pytest.fixture
def start_probe() -> Callable[..., subprocess.Popen[str]]:
    """Start the test application and leave it running."""

    def start(*arguments: object) -> subprocess.Popen[str]:
        command = [sys.executable, str(PROBE_APP), *(str(each) for each in arguments)]
        return subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)

    return start


@pytest.fixture
def gradcli(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Callable[..., Any]:
    """Run gradcli in process, in an empty folder; the result has exit_code, stdout, stdout_bytes and stderr."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.delenv("GRADCLI_WEIGHTS", raising=False)

    def run(*arguments: object, **options: Any) -> Any:
        return typer.testing.CliRunner().invoke(app, [str(each) for each in arguments], **options)

    return run


@pytest.fixture
def gradcli_json(gradcli: Callable[..., Any]) -> Callable[..., Any]:
    """Run gradcli in process with --json and give back the object it wrote."""

    def run(*arguments: object) -> Any:
        result = gradcli(*arguments, "--json")
        assert result.exit_code == 0, result.stderr
        return json.loads(result.stdout)

    return run


@pytest.fixture
def gradcli_process(tmp_path: Path) -> Callable[..., Result]:
    """Run gradcli as a process, in an empty folder."""

    def run(*arguments: object, **options: Any) -> Result:
        command = [sys.executable, "-m", "gradcli", *(str(each) for each in arguments)]
        return subprocess.run(
            command, **{"capture_output": True, "text": True, "timeout": 60, "check": False, "cwd": tmp_path} | options
        )

    return run


@pytest.fixture(scope="session")
def model_file(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Weights of ten classes, with running statistics as a trained network has them."""
    from gradcli.checkpoints import save_safetensors
    from gradcli.models import load_model
    from gradcli.models.loading import state_arrays

    state = dict(state_arrays(load_model("random:1", num_classes=10).model))
    generator = np.random.default_rng(3)
    for name, array in state.items():
        if name.endswith("running_mean"):
            array[...] = generator.normal(0, 0.2, array.shape)
        elif name.endswith("running_var"):
            array[...] = generator.uniform(0.5, 1.5, array.shape)
    path = tmp_path_factory.mktemp("weights") / "ten.safetensors"
    save_safetensors(path, state)
    return path


@pytest.fixture(scope="session")
def overflowing_file(model_file: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The same weights with a head that is too large: scores, loss and gradients are not finite."""
    from gradcli.checkpoints import load_checkpoint, save_safetensors

    tensors = load_checkpoint(model_file).tensors
    head = tensors["fc.weight"].astype(np.float64)
    tensors["fc.weight"] = (head * 3e38 / np.abs(head).max()).astype(np.float32)
    path = tmp_path_factory.mktemp("weights") / "overflowing.safetensors"
    save_safetensors(path, tensors)
    return path


@pytest.fixture(scope="session")
def batch_file(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A batch of two images of 40x40, float32."""
    path = tmp_path_factory.mktemp("input") / "batch.npy"
    np.save(path, np.random.default_rng(5).normal(size=(2, 3, 40, 40)).astype(np.float32))
    return path


@pytest.fixture(scope="session")
def images_file(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A data set of 20 images of 32x32 in three classes."""
    return write_npz(tmp_path_factory.mktemp("data") / "bands.npz")
