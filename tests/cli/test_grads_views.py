"""`gradcli grads` of single images, activations, saliency and the batches of a data set; what goes with what."""

from __future__ import annotations

import csv
import io
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from labelled_images import write_npz
from PIL import Image
from terminal import Terminal, needs_terminal

Run = Callable[..., Any]


@pytest.fixture(scope="module")
def common(model_file: Path, batch_file: Path) -> tuple[object, ...]:
    return ("grads", "-w", model_file, "-i", batch_file, "--mode", "eval")


def test_norms_of_single_images(gradcli: Run, gradcli_json: Run, common: tuple[object, ...], batch_file: Path) -> None:
    arguments = (*common, "--per-sample", "--param", "fc.*")
    document = gradcli_json(*arguments)
    assert document["schema"] == "gradcli.grads/1"
    assert [sample["index"] for sample in document["samples"]] == [0, 1]
    assert document["samples"][1]["image"] == f"{batch_file}[1]"
    for sample in document["samples"]:  # the loss sums the ten scores
        assert sample["norms"]["fc.bias"] == pytest.approx(np.sqrt(10))
        assert sample["norm"] == pytest.approx(np.hypot(*sample["norms"].values()))
    result = gradcli(*arguments, "--sort", "norm", "--format", "csv")
    rows = list(csv.DictReader(io.StringIO(result.stdout)))
    assert list(rows[0]) == ["index", "image", "loss", "norm", "fc.weight", "fc.bias"]
    assert [float(row["norm"]) for row in rows] == sorted((s["norm"] for s in document["samples"]), reverse=True)


def test_outputs_of_modules_and_their_gradients(gradcli: Run, gradcli_json: Run, common: tuple[object, ...]) -> None:
    document = gradcli_json(*common, "--activations")
    records = {record["name"]: record for record in document["activations"]}
    assert records["fc.grad"]["norm"] == pytest.approx(np.sqrt(20))
    assert records["relu"]["min"] == 0
    assert records["relu"]["update_ratio"] is None
    assert "total" not in document
    gradcli(*common, "--activations", "-o", "activations.npz")
    arrays = np.load("activations.npz")
    assert sorted(arrays) == sorted(records)
    assert np.linalg.norm(arrays["relu"].astype(np.float64)) == pytest.approx(records["relu"]["norm"])
    failed = gradcli(*common, "--activations", "--fail-on", "exploding", "--exploding", 0, "-o", "all.json")
    assert failed.exit_code == 6
    assert f"{len(records)} of {len(records)} outputs and gradients have a norm above 0" in failed.stderr
    some = gradcli_json(*common, "--activations", "--param", "layer2.1.relu", "--sort", "norm", "--top", 3)[
        "activations"
    ]
    of_relu = [record for name, record in records.items() if name.startswith("layer2.1.relu#")]
    assert len(of_relu) == 4
    assert some == sorted(of_relu, key=lambda record: -record["norm"])[:3]


def test_saliency_as_numbers_and_as_a_picture(gradcli: Run, common: tuple[object, ...], batch_file: Path) -> None:
    assert gradcli(*common, "--saliency", "-o", "saliency.npy").exit_code == 0
    saliency, images = np.load("saliency.npy"), np.load(batch_file)
    assert saliency.shape == (len(images), *images.shape[2:])
    assert (saliency >= 0).all()
    assert gradcli(*common, "--saliency", "-o", "saliency.png").exit_code == 0
    with Image.open("saliency.png") as picture:
        assert picture.format == "PNG"
        assert min(picture.size) >= 160


def test_noise_of_gradients_over_a_data_set(gradcli: Run, gradcli_json: Run, tmp_path: Path) -> None:
    data = write_npz(tmp_path / "bands.npz", count=20)
    arguments = ("grads", "--data", data, "--param", "fc.*", "--mode", "eval", "-b", 5)
    document = gradcli_json(*arguments, "--batches", 3)
    assert (document["batches"], document["batch_size"], document["images"]) == (3, 5, 15)
    assert len(document["losses"]) == 3
    assert len(document["cosines"]) == 2
    assert [record["name"] for record in document["gradients"]] == ["fc.weight", "fc.bias"]
    assert document["total"]["cosine"] == pytest.approx(np.mean(document["cosines"]))
    result = gradcli(*arguments, "--batches", 3, "--sort", "signal_to_noise", "-q")
    assert result.stdout.splitlines()[0].split("\t") == list(document["gradients"][0])
    few = gradcli(*arguments, "--batches", 5)
    assert few.exit_code == 3
    assert "its 20 images make 4 batches of 5; expected at least 5" in few.stderr


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["--activations", "--saliency"], "--activations and --saliency show different things; leave out one of them"),
        (["--per-sample", "--why"], "--per-sample and --why show different things"),
        (["--activations", "--wrt-input"], "--wrt-input does not go with --activations"),
        (["--saliency", "--param", "fc.*"], "--param does not go with --saliency"),
        (
            ["--activations", "--param", "layer9.*", "--shape", "1,3,33,33"],
            "--param 'layer9.*' matches no output of a ",
        ),
        (["--per-sample", "--mode", "eval", "--group-by", "block"], "--group-by does not go with --per-sample"),
        (["--per-sample", "--format", "npz"], "--per-sample goes with table, json, jsonl and csv, not with npz"),
        (["--format", "png", "-o", "a.png"], "--format png is a picture of the saliency; add --saliency"),
        (["--batches", "3"], "--batches goes with --data DATA; add it"),
        (["--data", "digits", "--shape", "1,3,32,32"], "--shape does not go with --data"),
        (["--data", "digits", "--loss", "mse"], "--loss mse takes no labels; with --data the loss is cross-entropy"),
        (["--data", "digits", "--fail-on", "zero"], "--fail-on does not go with --data"),
    ],
)
def test_what_does_not_go_together(arguments: list[str], message: str, gradcli: Run) -> None:
    result = gradcli("grads", *arguments)
    assert result.exit_code == 2
    assert message in result.stderr
    assert result.stderr.count("\n") == 1


def test_train_mode_has_no_gradients_of_single_images(gradcli: Run) -> None:
    result = gradcli("grads", "--shape", "2,3,32,32", "--per-sample")
    assert result.exit_code == 2
    assert "add --mode eval" in result.stderr


@needs_terminal
def test_a_terminal_without_room_for_all_parameters_says_so(model_file: Path) -> None:
    arguments = ["grads", "-w", str(model_file), "--shape", "2,3,32,32", "--mode", "eval", "--per-sample"]
    text = Terminal(["-m", "gradcli"], arguments, ["stdout"], columns=80, NO_COLOR="1").shown.decode()
    columns = next(line for line in text.splitlines() if "index" in line).split()[4:]
    assert columns[0] == "conv1.weight"
    assert f"{62 - len(columns)} of 62 parameters not shown: --param chooses some, --json has all" in text
    few = Terminal(["-m", "gradcli"], [*arguments, "--param", "fc.*"], ["stdout"], columns=80, NO_COLOR="1")
    assert "not shown" not in few.shown.decode()
    assert "(2 of 62 parameters)" in few.shown.decode()
