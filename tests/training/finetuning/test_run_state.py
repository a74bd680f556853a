"""The file of a run's state: every bit comes back, and what is damaged, foreign or too large is refused by name."""

from __future__ import annotations

import dataclasses
import json
import signal
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from gradcli.checkpoints import load_checkpoint, save_safetensors
from gradcli.errors import DataError, RunFolderError
from gradcli.training.finetuning.records import EpochRecord, Tally
from gradcli.training.finetuning.run_state import RunState, load_run_state, save_run_state

ARRAY_FIELDS = ("tensors", "best", "average", "optimizer_arrays")


def example(seed: int = 0, size: int = 4) -> RunState:
    numbers = np.random.default_rng(seed)
    arrays = {"fc.weight": numbers.random((3, size), np.float32), "bn1.num_batches_tracked": np.array(seed, np.int64)}
    record = EpochRecord(
        epoch=1,
        train_loss=0.1 + 0.2,
        train_accuracy=1 / 3,
        val_loss=1e-300,
        val_accuracy=0.0,
        lr=0.1,
        seconds=1.5,
        kernels="fast",
    )
    return RunState(
        epoch=2,
        steps=7,
        tally=Tally(loss=float(numbers.random()), weight=3.0, hits=1, images=3),
        lr=1e-3,
        epoch_seconds=0.25,
        run_seconds=2.5,
        records=[record],
        skipped={"a/broken ü.png": "not an image"},
        options={"data": "photos", "lr": 0.1, "unfreeze": ["layer4.*"], "mode": None},
        started_from="0" * 64,
        data="1" * 128,
        tensors=arrays,
        best={name: array + 1 for name, array in arrays.items()},
        average={"fc.weight": arrays["fc.weight"] / 2},
        average_steps=7,
        optimizer_arrays={"0.momentum_buffer": arrays["fc.weight"].T},
        optimizer_values={"state": {"0": {}}, "param_groups": [{"lr": 0.1, "betas": [0.9, 0.999], "params": [0]}]},
        schedule={"last_epoch": 7, "_last_lr": [0.1 / 3]},
        generator=np.arange(5056, dtype=np.uint8),
    )


def test_every_value_comes_back_to_the_bit(tmp_path: Path) -> None:
    path, state = tmp_path / "checkpoint" / "state.safetensors", example()
    save_run_state(path, state)
    loaded = load_run_state(path)
    assert loaded is not None
    for field in dataclasses.fields(RunState):
        expected, found = getattr(state, field.name), getattr(loaded, field.name)
        if field.name in ARRAY_FIELDS:
            assert list(found) == list(expected)
            for name, array in expected.items():
                assert (found[name].dtype, found[name].shape) == (array.dtype, array.shape)
                assert found[name].tobytes() == array.tobytes()
        elif field.name == "generator":
            np.testing.assert_array_equal(found, expected)
        else:
            assert found == expected
    assert sorted(entry.name for entry in path.parent.iterdir()) == ["state.safetensors"]


def test_without_a_file_there_is_no_state(tmp_path: Path) -> None:
    assert load_run_state(tmp_path / "state.safetensors") is None


def changed(path: Path, **changes: Any) -> None:
    """Write the file's state again with other plain values; None takes one out."""
    checkpoint = load_checkpoint(path)
    plain = {**json.loads(checkpoint.metadata["gradcli.run_state"]), **changes}
    text = json.dumps({name: value for name, value in plain.items() if value is not None})
    save_safetensors(path, checkpoint.tensors, {**checkpoint.metadata, "gradcli.run_state": text})


def test_a_state_in_another_format_is_refused_with_the_version_that_wrote_it(tmp_path: Path) -> None:
    path = tmp_path / "state.safetensors"
    save_run_state(path, example())
    changed(path, format=99, versions={"gradcli": "7.0"})
    with pytest.raises(RunFolderError, match=r"written by gradcli 7\.0 in format 99, but gradcli .* reads format 1"):
        load_run_state(path)


@pytest.mark.parametrize("changes", [{"tally": None}, {"records": [{"epoch": 1}]}, {"versions": None}, {"more": 1}])
def test_a_state_with_other_values_is_refused(changes: dict[str, Any], tmp_path: Path) -> None:
    path = tmp_path / "state.safetensors"
    save_run_state(path, example())
    changed(path, **changes)
    with pytest.raises(RunFolderError, match=r"state\.safetensors: is damaged \(.*\); start the run anew"):
        load_run_state(path)


@pytest.mark.parametrize("damage", ["cut", "text", "weights"])
def test_a_damaged_file_is_refused_by_name(damage: str, tmp_path: Path) -> None:
    path = tmp_path / "state.safetensors"
    save_run_state(path, example())
    if damage == "cut":
        path.write_bytes(path.read_bytes()[:-100])
    elif damage == "text":
        path.write_text("no tensors")
    else:
        save_safetensors(path, {"fc.weight": np.zeros(3, np.float32)})
    with pytest.raises(RunFolderError, match=r"state\.safetensors: is damaged \(.*\); start the run anew"):
        load_run_state(path)


def test_a_full_disk_leaves_the_state_of_before(tmp_path: Path) -> None:
    # No file of this process may grow beyond a limit for a moment, which a write notices as it does a full disk.
    resource = pytest.importorskip("resource")
    path = tmp_path / "state.safetensors"
    save_run_state(path, example(seed=1))
    before = path.read_bytes()
    soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
    handler = signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
    try:
        resource.setrlimit(resource.RLIMIT_FSIZE, (20_000, hard))
        with pytest.raises(DataError, match=r"state\.safetensors: cannot be written: File too large"):
            save_run_state(path, example(seed=2, size=5000))
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))
        signal.signal(signal.SIGXFSZ, handler)
    assert path.read_bytes() == before
    assert [entry.name for entry in tmp_path.iterdir()] == ["state.safetensors"]
    loaded = load_run_state(path)
    assert loaded is not None
    assert loaded.tensors["bn1.num_batches_tracked"] == 1
