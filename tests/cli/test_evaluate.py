"""`gradcli evaluate`: what its formats say of the same images, whose classes must be the weights'."""

from __future__ import annotations

import csv
import io
import json
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from labelled_images import write_folder
from named_weights import write_named_weights
from PIL import Image

Run = Callable[..., Any]
CLASSES = ["class0", "class1", "class2"]


@pytest.fixture
def named(tmp_path: Path) -> Path:
    """Weights for the classes of `photos`."""
    return write_named_weights(tmp_path / "named.safetensors", CLASSES)


@pytest.fixture
def photos(tmp_path: Path) -> Path:
    """A folder of twelve images of three classes, one of which can't be read."""
    folder = write_folder(tmp_path / "photos")
    (folder / "class1" / "04.png").write_text("broken")
    return folder


def test_json_has_everything(gradcli: Run, gradcli_json: Run, named: Path, photos: Path) -> None:
    document = gradcli_json("evaluate", "photos", "-w", named, "--top", 2, "--kernels", "exact")
    assert document["schema"] == "gradcli.evaluate/1"
    assert (document["data"], document["split"], document["weights"]) == ("photos", "all", str(named))
    assert (document["images"], document["image_size"], document["kernels"]) == (11, [32, 32], "exact")
    assert document["skipped"] == [
        {
            "path": "photos/class1/04.png",
            "reason": "not an image; expected a file such as JPEG, PNG, TIFF or WebP",
        }
    ]
    confusion = np.array(document["confusion"])
    assert confusion.sum(axis=1).tolist() == [4, 3, 4] == [entry["support"] for entry in document["classes"]]
    assert document["accuracy"] == np.trace(confusion) / 11
    assert document["top"] == 2
    assert document["accuracy"] <= document["top_accuracy"] <= 1
    assert [entry["name"] for entry in document["classes"]] == CLASSES
    for index, entry in enumerate(document["classes"]):
        assert entry["recall"] == confusion[index, index] / entry["support"]
    forward = gradcli("forward", "-w", named, "--mode", "eval", "-i", "photos/class2", "--format", "npy")
    scores = np.load(io.BytesIO(forward.stdout_bytes))
    assert np.bincount(scores.argmax(axis=1), minlength=3).tolist() == confusion[2].tolist()


def test_tables_and_csv_are_the_same_numbers(gradcli: Run, gradcli_json: Run, named: Path, photos: Path) -> None:
    document = gradcli_json("evaluate", "photos", "-w", named)
    table = gradcli("evaluate", "photos", "-w", named)
    assert table.exit_code == 0
    assert table.stdout.splitlines()[0].split("\t") == ["index", "name", "precision", "recall", "f1", "support"]
    assert table.stderr.splitlines() == [
        "warning: photos/class1/04.png: not an image; expected a file such as JPEG, PNG, TIFF or WebP; left out",
        f"photos, all: 11 images, loss {document['loss']:.4f}, accuracy {100 * document['accuracy']:.2f} %, "
        f"macro F1 {document['macro_f1']:.4f}; unreadable and left out: 1; weights {named}, fast kernels",
    ]
    rows = list(csv.DictReader(io.StringIO(gradcli("evaluate", "photos", "-w", named, "--format", "csv").stdout)))
    for row, entry in zip(rows, document["classes"], strict=True):
        assert {
            key: json.loads(row[key]) if row[key] else None for key in ("precision", "recall", "f1", "support")
        } == {key: entry[key] for key in ("precision", "recall", "f1", "support")}
    matrix = gradcli("evaluate", "photos", "-w", named, "--confusion", "-o", "confusion.csv")
    assert (matrix.exit_code, matrix.stdout) == (0, "")
    lines = list(csv.reader(Path("confusion.csv").read_text().splitlines()))
    assert lines[0] == ["actual/predicted", *CLASSES]
    assert [[name, *map(int, counts)] for name, *counts in lines[1:]] == [
        [name, *counts] for name, counts in zip(CLASSES, document["confusion"], strict=True)
    ]


def test_a_picture_of_the_matrix(gradcli: Run, named: Path, photos: Path) -> None:
    pytest.importorskip("matplotlib")
    result = gradcli("evaluate", "photos", "-w", named, "-o", "confusion.png")
    assert result.exit_code == 0, result.stderr
    with Image.open("confusion.png") as image:
        assert image.format == "PNG"
    piped = gradcli("evaluate", "photos", "-w", named, "--format", "png")
    assert piped.stdout_bytes == Path("confusion.png").read_bytes()


def test_a_missing_matplotlib_is_said_before_the_work(
    gradcli: Run, named: Path, photos: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(sys.modules, "matplotlib", None)
    result = gradcli("evaluate", "photos", "-w", named, "-o", "confusion.png")
    assert result.exit_code == 2
    assert "pip install 'gradcli[plot]' brings it" in result.stderr
    assert len(result.stderr.splitlines()) == 1
    assert not Path("confusion.png").exists()


def test_what_a_finetuning_run_reports_is_found_again(gradcli: Run, gradcli_json: Run, images_file: Path) -> None:
    options = ("--freeze-backbone", "--epochs", 1, "--run", "run", "--seed", 3, "--validation-split", 0.3)
    assert gradcli("finetune", images_file, *options).exit_code == 0
    (record,) = map(json.loads, Path("run/metrics.jsonl").read_text().splitlines())
    document = gradcli_json("evaluate", images_file, "-w", "run")
    assert (document["split"], document["images"]) == ("validation", 6)
    assert document["accuracy"] == record["val_accuracy"]
    assert document["loss"] == pytest.approx(record["val_loss"], rel=1e-5)
    assert gradcli_json("evaluate", images_file, "-w", "run", "--split", "train")["images"] == 14
    assert gradcli_json("evaluate", images_file, "-w", "run", "--split", "all")["images"] == 20


def test_a_copy_of_a_runs_weights_knows_what_the_run_kept_for_validation(
    gradcli: Run, gradcli_json: Run, images_file: Path
) -> None:
    options = ("--freeze-backbone", "--epochs", 1, "--run", "run", "--seed", 3, "--validation-split", 0.3)
    assert gradcli("finetune", images_file, "-w", "random", *options).exit_code == 0
    Path("run/model.safetensors").rename("copy.safetensors")
    assert gradcli("weights", "convert", "copy.safetensors", "half.safetensors", "--dtype", "float16").exit_code == 0
    for weights in ("copy.safetensors", "half.safetensors"):
        document = gradcli_json("evaluate", images_file, "-w", weights)
        assert (document["split"], document["images"]) == ("validation", 6)
        assert gradcli_json("evaluate", images_file, "-w", weights, "--split", "train")["images"] == 14


def test_weights_without_names_are_taken_by_position(gradcli: Run, model_file: Path) -> None:
    result = gradcli("evaluate", "digits", "-w", model_file, "-b", 256)
    assert result.exit_code == 0
    assert result.stderr.splitlines()[0] == (
        f"warning: {model_file} does not name its classes; they are taken to be the data's, in this order: "
        "0, 1, 2, 3, 4, 5, 6, 7, 8, 9"
    )


REFUSED = [
    ("photos -w NAMED --strict", 3, "photos/class1/04.png: not an image"),
    ("photos -w NAMED --split test", 3, "photos: has no test part, only train; expected one of these"),
    ("photos -w NAMED --confusion --json", 2, "--confusion: json has the confusion matrix already; leave it out"),
    ("photos -w NAMED -o none/a.csv", 3, "none/a.csv: cannot be written: there is no folder none"),
    ("photos -w NAMED -o a.npy", 2, "--output a.npy: .npy is no format of this command"),
    ("photos -w NAMED --top 0", 2, "Invalid value for '--top'"),
    ("photos -w random:0", 4, "random:0: has 1000 outputs without names, and photos 3 classes; expected weights"),
    ("photos", 3, "photos: class 'class0' is unknown; expected only the classes"),
    ("photos -w MODEL", 4, "outputs without names, and photos 3 classes"),
    ("photos -w OVERFLOWING", 4, "outputs without names"),
    ("digits -w OVERFLOWING", 5, "the prediction for digits[0] is not finite"),
    ("digits -w NAMED", 3, "digits: class '0' is unknown; expected only the classes class0, class1, class2"),
    ("fewer -w NAMED", 3, "fewer: has no class class1, which NAMED was trained to tell; expected all of its 3 classes"),
    ("renamed -w NAMED", 3, "renamed: class 'Class1' is unknown; expected it to be spelled 'class1'"),
    ("none -w NAMED", 3, "none: no such data set, folder or file"),
    ("photos -w none.pth", 4, "none.pth: no such file"),
]


@pytest.mark.parametrize(("line", "exit_code", "message"), REFUSED, ids=[case[0] for case in REFUSED])
def test_what_is_refused_is_one_line(
    line: str,
    exit_code: int,
    message: str,
    gradcli: Run,
    named: Path,
    photos: Path,
    model_file: Path,
    overflowing_file: Path,
    tmp_path: Path,
) -> None:
    files = {"NAMED": str(named), "MODEL": str(model_file), "OVERFLOWING": str(overflowing_file)}
    for name, classes in (("fewer", ("class0", "class2")), ("renamed", ("class0", "Class1", "class2"))):
        for each in classes:
            (tmp_path / name / each).mkdir(parents=True)
            Image.new("RGB", (32, 32)).save(tmp_path / name / each / "a.png")
    result = gradcli("evaluate", *(files.get(word, word) for word in line.split()))
    assert (result.exit_code, result.stdout) == (exit_code, ""), result.stderr
    last = result.stderr.splitlines()[-1]
    assert last.startswith("gradcli evaluate: error: ")
    for word, file in files.items():
        message = message.replace(word, file)
    assert message in last
