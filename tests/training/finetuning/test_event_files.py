"""TensorBoard's event files: what a run writes is what TensorBoard would read."""

from __future__ import annotations

import importlib.util
import struct
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest
from labelled_images import write_npz

from gradcli.errors import UsageError
from gradcli.training.finetuning.event_files import EventFile

tensorboard = pytest.mark.skipif(importlib.util.find_spec("tensorboardX") is None, reason="needs tensorboardX")


def records_of(path: Path) -> Iterator[bytes]:
    """The records of a TFRecord file: length, its checksum, content, its checksum."""
    content = path.read_bytes()
    while content:
        (length,) = struct.unpack("<Q", content[:8])
        yield content[12 : 12 + length]
        content = content[16 + length :]


def scalars(path: Path) -> dict[tuple[str, int], float]:
    """Values by curve and epoch."""
    from tensorboardX.proto.event_pb2 import Event

    events = [Event.FromString(record) for record in records_of(path)]
    return {(value.tag, event.step): value.simple_value for event in events for value in event.summary.value}


@tensorboard
def test_a_run_writes_its_curves(tmp_path: Path, model_file: Path) -> None:
    data = write_npz(tmp_path / "bands.npz")
    words = ["finetune", str(data), "-w", str(model_file), "--freeze-backbone", "--epochs", "2", "--tensorboard"]
    # In a process of its own: where PyTorch is installed, tensorboardX imports it.
    command = [sys.executable, "-m", "gradcli", *words, "--run", "run", "--json", "-q"]
    finished = subprocess.run(command, cwd=tmp_path, capture_output=True, text=True, check=False)
    assert (finished.returncode, finished.stderr) == (0, "")
    (path,) = (tmp_path / "run").glob("events.out.tfevents.*")
    values = scalars(path)
    assert sorted(values) == sorted(
        (name, epoch)
        for name in ("loss/train", "loss/validation", "accuracy/train", "accuracy/validation", "learning_rate")
        for epoch in (1, 2)
    )
    assert values["learning_rate", 2] == pytest.approx(0.01)
    assert "tensorboard = true" in (tmp_path / "run" / "config.toml").read_text()


def test_without_the_package_it_says_what_to_install(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(importlib.util, "find_spec", lambda name: None)
    with pytest.raises(UsageError, match=r"--tensorboard: needs the package tensorboardX; pip install 'gradcli\["):
        EventFile(tmp_path)
