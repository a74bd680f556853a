"""Telling files apart by content, and the names that DataParallel writes."""

from __future__ import annotations

import io
import subprocess
import sys
import tarfile
import zipfile
from pathlib import Path

import numpy as np
import pytest

from gradcli import checkpoints
from gradcli.checkpoints import load_checkpoint, save_safetensors
from gradcli.errors import WeightsError


def tar_bytes() -> bytes:
    buffer = io.BytesIO()
    with tarfile.open(fileobj=buffer, mode="w", format=tarfile.PAX_FORMAT) as archive:
        for name in ("sys_info", "pickle", "tensors", "storages"):
            archive.addfile(tarfile.TarInfo(name), io.BytesIO())
    return buffer.getvalue()


def npz_bytes() -> bytes:
    buffer = io.BytesIO()
    np.savez(buffer, weight=np.zeros(3))
    return buffer.getvalue()


def empty_zip_bytes() -> bytes:
    buffer = io.BytesIO()
    zipfile.ZipFile(buffer, "w").close()
    return buffer.getvalue()


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (b"", "is empty"),
        (b"<!DOCTYPE html><html>404</html>", "is a web page"),
        (b"\n\n  <HTML lang='en'>", "is a web page"),
        (b"\xef\xbb\xbf<?xml version='1.0'?>", "is a web page"),
        (b"version https://git-lfs.github.com/spec/v1\noid sha256:0\n", "Git LFS pointer"),
        (tar_bytes(), "old tar format"),
        (tar_bytes()[:600], "old tar format"),
        (b"\x80\x02\x8a\nl\xfc\x9cF\xf9 j\xa8P\x19.\x80\x02M\xe9\x03.", "legacy format of torch.save"),
        (npz_bytes(), "zip archive with no data.pkl"),
        (empty_zip_bytes(), "zip archive with no data.pkl"),
        (b"\x89PNG\r\n\x1a\n0000", "neither a safetensors file nor a zip file of torch.save"),
        (b"hello", "neither"),
        (bytes(100), "neither"),
    ],
)
def test_other_files_are_named_for_what_they_are(tmp_path: Path, content: bytes, message: str) -> None:
    path = tmp_path / "weights.pth"
    path.write_bytes(content)
    with pytest.raises(WeightsError, match=message) as caught:
        load_checkpoint(path)
    assert str(caught.value).startswith(f"{path}: ")
    assert "\n" not in str(caught.value)


def test_what_is_no_file_is_named(tmp_path: Path) -> None:
    with pytest.raises(WeightsError, match=r"missing\.pth: no such file"):
        load_checkpoint(tmp_path / "missing.pth")
    with pytest.raises(WeightsError, match="is a directory"):
        load_checkpoint(tmp_path)
    with pytest.raises(WeightsError, match="/dev/null: is a device"):
        load_checkpoint("/dev/null")


def test_an_unreadable_file_is_a_weights_error(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = tmp_path / "w.safetensors"
    save_safetensors(path, {"w": np.zeros(1)})

    def denied(*arguments: object, **options: object) -> None:
        raise PermissionError(13, "Permission denied")

    monkeypatch.setattr(Path, "open", denied)
    with pytest.raises(WeightsError, match="cannot be read: Permission denied"):
        load_checkpoint(path)


def test_module_prefix_is_dropped_only_if_every_name_has_it(tmp_path: Path) -> None:
    path = tmp_path / "w.safetensors"
    save_safetensors(path, {"module.a": np.zeros(1, np.float16), "module.module.b": np.ones(1)})
    checkpoint = load_checkpoint(path)
    assert set(checkpoint.tensors) == {"a", "module.b"}
    assert checkpoint.dtypes == {"a": "float16", "module.b": "float64"}
    save_safetensors(path, {"module.a": np.zeros(1), "b": np.ones(1)})
    assert set(load_checkpoint(path).tensors) == {"module.a", "b"}


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
