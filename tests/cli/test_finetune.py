"""`gradcli finetune`: the run folder, repeating a run, frozen backbones, failures, signals."""

from __future__ import annotations

import json
import signal
import subprocess
import sys
import tomllib
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from labelled_images import write_folder
from safetensors import safe_open
from safetensors.numpy import load_file

import gradcli as gradcli_package

Run = Callable[..., Any]
RUN_FILES = ["checkpoint", "config.toml", "last.safetensors", "metrics.jsonl", "model.safetensors", "summary.json"]
FIELDS = ["epoch", "train_loss", "train_accuracy", "val_loss", "val_accuracy", "lr", "seconds", "kernels"]


def metadata(path: Path) -> dict[str, str]:
    with safe_open(path, framework="np") as file:
        entries: dict[str, str] = file.metadata()
    return entries


def without_seconds(records: list[dict[str, Any]]) -> list[dict[str, Any]]:
    return [{key: value for key, value in record.items() if key not in ("seconds", "schema")} for record in records]


def metrics(folder: str) -> list[dict[str, Any]]:
    return [json.loads(line) for line in (Path(folder) / "metrics.jsonl").read_text().splitlines()]


def test_a_run_learns_and_its_folder_repeats_it_bit_for_bit(
    gradcli: Run, gradcli_json: Run, model_file: Path, images_file: Path
) -> None:
    arguments = ("-w", model_file, "--freeze-backbone", "--epochs", 3, "--lr", 0.05, "-b", 6, "--seed", 4)
    result = gradcli("finetune", images_file, *arguments, "--run", "first", "--json")
    assert result.exit_code == 0, result.stderr
    records = [json.loads(line) for line in result.stdout.splitlines()]
    assert [list(record) for record in records] == [["schema", *FIELDS]] * 3
    assert {record["schema"] for record in records} == {"gradcli.finetune/1"}
    assert records[-1]["train_loss"] < records[0]["train_loss"]
    assert records[-1]["val_accuracy"] == 1.0

    folder = Path("first")
    assert sorted(path.name for path in folder.iterdir() if path.name != ".lock") == RUN_FILES
    assert metrics("first") == [{key: record[key] for key in FIELDS} for record in records]
    entries = metadata(folder / "model.safetensors")
    assert json.loads(entries["gradcli.classes"]) == ["0", "1", "2"]
    assert json.loads(entries["gradcli.preprocessing"])["size"] == [32, 32]
    assert len(json.loads(entries["gradcli.frozen"])) == 60
    assert entries["gradcli.kernels"] == tomllib.loads((folder / "config.toml").read_text())["kernels"] == "fast"
    assert entries["gradcli.version"] == gradcli_package.__version__
    before, after = load_file(model_file), load_file(folder / "model.safetensors")
    changed = {name for name in before if before[name].tobytes() != after[name].tobytes()}
    assert changed == {"fc.weight", "fc.bias"}

    assert gradcli("finetune", "--config", folder / "config.toml", "--run", "second").exit_code == 0
    for name in ("config.toml", "model.safetensors"):
        assert (Path("second") / name).read_bytes() == (folder / name).read_bytes()
    assert without_seconds(metrics("second")) == without_seconds(metrics("first"))

    document = gradcli_json("forward", "-w", "first", "--shape", "1,3,40,40", "--top", 3)
    assert (document["weights"], document["shape"]) == ("first", [1, 3])
    assert sorted(entry["name"] for entry in document["classes"]) == ["0", "1", "2"]


def test_training_mode_moves_a_frozen_backbones_statistics_and_says_so(
    gradcli: Run, model_file: Path, images_file: Path
) -> None:
    arguments = ("-w", model_file, "--freeze-backbone", "--mode", "train", "--epochs", 1, "--run", "run")
    result = gradcli("finetune", images_file, *arguments)
    assert "running statistics of 20 frozen batch norms move in train mode, as in PyTorch" in result.stderr
    before, after = load_file(model_file), load_file("run/model.safetensors")
    changed = {name for name in before if before[name].tobytes() != after[name].tobytes()}
    assert {"bn1.running_mean", "layer4.1.bn2.running_var", "bn1.num_batches_tracked"} <= changed
    assert "layer4.1.bn2.weight" not in changed


def test_everything_trains_without_freeze_options(gradcli: Run, model_file: Path, images_file: Path) -> None:
    result = gradcli("finetune", images_file, "-w", model_file, "--epochs", 1, "-b", 8, "--run", "run")
    assert result.exit_code == 0, result.stderr
    assert "11,178,051 of 11,178,051 parameters train" in result.stderr
    before, after = load_file(model_file), load_file("run/model.safetensors")
    assert all(before[name].tobytes() != after[name].tobytes() for name in before)


def test_a_folder_of_classes_names_them_in_the_weights(gradcli: Run, gradcli_json: Run, model_file: Path) -> None:
    data = write_folder(Path("photos"))
    arguments = ("-w", model_file, "--freeze-backbone", "--epochs", 1, "--image-size", 40, "--run", "run", "-q")
    assert gradcli("finetune", data, *arguments).exit_code == 0
    entries = metadata(Path("run/model.safetensors"))
    assert json.loads(entries["gradcli.classes"]) == ["class0", "class1", "class2"]
    assert json.loads(entries["gradcli.preprocessing"])["size"] == [40, 40]
    document = gradcli_json("forward", "-w", "run", "-i", "photos/class1", "--mode", "eval", "--top", 1)
    assert {entry["name"] for entry in document["classes"]} <= {"class0", "class1", "class2"}
    # The run's own preprocessing counts when it is trained on, and a head that fits is kept.
    again = gradcli("finetune", data, "-w", "run", "--freeze-backbone", "--epochs", 1, "--run", "again")
    assert "40x40, 3 classes; weights run" in again.stderr


def test_a_larger_head_than_the_data_needs(gradcli: Run, model_file: Path, images_file: Path) -> None:
    arguments = ("-w", model_file, "--freeze-backbone", "--epochs", 1, "--num-classes", 5, "--run", "run")
    assert gradcli("finetune", images_file, *arguments).exit_code == 0
    assert load_file("run/model.safetensors")["fc.weight"].shape == (5, 512)
    assert tomllib.loads(Path("run/config.toml").read_text())["num-classes"] == 5


def test_freeze_rules_that_alternate_are_repeated_by_the_config(
    gradcli: Run, model_file: Path, images_file: Path
) -> None:
    rules = ("--freeze", "*", "--unfreeze", "fc.*", "--freeze", "fc.weight")
    first = gradcli("finetune", images_file, "-w", model_file, *rules, "--epochs", 1, "--run", "first")
    assert first.exit_code == 0, first.stderr
    assert gradcli("finetune", "--config", "first/config.toml", "--run", "second").exit_code == 0
    frozen = [json.loads(metadata(Path(run) / "model.safetensors")["gradcli.frozen"]) for run in ("first", "second")]
    assert frozen[0] == frozen[1]
    assert "fc.bias" not in frozen[0]
    assert len(frozen[0]) == 61


def test_the_default_run_folder_is_the_next_free_one(gradcli: Run, model_file: Path, images_file: Path) -> None:
    for expected in ("runs/bands", "runs/bands-2"):
        result = gradcli("finetune", images_file, "-w", model_file, "--freeze-backbone", "--epochs", 1)
        assert result.exit_code == 0
        assert result.stderr.endswith(f"weights, metrics and configuration are in {expected}\n")
        assert (Path(expected) / "model.safetensors").is_file()


def test_the_command_line_wins_over_the_environment_over_the_file(
    gradcli: Run, model_file: Path, images_file: Path
) -> None:
    Path("run.toml").write_text(
        f'data = {json.dumps(str(images_file))}\nweights = "random:7"\nepochs = 1\nlr = 0.5\nfreeze-backbone = true\n'
        "[step]\nlr = 99.0\n"
    )
    environment = {"GRADCLI_WEIGHTS": str(model_file)}
    arguments = ("finetune", "--config", "run.toml", "--lr", 0.25, "--run", "run")
    assert gradcli(*arguments, env=environment).exit_code == 0
    config = tomllib.loads(Path("run/config.toml").read_text())
    assert (config["weights"], config["lr"], config["epochs"], config["freeze-backbone"]) == (
        str(model_file),
        0.25,
        1,
        True,
    )


def test_the_bundled_digits_train_with_no_more_than_their_name(gradcli: Run) -> None:
    result = gradcli("finetune", "digits", "--freeze-backbone", "--epochs", 1, "-b", 128, "-q", "--json")
    assert (result.exit_code, result.stderr) == (0, "")
    record = json.loads(result.stdout)
    assert record["train_accuracy"] > 0.15
    assert record["val_accuracy"] > 0.3
    assert json.loads(metadata(Path("runs/digits/model.safetensors"))["gradcli.classes"]) == list("0123456789")


REFUSED = [
    ("finetune no-such-data", 3, "no-such-data: no such data set, folder or file; expected digits, fashion-mnist, "),
    ("finetune empty", 3, "empty: no class folders in it; expected one subfolder of images per class"),
    ("finetune no-images", 3, "no-images/a: no images in this class; expected files ending in jpg"),
    ("finetune broken-image -b 2 --strict", 3, ".png: not an image"),
    ("finetune DATA --run full", 7, "full: the run folder is not empty; name another one with --run"),
    ("finetune DATA --run full/file", 7, "full/file: there is a file of this name; name a run folder with --run"),
    ("finetune DATA --run full/file/run", 3, "full/file/run: the run folder can't be made"),
    ("finetune DATA --num-classes 2", 2, "--num-classes 2: the data has 3 classes (0, 1, 2, …)"),
    ("finetune DATA --validation-split 0", 2, "--validation-split 0: expected a share above 0 and below 1"),
    ("finetune DATA --freeze *", 2, "every parameter is frozen, so there is nothing to train; --unfreeze some"),
    ("finetune DATA --freeze layer1", 2, "--freeze 'layer1' matches no parameter; did you mean layer1.*?"),
    ("finetune DATA --image-size 4", 2, "Invalid value for '--image-size': 4 is not in the range x>=8"),
    ("finetune DATA -b 0", 2, "Invalid value for '--batch-size' / '-b': 0 is not in the range x>=1"),
    ("finetune DATA --epochs 0", 2, "Invalid value for '--epochs'"),
    ("finetune DATA -b 1", 3, "a batch of 1 image of 32x32 leaves the last batch norms one value per channel"),
    ("finetune DATA --lr 1e30", 5, "; try a smaller --lr"),
    ("finetune DATA -w no.safetensors", 4, "no.safetensors: no such file"),
    ("finetune DATA -o none/out.csv", 3, "none/out.csv: cannot be written: there is no folder none"),
    ("finetune", 2, "Missing argument 'DATA'"),
]


@pytest.mark.parametrize(("line", "exit_code", "message"), REFUSED, ids=[case[0] for case in REFUSED])
def test_what_is_refused_leaves_no_run_folder(
    line: str, exit_code: int, message: str, gradcli: Run, model_file: Path, images_file: Path
) -> None:
    for folder in ("empty", "no-images/a", "no-images/b", "full"):
        Path(folder).mkdir(parents=True)
    Path("full/file").write_text("taken")
    write_folder(Path("broken-image"), 6)
    for path in Path("broken-image/class1").iterdir():
        path.write_text("no image")
    before = sorted(Path().rglob("*"))
    words = [str(images_file) if word == "DATA" else word for word in line.split()]
    if "-w" not in words:
        words += ["-w", str(model_file)]
    result = gradcli(*words)
    assert result.exit_code == exit_code, result.stderr
    *progress, last = result.stderr.splitlines()
    assert last.startswith("gradcli finetune: error: ")
    assert message in last
    assert all("error" not in text and "warning" not in text for text in progress)
    assert sorted(Path().rglob("*")) == before


def start(folder: Path, *arguments: object) -> subprocess.Popen[str]:
    command = [sys.executable, "-m", "gradcli", "finetune", "digits", "--run", "run", "--epochs", "1000", "-b", "64"]
    return subprocess.Popen(
        [*command, "--freeze-backbone", *map(str, arguments)],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        cwd=folder,
    )


@pytest.mark.parametrize("signal_number", [signal.SIGINT, signal.SIGTERM])
def test_a_signal_saves_the_weights_so_far_and_ends_with_143(
    signal_number: int, tmp_path: Path, model_file: Path
) -> None:
    process = start(tmp_path, "-w", model_file)
    assert process.stderr is not None
    assert "images to train" in process.stderr.readline()
    while not (tmp_path / "run" / "config.toml").exists():
        assert process.poll() is None
    process.send_signal(signal_number)
    output, errors = process.communicate(timeout=60)
    assert process.returncode == 143
    assert errors.splitlines()[0] == "stopping after this batch; Ctrl-C stops at once"
    assert errors.splitlines()[-1].startswith("stopped in epoch ")
    assert output.splitlines()[0].startswith("epoch\t")
    assert load_file(tmp_path / "run" / "model.safetensors")["fc.weight"].shape == (10, 512)
    assert not list((tmp_path / "run").glob(".*"))
