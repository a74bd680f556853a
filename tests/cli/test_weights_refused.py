"""Files that are no weights, or no longer: one line, exit code 4, nothing on standard output, nothing left behind."""

from __future__ import annotations

import json
import os
import struct
import subprocess
import sys
import tempfile
import zipfile
from collections.abc import Callable
from io import BytesIO
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from safetensors.numpy import save as safetensors_bytes

from tests.checkpoints.torch_legacy_writer import legacy_bytes
from tests.checkpoints.torch_pickler import TorchCall, TorchName, torch_pickle
from tests.checkpoints.torch_tar_writer import tar_members, write_tar
from tests.checkpoints.torch_zip_writer import TorchZip

Result = subprocess.CompletedProcess[str]
Run = Callable[..., Any]

FIXTURES = Path(__file__).parents[1] / "checkpoints" / "fixtures"


def arrays() -> dict[str, np.ndarray[Any, Any]]:
    return {"fc.weight": np.arange(600, dtype=np.float32).reshape(10, 60), "fc.bias": np.ones(10, np.float32)}


def npz_bytes() -> bytes:
    buffer = BytesIO()
    np.savez(buffer, **arrays())
    return buffer.getvalue()


def zip_bytes(pickle: bytes) -> bytes:
    """A zip file of torch.save that holds this pickle."""
    with tempfile.TemporaryDirectory() as folder:
        return TorchZip(Path(folder)).write(pickle).read_bytes()


def tar_bytes(pickle: bytes) -> bytes:
    """A tar file of torch.save as PyTorch 0.1 wrote it, that holds this pickle."""
    with tempfile.TemporaryDirectory() as folder:
        return write_tar(Path(folder) / "w.pth", {**tar_members({}), "pickle": pickle}).read_bytes()


def call(module: str, name: str) -> TorchCall:
    """What pickles as a call of a function with the text `touch HARMED`."""
    return TorchCall(TorchName(module, name), ("touch HARMED",))


def calling(module: str, name: str) -> bytes:
    """The pickle of such a call alone."""
    return torch_pickle(call(module, name))


def resnet34_names() -> dict[str, np.ndarray[Any, Any]]:
    """The names of a ResNet-34, with its shapes."""
    entries: dict[str, tuple[int, ...]] = {"conv1.weight": (64, 3, 7, 7)}
    norms = {"bn1": 64}
    channels = 64
    for layer, (blocks, width) in enumerate(zip((3, 4, 6, 3), (64, 128, 256, 512), strict=True), start=1):
        for block in range(blocks):
            prefix = f"layer{layer}.{block}"
            before = channels if block == 0 else width
            entries |= {f"{prefix}.conv1.weight": (width, before, 3, 3), f"{prefix}.conv2.weight": (width, width, 3, 3)}
            norms |= {f"{prefix}.bn1": width, f"{prefix}.bn2": width}
            if block == 0 and before != width:
                entries[f"{prefix}.downsample.0.weight"] = (width, before, 1, 1)
                norms[f"{prefix}.downsample.1"] = width
        channels = width
    for name, width in norms.items():
        entries |= {f"{name}.{each}": (width,) for each in ("weight", "bias", "running_mean", "running_var")}
    entries |= {"fc.weight": (1000, 512), "fc.bias": (1000,)}
    return {name: np.zeros(shape, np.float16) for name, shape in entries.items()}


def safetensors_with_header(header: dict[str, Any], data: bytes = b"") -> bytes:
    text = json.dumps(header).encode()
    return struct.pack("<Q", len(text)) + text + data


def entry(start: int, end: int) -> dict[str, Any]:
    return {"dtype": "F32", "shape": [(end - start) // 4], "data_offsets": [start, end]}


# The name of the file, what is in it, and what the line says of it.
CASES: list[tuple[str, Callable[[], bytes], str]] = [
    ("empty.pth", lambda: b"", "is empty"),
    ("text.pth", lambda: b"this is no checkpoint\n" * 40, "text.pth: "),
    ("page.pth", lambda: b"<!DOCTYPE html>\n<html><title>404</title></html>", "HTML"),
    ("answer.safetensors", lambda: b'{"error": "Repository not found"}', "answer.safetensors: "),
    ("pointer.safetensors", lambda: b"version https://git-lfs.github.com/spec/v1\noid sha256:0\nsize 5\n", "Git LFS"),
    ("cut.safetensors", lambda: safetensors_bytes(arrays())[:-100], "cut short after"),
    ("cut.npz", lambda: npz_bytes()[:-300], "cut short"),
    ("cut-zip.pth", lambda: (FIXTURES / "torch_zip.pth").read_bytes()[:3000], "cut short after 3,000"),
    ("cut-legacy.pth", lambda: (FIXTURES / "torch_legacy.pth").read_bytes()[:-50], "cut short after"),
    ("cut-tar.pth", lambda: tar_bytes(b"\x80\x02}.")[:3100], "cut short after"),
    ("huge.safetensors", lambda: struct.pack("<Q", 2**60) + b"{}", "huge.safetensors: "),
    (
        "beyond.safetensors",
        lambda: safetensors_with_header({"a": entry(0, 8000)}, bytes(8)),
        "cut short after",
    ),
    (
        "overlap.safetensors",
        lambda: safetensors_with_header({"a": entry(0, 16), "b": entry(8, 24)}, bytes(24)),
        "overlap.safetensors: ",
    ),
    ("system.pth", lambda: zip_bytes(calling("os", "system")), "os.system"),
    ("posix.pth", lambda: zip_bytes(calling("posix", "system")), "posix.system"),
    ("eval.pth", lambda: zip_bytes(calling("builtins", "eval")), "builtins.eval"),
    ("load.pth", lambda: zip_bytes(calling("numpy", "load")), "numpy.load"),
    ("torch.pth", lambda: zip_bytes(calling("torch", "load")), "torch.load"),
    ("bomb.pth", lambda: zip_bytes(billion_laughs()), "refused"),
    ("bomb.npz", lambda: bomb_npz_bytes(), "bytes of memory"),
    ("twice.safetensors", lambda: twice_named_safetensors(), "occurs twice"),
    ("legacy-system.pth", lambda: legacy_bytes(call("os", "system")), "os.system"),
    ("tar-system.pth", lambda: tar_bytes(calling("os", "system")), "os.system"),
    ("bare.pth", lambda: calling("os", "system"), "bare.pth: "),
    ("object.npz", lambda: object_npz_bytes(), "object.npz: "),
]


def billion_laughs() -> bytes:
    """A list of a list of a list, each ten times the one inside."""
    value: list[Any] = [0]
    for _ in range(9):
        value = [value] * 10
    return torch_pickle(value)


def bomb_npz_bytes() -> bytes:
    """A file of 300 kB that would inflate to as many megabytes."""
    buffer = BytesIO()
    with zipfile.ZipFile(buffer, "w", zipfile.ZIP_DEFLATED) as archive:
        archive.writestr("w.npy", bytes(300_000_000))
    return buffer.getvalue()


def twice_named_safetensors() -> bytes:
    text = b'{"a":%s,"a":%s}' % (json.dumps(entry(0, 8)).encode(), json.dumps(entry(0, 8)).encode())
    return struct.pack("<Q", len(text)) + text + bytes(8)


def object_npz_bytes() -> bytes:
    """What NumPy writes for an array of Python objects: a pickle."""
    buffer = BytesIO()
    np.savez(buffer, anything=np.array([{}], dtype=object))
    return buffer.getvalue()


def assert_refused(result: Result, command: str, message: str) -> None:
    assert (result.returncode, result.stdout) == (4, ""), result.stderr
    assert result.stderr.startswith(f"gradcli {command}: error: ")
    assert result.stderr.count("\n") == 1, result.stderr
    assert message in result.stderr


@pytest.mark.parametrize(("name", "content", "message"), CASES, ids=[case[0] for case in CASES])
def test_a_file_that_is_no_weights(
    name: str, content: Callable[[], bytes], message: str, gradcli: Run, tmp_path: Path
) -> None:
    (tmp_path / name).write_bytes(content())
    for command, arguments in (
        ("weights inspect", [name]),
        ("weights convert", [name, "converted.safetensors"]),
        ("freeze", ["-w", name]),
    ):
        result = gradcli(*command.split(), *arguments)
        assert (result.exit_code, result.stdout) == (4, ""), (command, result.stderr)
        assert result.stderr.startswith(f"gradcli {command}: error: ")
        assert result.stderr.count("\n") == 1
        assert message in result.stderr, command
    assert [path.name for path in tmp_path.iterdir()] == [name]


def test_a_refused_pickle_harms_nobody(gradcli_process: Callable[..., Result], tmp_path: Path) -> None:
    (tmp_path / "system.pth").write_bytes(zip_bytes(calling("os", "system")))
    assert_refused(gradcli_process("weights", "inspect", "system.pth"), "weights inspect", "os.system")
    assert [path.name for path in tmp_path.iterdir()] == ["system.pth"]


def test_a_folder_and_a_missing_file(gradcli_process: Callable[..., Result], tmp_path: Path) -> None:
    (tmp_path / "folder.pth").mkdir()
    assert_refused(gradcli_process("weights", "inspect", "folder.pth"), "weights inspect", "folder.pth: ")
    assert_refused(gradcli_process("weights", "inspect", "none.pth"), "weights inspect", "none.pth: no such file")


@pytest.mark.skipif(not hasattr(os, "mkfifo"), reason="needs named pipes")
def test_a_named_pipe_is_not_waited_for(gradcli_process: Callable[..., Result], tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "pipe.pth")
    for command in ("inspect", "verify"):
        assert_refused(
            gradcli_process("weights", command, "pipe.pth"), f"weights {command}", "pipe.pth: is a device or"
        )


@pytest.mark.skipif(not Path("/proc/self/mem").exists(), reason="needs a file that even root can't read")
def test_a_file_that_may_not_be_read(gradcli_process: Callable[..., Result], tmp_path: Path) -> None:
    path = tmp_path / "secret.pth"
    path.write_bytes(b"anything")
    path.chmod(0)
    if os.access(path, os.R_OK):  # root reads everything, except what the system refuses to read at all
        path = Path("/proc/self/mem")
    result = gradcli_process("weights", "inspect", path)
    assert_refused(result, "weights inspect", f"{path}: ")


def test_a_resnet34_is_inspected_and_refused_by_name(gradcli: Run, gradcli_json: Run) -> None:
    Path("resnet34.safetensors").write_bytes(safetensors_bytes(resnet34_names()))
    document = gradcli_json("weights", "inspect", "resnet34.safetensors")
    assert (document["naming"], document["architecture"], document["classes"]) == ("torchvision", "resnet34", 1000)
    result = gradcli("step", "-w", "resnet34.safetensors")
    assert (result.exit_code, result.stdout) == (4, "")
    assert "resnet34.safetensors: is a ResNet-34" in result.stderr
    assert result.stderr.count("\n") == 1


LIMITED = """
import resource, runpy, signal, sys
signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
resource.setrlimit(resource.RLIMIT_FSIZE, (1_000_000, 1_000_000))
sys.argv[0] = "gradcli"
runpy.run_module("gradcli", run_name="__main__")
"""


@pytest.mark.skipif(sys.platform != "linux", reason="needs limits on file sizes")
def test_a_full_disk_while_converting_leaves_nothing(
    gradcli_process: Callable[..., Result], model_file: Path, tmp_path: Path
) -> None:
    command = [sys.executable, "-c", LIMITED, "weights", "convert", str(model_file), "converted.safetensors"]
    result = subprocess.run(command, capture_output=True, text=True, timeout=60, check=False, cwd=tmp_path)
    assert (result.returncode, result.stdout) == (3, ""), result.stderr
    assert result.stderr.startswith("gradcli weights convert: error: converted.safetensors: cannot be written: ")
    assert result.stderr.count("\n") == 1
    assert not list(tmp_path.iterdir())
