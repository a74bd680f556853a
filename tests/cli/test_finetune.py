"""`gradcli finetune`: the run folder, repeating a run, frozen backbones, failures."""

from __future__ import annotations

import json
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
    assert [list(record) for record in records] == [["schema", *FIELDS, "weights"]] * 3
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
    assert f"40x40, 3 classes; weights {Path('run').absolute()}, " in again.stderr


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


def test_the_bundled_digits_train_on_random_layers(gradcli: Run) -> None:
    arguments = ("digits", "-w", "random:0", "--freeze-backbone", "--epochs", 1, "-b", 128, "-q", "--json")
    result = gradcli("finetune", *arguments)
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


EVERY_OPTION = {
    "optimizer": ("adamw", "adamw"),
    "lr": ("2e-3", 2e-3),
    "head-lr": ("1e-2", 1e-2),
    "weight-decay": ("0.1", 0.1),
    "betas": ("0.8,0.99", [0.8, 0.99]),
    "eps": ("1e-6", 1e-6),
    "schedule": ("cosine", "cosine"),
    "warmup-epochs": ("0.5", 0.5),
    "min-lr": ("1e-4", 1e-4),
    "accumulate": ("2", 2),
    "clip-norm": ("1.5", 1.5),
    "label-smoothing": ("0.1", 0.1),
    "patience": ("3", 3),
    "ema": ("0.9", 0.9),
    "class-weights": ("balanced", "balanced"),
    "validation-split": ("0.25", 0.25),
    "image-size": ("32", 32),
    "num-classes": ("4", 4),
    "augment": ("light", "light"),
    "views": ("2", 2),
    "crop-scale": ("0.8,1", [0.8, 1.0]),
    "crop-ratio": ("1,1.2", [1.0, 1.2]),
    "horizontal-flip": ("0.25", 0.25),
    "brightness": ("0.1", 0.1),
    "contrast": ("0.1", 0.1),
    "saturation": ("0.1", 0.1),
    "hue": ("0.05", 0.05),
    "degrees": ("10", 10.0),
    "upright": ("0.9", 0.9),
    "translate": ("0.05", 0.05),
    "zoom": ("0.9,1.1", [0.9, 1.1]),
    "stretch": ("1.1", 1.1),
    "background": ("0.5", 0.5),
    "channel-gain": ("0.1", 0.1),
    "channel-offset": ("0.1", 0.1),
    "grayscale": ("0.1", 0.1),
    "invert": ("0.1", 0.1),
    "noise": ("0.02", 0.02),
    "erase": ("0.1", 0.1),
    "epochs": ("2", 2),
    "batch-size": ("4", 4),
    "bn-mode": ("eval", None),
    "checkpoint-every": ("3 steps", "3 steps"),
    "log-grads": ("epoch", "epoch"),
    "seed": ("5", 5),
    "kernels": ("exact", "exact"),
}


def test_every_option_reaches_the_run_and_its_configuration_repeats_it(
    gradcli: Run, model_file: Path, images_file: Path
) -> None:
    words = [word for name, (text, _) in EVERY_OPTION.items() for word in (f"--{name}", text)]
    switches = ["--strict", "--no-feature-cache", "--freeze-backbone", "--unfreeze", "layer4.1.*"]
    result = gradcli("finetune", images_file, "-w", model_file, *words, *switches, "--run", "first")
    assert result.exit_code == 0, result.stderr
    config = tomllib.loads(Path("first/config.toml").read_text())
    expected = {name: value for name, (_, value) in EVERY_OPTION.items() if value is not None}
    expected |= {"mode": "eval", "strict": True, "no-feature-cache": True}
    assert {name: config[name] for name in expected} == expected
    assert gradcli("finetune", "--config", "first/config.toml", "--run", "second").exit_code == 0
    for name in ("config.toml", "model.safetensors", "last.safetensors"):
        assert Path("first", name).read_bytes() == Path("second", name).read_bytes()
    assert without_seconds(metrics("second")) == without_seconds(metrics("first"))


def test_sizes_in_turn_are_repeated_by_the_configuration(gradcli: Run, model_file: Path, images_file: Path) -> None:
    options = ("--train-sizes", "32,40", "--freeze-backbone", "--augment", "light", "--epochs", 1)
    result = gradcli("finetune", images_file, "-w", model_file, *options, "--run", "first")
    assert result.exit_code == 0, result.stderr
    assert "batches of 32,40 pixels in turn and 40x40 in validation" in result.stderr
    config = tomllib.loads(Path("first/config.toml").read_text())
    assert config["train-sizes"] == [32, 40]
    assert "image-size" not in config
    assert gradcli("finetune", "--config", "first/config.toml", "--run", "second").exit_code == 0
    for name in ("config.toml", "model.safetensors"):
        assert Path("first", name).read_bytes() == Path("second", name).read_bytes()


CONTRADICTIONS = [
    ("--optimizer adamw --momentum 0.9", "--momentum belongs to --optimizer sgd; leave it out with adamw"),
    ("--optimizer adamw --nesterov", "--nesterov belongs to --optimizer sgd; leave it out with adamw"),
    ("--betas 0.9,0.99", "--betas belongs to --optimizer adamw; leave it out with sgd"),
    ("--optimizer adamw --betas 0.9", "'0.9' is not two numbers A,B such as 0.5,1"),
    ("--optimizer adamw --betas 0.9,1.5", "--betas 0.9,1.5: expected two numbers of at least 0 and below 1"),
    ("--nesterov --momentum 0", "--nesterov needs --momentum above 0 and --dampening 0"),
    ("--lr nan", "--lr must be a finite number"),
    ("--step-size 3", "--step-size 3 says nothing with --schedule constant; it belongs to step"),
    ("--schedule one-cycle --warmup-epochs 1", "--warmup-epochs 1 says nothing with --schedule one-cycle"),
    ("--schedule cosine --warmup-epochs 10", "--warmup-epochs 10: expected less than the 10 epochs of the run"),
    ("--freeze fc.* --head-lr 0.1", "--head-lr 0.1: the head fc is frozen; leave it out"),
    ("--freeze-backbone --views 2", "--views 2: without --augment all views of an image are the same; add it"),
    ("--augment light --views 2", "--views 2: the first layers train"),
    ("--freeze-backbone --train-sizes 64,32", "--train-sizes 64,32: the features of the frozen layers are"),
    ("--train-sizes 64;32", "'64;32' is not whole numbers A,B,… such as 64,32"),
    ("--train-sizes 64,4", "--train-sizes 64,4: expected sides of 8 to 8192 pixels, such as 64,32"),
    ("--checkpoint-every 0", "--checkpoint-every 0: expected a time such as 60s or 5m, or a number of steps above 0"),
    ("--clip-norm 0", "--clip-norm 0: expected a finite number above 0"),
    ("--force", "--force replaces the run in --run FOLDER; name that too"),
]


@pytest.mark.parametrize(("line", "message"), CONTRADICTIONS, ids=[line for line, _ in CONTRADICTIONS])
def test_options_that_contradict_each_other(
    line: str, message: str, gradcli: Run, model_file: Path, images_file: Path
) -> None:
    result = gradcli("finetune", images_file, "-w", model_file, *line.split())
    assert result.exit_code == 2
    assert message in result.stderr.splitlines()[-1]
    assert not Path("runs").exists()


def test_an_option_that_makes_others_of_the_file_say_nothing_silences_them(
    gradcli: Run, model_file: Path, images_file: Path
) -> None:
    options = ("--freeze-backbone", "--epochs", 1, "--schedule", "step", "--gamma", 0.5, "--momentum", 0.5)
    arguments = ("-w", model_file, *options, "--augment", "light", "--views", 2, "--hue", 0.1, "--run", "first")
    assert gradcli("finetune", images_file, *arguments).exit_code == 0
    changes = ("--optimizer", "adamw", "--schedule", "one-cycle", "--augment", "none")
    result = gradcli("finetune", "--config", "first/config.toml", *changes, "--run", "second")
    assert result.exit_code == 0, result.stderr
    config = tomllib.loads(Path("second/config.toml").read_text())
    assert not {"momentum", "gamma", "views", "hue"} & set(config)


def test_a_run_is_replaced_only_by_force_and_nothing_else_ever_is(
    gradcli: Run, model_file: Path, images_file: Path
) -> None:
    arguments = ("finetune", images_file, "-w", model_file, "--freeze-backbone", "--epochs", 1, "--run", "run")
    assert gradcli(*arguments).exit_code == 0
    first = Path("run/model.safetensors").read_bytes()
    refused = gradcli(*arguments, "--seed", 1)
    assert refused.exit_code == 7
    assert "run: the run folder is not empty; name another one with --run" in refused.stderr
    assert Path("run/model.safetensors").read_bytes() == first
    assert gradcli(*arguments, "--seed", 1, "--force").exit_code == 0
    assert Path("run/model.safetensors").read_bytes() != first
    Path("run/notes.txt").write_text("mine")
    refused = gradcli(*arguments, "--force")
    assert refused.exit_code == 7
    assert "--force doesn't remove this folder's content: it holds notes.txt, which no run wrote" in refused.stderr
    assert Path("run/notes.txt").read_text() == "mine"


def test_early_stopping_is_told(gradcli: Run, model_file: Path, images_file: Path) -> None:
    arguments = ("-w", model_file, "--freeze-backbone", "--lr", 0, "--patience", 2, "--run", "run")
    result = gradcli("finetune", images_file, *arguments)
    assert result.exit_code == 0
    assert "ended after 3 epochs: 2 without a better validation loss or accuracy\n" in result.stderr
    assert len(metrics("run")) == 3
