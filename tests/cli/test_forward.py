"""`gradcli forward`: predictions and losses against NumPy, formats against each other, photos, frozen statistics."""

from __future__ import annotations

import csv
import io
import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

Run = Callable[..., Any]


def scores(run: Run, *arguments: object) -> np.ndarray[Any, Any]:
    result = run("forward", *arguments, "--format", "npy")
    assert result.exit_code == 0, result.stderr
    return np.load(io.BytesIO(result.stdout_bytes))


def test_the_default_is_the_tutorials_random_image(gradcli: Run) -> None:
    result = gradcli("forward", "--json")
    document = json.loads(result.stdout)
    assert result.exit_code == 0
    assert document["schema"] == "gradcli.forward/1"
    assert (document["weights"], document["mode"], document["shape"]) == ("emoji1k", "train", [1, 1000])
    assert document["loss"] is None
    assert document["seconds"] > 0
    assert [entry["rank"] for entry in document["classes"]] == [1, 2, 3, 4, 5]


def test_formats_hold_the_same_scores(gradcli: Run, model_file: Path, batch_file: Path) -> None:
    arguments = ("-w", model_file, "-i", batch_file, "--top", 3)
    array = scores(gradcli, *arguments)
    assert (array.shape, array.dtype) == ((2, 10), np.float32)
    npz = np.load(io.BytesIO(gradcli("forward", *arguments, "--format", "npz").stdout_bytes))
    assert npz.files == ["prediction"]
    np.testing.assert_array_equal(npz["prediction"], array)
    classes = json.loads(gradcli("forward", *arguments, "--json").stdout)["classes"]
    rows = list(csv.DictReader(io.StringIO(gradcli("forward", *arguments, "--format", "csv").stdout)))
    assert len(classes) == len(rows) == 6
    probabilities = np.exp(array.astype(np.float64))
    probabilities /= probabilities.sum(axis=1, keepdims=True)
    for entry, row in zip(classes, rows, strict=True):
        image = int(entry["image"].rpartition("[")[2].rstrip("]"))
        assert entry["index"] == np.argsort(-array[image])[entry["rank"] - 1]
        assert entry["score"] == array[image, entry["index"]] == float(row["score"])
        assert entry["probability"] == pytest.approx(probabilities[image, entry["index"]], rel=1e-5)
        assert (row["image"], row["name"]) == (entry["image"], "")


def test_every_loss_is_the_formulas(gradcli: Run, gradcli_json: Run, model_file: Path, batch_file: Path) -> None:
    common = ("-w", model_file, "-i", batch_file)
    prediction = scores(gradcli, *common).astype(np.float64)
    labels, target = np.array([3, 7]), np.random.default_rng(0).random((2, 10), dtype=np.float32)
    np.save("labels.npy", labels)
    np.save("target.npy", target)
    log_softmax = prediction - np.log(np.exp(prediction).sum(axis=1, keepdims=True))
    expected = {
        ("sum-difference", "target.npy"): (prediction - target).sum(),
        ("mse", "target.npy"): ((prediction - target) ** 2).mean(),
        ("bce-with-logits", "target.npy"): (np.logaddexp(0, prediction) - target * prediction).mean(),
        ("cross-entropy", "labels.npy"): -log_softmax[[0, 1], labels].mean(),
        ("cross-entropy", "4"): -log_softmax[:, 4].mean(),
    }
    for (loss, name), value in expected.items():
        assert gradcli_json("forward", *common, "--loss", loss, "-t", name)["loss"] == pytest.approx(value, rel=1e-4)


def test_mode_decides_which_statistics_normalise(gradcli: Run, model_file: Path, batch_file: Path) -> None:
    both = ("-w", model_file, "-i", batch_file)
    single = np.load(batch_file)[:1]
    np.save("single.npy", single)
    in_eval = scores(gradcli, *both, "--mode", "eval")
    np.testing.assert_allclose(
        scores(gradcli, "-w", model_file, "-i", "single.npy", "--mode", "eval"), in_eval[:1], rtol=1e-4, atol=1e-5
    )
    assert np.abs(scores(gradcli, *both, "--mode", "train") - in_eval).max() > 1e-2
    np.testing.assert_array_equal(scores(gradcli, *both), scores(gradcli, *both, "--mode", "train"))
    # Frozen batch norms use their running statistics, unless training mode is asked for.
    np.testing.assert_array_equal(scores(gradcli, *both, "--freeze-backbone"), in_eval)
    trained = gradcli("forward", *both, "--freeze-backbone", "--mode", "train", "--json")
    assert "running statistics of 20 frozen batch norms move" in trained.stderr


def test_standard_input_is_a_batch(gradcli: Run, model_file: Path, batch_file: Path) -> None:
    piped = gradcli("forward", "-w", model_file, "-i", "-", "--format", "npy", input=batch_file.read_bytes())
    np.testing.assert_array_equal(
        np.load(io.BytesIO(piped.stdout_bytes)), scores(gradcli, "-w", model_file, "-i", batch_file)
    )


def test_a_photo_is_turned_as_its_exif_says(gradcli: Run, model_file: Path) -> None:
    pixels = np.zeros((60, 90, 3), dtype=np.uint8)
    pixels[:, :45, 0] = 255
    upright = Image.fromarray(pixels)
    exif = Image.Exif()
    exif[0x0112] = 6  # turn 90 degrees clockwise to show
    upright.save("upright.png")
    upright.rotate(90, expand=True).save("turned.png", exif=exif)
    common = ("-w", model_file, "--mode", "eval")
    np.testing.assert_array_equal(
        scores(gradcli, *common, "-i", "turned.png"), scores(gradcli, *common, "-i", "upright.png")
    )


def test_a_folder_of_images_is_a_batch_in_the_order_of_names(gradcli: Run, gradcli_json: Run, model_file: Path) -> None:
    Path("photos").mkdir()
    for name in ("b.png", "a.jpg", "notes.txt"):
        path = Path("photos") / name
        if name == "notes.txt":
            path.write_text("no image")
        else:
            Image.new("RGB", (50, 40), (200, 30, ord(name[0]))).save(path)
    document = gradcli_json("forward", "-w", model_file, "-i", "photos", "--top", 1)
    assert [entry["image"] for entry in document["classes"]] == ["photos/a.jpg", "photos/b.png"]


def test_the_seed_decides_the_random_input(gradcli: Run, model_file: Path) -> None:
    first = scores(gradcli, "-w", model_file, "--seed", 3)
    np.testing.assert_array_equal(scores(gradcli, "-w", model_file, "--seed", 3), first)
    assert not np.array_equal(scores(gradcli, "-w", model_file, "--seed", 4), first)


def test_overflow_is_shown_and_ends_with_5(gradcli: Run, overflowing_file: Path, batch_file: Path) -> None:
    result = gradcli("forward", "-w", overflowing_file, "-i", batch_file, "--json")
    assert result.exit_code == 5
    assert {entry["score"] for entry in json.loads(result.stdout)["classes"]} & {"inf", "nan"}
    assert result.stderr == (
        "gradcli forward: error: the prediction for image 0 is not finite: "
        f"the values of {overflowing_file} or of the input are too large for float32\n"
    )
