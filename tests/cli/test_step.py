"""`gradcli step`: the update against NumPy, what is saved, frozen layers byte by byte, divergence."""

from __future__ import annotations

import json
import signal
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image
from safetensors import safe_open
from safetensors.numpy import load_file

from gradcli.models import load_model
from gradcli.models.loading import state_arrays

Run = Callable[..., Any]
STATISTICS = ("running_mean", "running_var", "num_batches_tracked")


def frozen_names(path: str | Path) -> list[str]:
    with safe_open(path, framework="np") as file:
        names: list[str] = json.loads(file.metadata()["gradcli.frozen"])
    return names


def test_the_tutorials_step(gradcli: Run) -> None:
    result = gradcli("step", "--json")
    record = json.loads(result.stdout)
    assert result.exit_code == 0
    assert result.stderr == ""
    assert list(record) == [
        "schema",
        "step",
        "loss",
        "grad_norm",
        "update_norm",
        "trainable",
        "frozen",
        "seconds",
        "weights",
        "mode",
        "frozen_batch_norms",
        "kernels",
    ]
    assert (record["schema"], record["step"], record["weights"], record["mode"]) == (
        "gradcli.step/1",
        1,
        "emoji1k",
        "train",
    )
    assert (record["trainable"], record["frozen"]) == (11_689_512, 0)
    # The first step with momentum is plain: lr times the gradient.
    assert record["update_norm"] == pytest.approx(1e-2 * record["grad_norm"], rel=1e-4)


def test_the_same_seed_gives_the_same_bytes_and_another_one_does_not(gradcli: Run) -> None:
    for name, seed in (("a", 5), ("b", 5), ("c", 6)):
        assert gradcli("step", "--seed", seed, "--save", f"{name}.safetensors").exit_code == 0
    a, b, c = (Path(f"{name}.safetensors").read_bytes() for name in "abc")
    assert a == b
    assert a != c


@pytest.mark.parametrize(
    "options",
    [
        {},
        {"momentum": 0.0},
        {"weight-decay": 0.1},
        {"dampening": 0.5},
        {"nesterov": True, "weight-decay": 0.01},
    ],
    ids=str,
)
def test_two_steps_are_sgds_formula(options: dict[str, Any], gradcli: Run, model_file: Path, batch_file: Path) -> None:
    # With sum-difference and a frozen backbone the gradient of the head depends on no parameter that moves.
    settings: dict[str, Any] = {"momentum": 0.9, "weight-decay": 0.0, "dampening": 0.0, "nesterov": False} | options
    common = ("-w", model_file, "-i", batch_file, "--freeze-backbone")
    assert gradcli("grads", *common, "-o", "grads.npz").exit_code == 0
    words = [
        word for name, value in options.items() for word in ([f"--{name}"] if value is True else [f"--{name}", value])
    ]
    result = gradcli("step", *common, "--lr", 0.05, *words, "--steps", 2, "--save", "after.safetensors", "--json")
    assert result.exit_code == 0, result.stderr
    records = [json.loads(line) for line in result.stdout.splitlines()]
    before, after = load_file(model_file), load_file("after.safetensors")
    with np.load("grads.npz") as file:
        gradients = dict(file)
    assert [record["step"] for record in records] == [1, 2]
    moved = 0.0
    for name in ("fc.weight", "fc.bias"):
        value = before[name].astype(np.float64)
        buffer = None
        for step in (1, 2):
            gradient = gradients[name] + settings["weight-decay"] * value
            if buffer is None:
                buffer = gradient
            else:
                buffer = settings["momentum"] * buffer + (1 - settings["dampening"]) * gradient
            direction = gradient + settings["momentum"] * buffer if settings["nesterov"] else buffer
            value = value - 0.05 * direction
            if step == 2:
                moved += float(((0.05 * direction) ** 2).sum())
        np.testing.assert_allclose(after[name], value, rtol=1e-4, atol=1e-5)
    assert records[1]["update_norm"] == pytest.approx(np.sqrt(moved), rel=1e-4)


@pytest.mark.parametrize("arguments", [["--freeze-backbone"], ["--freeze", "*", "--unfreeze", "fc.*"]], ids=" ".join)
def test_a_frozen_backbone_does_not_change_by_a_byte(
    arguments: list[str], gradcli: Run, model_file: Path, batch_file: Path
) -> None:
    common = ("-w", model_file, "-i", batch_file, "--weight-decay", 0.1, "--steps", 2)
    result = gradcli("step", *common, *arguments, "--save", "after.safetensors", "--json")
    record = json.loads(result.stdout.splitlines()[0])
    assert (record["trainable"], record["frozen"]) == (5130, 11_181_642 - 5130)
    before, after = load_file(model_file), load_file("after.safetensors")
    assert list(before) == list(after)
    changed = {name for name in before if before[name].tobytes() != after[name].tobytes()}
    assert changed == {"fc.weight", "fc.bias"}
    assert len(frozen_names("after.safetensors")) == 60


def test_train_mode_moves_the_statistics_of_a_frozen_backbone_and_says_so(
    gradcli: Run, model_file: Path, batch_file: Path
) -> None:
    arguments = ("-w", model_file, "-i", batch_file, "--freeze-backbone", "--mode", "train")
    result = gradcli("step", *arguments, "--save", "after.safetensors")
    assert result.stderr.splitlines() == [
        "running statistics of 20 frozen batch norms move in train mode, as in PyTorch",
        f"weights {model_file}, train mode, exact kernels",
    ]
    before, after = load_file(model_file), load_file("after.safetensors")
    changed = {name for name in before if before[name].tobytes() != after[name].tobytes()}
    assert changed == {"fc.weight", "fc.bias"} | {name for name in before if name.endswith(STATISTICS)}
    assert int(after["bn1.num_batches_tracked"]) == int(before["bn1.num_batches_tracked"]) + 1


def test_eval_mode_trains_without_moving_statistics(gradcli: Run, model_file: Path, batch_file: Path) -> None:
    gradcli("step", "-w", model_file, "-i", batch_file, "--mode", "eval", "--save", "after.safetensors")
    before, after = load_file(model_file), load_file("after.safetensors")
    unchanged = {name for name in before if before[name].tobytes() == after[name].tobytes()}
    assert unchanged == {name for name in before if name.endswith(STATISTICS)}


def test_frozen_names_in_a_file_are_honoured_and_can_be_lifted(gradcli: Run, model_file: Path) -> None:
    gradcli("freeze", "layer4.*", "-w", model_file, "--save", "frozen.safetensors")
    common = ("step", "-w", "frozen.safetensors", "--shape", "2,3,32,32", "--json")
    record = json.loads(gradcli(*common).stdout)
    assert record["frozen"] == sum(array.size for name, array in parameters(model_file) if name.startswith("layer4."))
    assert json.loads(gradcli(*common, "--unfreeze", "*").stdout)["frozen"] == 0


def parameters(path: Path) -> list[tuple[str, np.ndarray[Any, Any]]]:
    return [(name, array) for name, array in load_file(path).items() if not name.endswith(STATISTICS)]


def test_rules_apply_in_the_order_given(gradcli_json: Run) -> None:
    freeze_last = gradcli_json("step", "--shape", "2,3,32,32", "--unfreeze", "layer1.*", "--freeze", "layer1.0.*")
    unfreeze_last = gradcli_json("step", "--shape", "2,3,32,32", "--freeze", "layer1.0.*", "--unfreeze", "layer1.*")
    assert (freeze_last["frozen"], unfreeze_last["frozen"]) == (2 * (36_864 + 128), 0)


def test_saving_over_the_source_keeps_foreign_metadata(gradcli: Run, model_file: Path) -> None:
    from gradcli.checkpoints import save_safetensors

    save_safetensors("mine.safetensors", state_arrays(load_model(model_file).model), {"author": "somebody"})
    assert gradcli("step", "-w", "mine.safetensors", "--save", "mine.safetensors").exit_code == 0
    with safe_open("mine.safetensors", framework="np") as file:
        metadata = file.metadata()
    assert (metadata["author"], metadata["gradcli.frozen"]) == ("somebody", "[]")
    assert [path.name for path in Path().iterdir()] == ["mine.safetensors"]


def test_a_photo_with_a_label(gradcli: Run) -> None:
    exif = Image.Exif()
    exif[0x0112] = 8
    pixels = np.random.default_rng(0).integers(0, 255, (90, 120, 3), dtype=np.uint8)
    Image.fromarray(pixels).save("PHOTO.JPG", exif=exif)
    result = gradcli("step", "-i", "PHOTO.JPG", "-t", 207, "--loss", "cross-entropy", "--freeze-backbone", "--json")
    assert result.exit_code == 0, result.stderr
    assert json.loads(result.stdout)["loss"] > 0


def test_formats_agree(gradcli: Run, model_file: Path, batch_file: Path) -> None:
    common = ("step", "-w", model_file, "-i", batch_file, "--steps", 2, "--freeze-backbone")
    fields = ("step", "loss", "grad_norm", "update_norm", "trainable", "frozen")
    lines = [json.loads(line) for line in gradcli(*common, "--format", "jsonl").stdout.splitlines()]
    gradcli(*common, "-o", "steps.csv")
    for text, separator in ((gradcli(*common).stdout, "\t"), (Path("steps.csv").read_text(), ",")):
        heading, *rows = [line.split(separator) for line in text.splitlines()]
        assert heading == [*fields, "seconds"]
        assert [row[:6] for row in rows] == [[repr(line[field]) for field in fields] for line in lines]


@pytest.mark.parametrize("loss", ["sum-difference", "cross-entropy"])
def test_an_overflowing_loss_ends_with_5_and_leaves_nothing(
    loss: str, gradcli: Run, overflowing_file: Path, batch_file: Path
) -> None:
    result = gradcli("step", "-w", overflowing_file, "-i", batch_file, "--loss", loss, "--save", "out.safetensors")
    assert result.exit_code == 5
    assert result.stderr.startswith("gradcli step: error: the loss is ")
    assert result.stderr.count("\n") == 1
    assert list(Path().iterdir()) == []


def test_divergence_at_a_later_step_keeps_the_records_before(gradcli: Run, model_file: Path, batch_file: Path) -> None:
    arguments = ("-w", model_file, "-i", batch_file, "--lr", "1e30", "--steps", 3, "--json")
    result = gradcli("step", *arguments, "--save", "out.safetensors")
    assert result.exit_code == 5
    assert [json.loads(line)["step"] for line in result.stdout.splitlines()] == [1]
    assert result.stderr.endswith("in step 2; try a smaller --lr than 1e+30\n")
    assert list(Path().iterdir()) == []


def test_an_update_that_overflows_ends_with_5(gradcli: Run, model_file: Path, batch_file: Path) -> None:
    arguments = ("-w", model_file, "-i", batch_file, "--lr", "1e39", "--save", "out.safetensors")
    result = gradcli("step", *arguments)
    assert result.exit_code == 5
    assert result.stderr == ("gradcli step: error: the update of step 1 is not finite; try a smaller --lr than 1e+39\n")
    assert list(Path().iterdir()) == []


@pytest.mark.parametrize("signal_number", [signal.SIGINT, signal.SIGTERM, signal.SIGHUP])
def test_a_signal_ends_the_steps_and_saves_the_weights(signal_number: int, model_file: Path, tmp_path: Path) -> None:
    command = [sys.executable, "-m", "gradcli", "step", "-w", str(model_file), "--freeze-backbone", "--shape"]
    process = subprocess.Popen(
        [*command, "2,3,32,32", "--lr", "1e-9", "--steps", "1000000", "--json", "--save", "out.safetensors"],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        cwd=tmp_path,
    )
    assert process.stdout is not None
    assert process.stdout.readline().startswith('{"schema": "gradcli.step/1", "step": 1,')
    process.send_signal(signal_number)
    assert process.communicate(timeout=60)[1] == "stopping after this batch; Ctrl-C stops at once\n"
    assert process.returncode == 143
    assert [path.name for path in tmp_path.iterdir()] == ["out.safetensors"]
    assert load_model(tmp_path / "out.safetensors").weights.endswith("out.safetensors")
