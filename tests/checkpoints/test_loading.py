"""Telling files apart by content."""

from __future__ import annotations

import io
import os
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from gradcli import checkpoints
from gradcli.checkpoints import load_checkpoint, save_safetensors
from gradcli.errors import WeightsError
from tests.checkpoints.torch_legacy_writer import LegacyStorage, legacy_tensor, write_torch_legacy
from tests.checkpoints.torch_tar_writer import whole_tensor, write_torch_tar

WEIGHT = np.float32([[1.5, -2.0]])


def safetensors_bytes(folder: Path) -> bytes:
    save_safetensors(folder / "w.safetensors", {"weight": WEIGHT})
    return (folder / "w.safetensors").read_bytes()


def index_bytes(folder: Path) -> bytes:
    safetensors_bytes(folder)
    return b'{"metadata": {}, "weight_map": {"weight": "w.safetensors"}}'


def npz_bytes(folder: Path) -> bytes:
    buffer = io.BytesIO()
    np.savez(buffer, weight=WEIGHT)
    return buffer.getvalue()


def legacy_bytes(folder: Path) -> bytes:
    tensor = legacy_tensor(LegacyStorage("0", WEIGHT), 0, (1, 2), (2, 1))
    return write_torch_legacy(folder / "w", {"weight": tensor}).read_bytes()


def tar_bytes(folder: Path) -> bytes:
    return write_torch_tar(folder / "w", {"weight": whole_tensor(WEIGHT)}).read_bytes()


@pytest.mark.parametrize("name", ["weights", "weights.pth", "weights.safetensors", "weights.json", "weights.npz"])
@pytest.mark.parametrize(
    ("write", "container"),
    [
        (safetensors_bytes, "safetensors"),
        (index_bytes, "safetensors-sharded"),
        (npz_bytes, "npz"),
        (legacy_bytes, "torch-legacy"),
        (tar_bytes, "torch-tar"),
    ],
)
def test_the_content_tells_the_container_whatever_the_name(
    tmp_path: Path, write: Callable[[Path], bytes], container: str, name: str
) -> None:
    path = tmp_path / name
    path.write_bytes(write(tmp_path))
    checkpoint = load_checkpoint(str(path))
    assert checkpoint.container == container
    assert checkpoint.path == path
    assert checkpoint.dtypes == {"weight": "float32"}
    np.testing.assert_array_equal(checkpoint.tensors["weight"], WEIGHT)


def test_files_of_torch_save_are_told_by_content(torch_zip: Any, tmp_path: Path) -> None:
    path = torch_zip.write({"weight": torch_zip.whole(WEIGHT)}, name="weights.safetensors")
    assert load_checkpoint(path).container == "torch-zip"


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (b"", "is empty"),
        (b"<!DOCTYPE html><html>404</html>", "is a web page"),
        (b"hello", "is a text file"),
        (b"\x93NUMPY\x01\x00", "is a single NumPy array"),
        (b"\x01\x02\x03\xff\xfe", "neither a safetensors file nor a file of torch.save nor .npz"),
        (bytes(1000), "starts with zeros only"),
    ],
)
def test_other_files_are_named_for_what_they_are(tmp_path: Path, content: bytes, message: str) -> None:
    path = tmp_path / "weights.pth"
    path.write_bytes(content)
    with pytest.raises(WeightsError, match=message) as caught:
        load_checkpoint(path)
    assert str(caught.value).startswith(f"{path}: ")
    assert "\n" not in str(caught.value)


@pytest.mark.skipif(not hasattr(os, "mkfifo"), reason="needs named pipes")
def test_what_is_no_file_is_named(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "pipe")
    for path, message in [
        (tmp_path / "missing.pth", "no such file"),
        (tmp_path, "is a directory"),
        (tmp_path / "pipe", "is a device or a pipe"),
        ("/dev/null", "is a device or a pipe"),
    ]:
        with pytest.raises(WeightsError, match=message) as caught:
            load_checkpoint(path)
        assert str(caught.value).startswith(f"{path}: ")


def test_names_stay_as_they_stand_in_the_file(tmp_path: Path) -> None:
    path = tmp_path / "w.safetensors"
    save_safetensors(path, {"module.a": np.zeros(1, np.float16), "module.module.b": np.ones(1)})
    assert load_checkpoint(path).dtypes == {"module.a": "float16", "module.module.b": "float64"}


def test_random_bytes_are_refused(tmp_path: Path) -> None:
    path = tmp_path / "weights.pth"
    generator = np.random.default_rng(0)
    for _ in range(300):
        path.write_bytes(generator.bytes(int(generator.integers(1, 700))))
        with pytest.raises(WeightsError) as caught:
            load_checkpoint(path)
        assert "\n" not in str(caught.value)


def test_importing_the_package_loads_no_container_library() -> None:
    script = (
        "import sys, gradcli.checkpoints as c; c.load_checkpoint; "
        "print(sorted({'safetensors', 'zipfile', 'pickletools', 'torch', 'PIL'} & set(sys.modules)))"
    )
    result = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, check=True)
    assert result.stdout.strip() == "[]"


def test_a_safetensors_file_is_read_without_loading_the_unpickler(tmp_path: Path) -> None:
    path = tmp_path / "w.safetensors"
    save_safetensors(path, {"w": np.ones(2)})
    program = (
        "import sys; from gradcli.checkpoints import load_checkpoint; load_checkpoint(sys.argv[1]); "
        "print([name for name in sys.modules if name.startswith('gradcli.checkpoints.torch') or name == 'zipfile'])"
    )
    run = subprocess.run([sys.executable, "-c", program, str(path)], capture_output=True, text=True, check=True)
    assert run.stdout == "[]\n"


def test_every_name_of_the_package_is_there_and_no_other() -> None:
    for name in checkpoints.__all__:
        assert getattr(checkpoints, name).__module__.startswith("gradcli.checkpoints.")
    with pytest.raises(AttributeError, match="no attribute 'load_weights'"):
        _ = checkpoints.load_weights
