"""`gradcli features`: the same numbers in every format, with what belongs to them."""

from __future__ import annotations

import csv
import io
import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from labelled_images import write_folder
from named_weights import write_named_weights

Run = Callable[..., Any]


@pytest.fixture(autouse=True)
def weights(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Weights for images of 32x32, which the commands take, and an empty cache."""
    path = write_named_weights(tmp_path / "named.safetensors", ["a", "b"])
    monkeypatch.setenv("GRADCLI_HOME", str(tmp_path / "home"))
    return path


@pytest.fixture
def photos(tmp_path: Path) -> Path:
    """A data set of twelve images to train on and three to validate."""
    write_folder(tmp_path / "photos" / "train")
    write_folder(tmp_path / "photos" / "val", 3)
    return tmp_path / "photos"


def test_formats_hold_the_same_features(gradcli: Run, photos: Path, weights: Path) -> None:
    arguments = ("features", "photos", "-w", weights)
    result = gradcli(*arguments, "--format", "npy")
    assert (result.exit_code, result.stderr) == (0, f"weights {weights}, fast kernels\n")
    array = np.load(io.BytesIO(result.stdout_bytes))
    assert (array.shape, array.dtype) == ((15, 512), np.float32)
    assert gradcli(*arguments, "-o", "features.npz").exit_code == 0
    npz = np.load("features.npz")
    assert sorted(npz.files) == ["classes", "features", "labels", "path", "split"]
    assert np.array_equal(npz["features"], array)
    assert npz["split"].tolist() == ["train"] * 12 + ["validation"] * 3
    piped = np.load(io.BytesIO(gradcli(*arguments, "--format", "npz").stdout_bytes))
    assert np.array_equal(piped["features"], array)
    found = [json.loads(line) for line in gradcli(*arguments).stdout.splitlines()]
    rows = list(csv.DictReader(io.StringIO(gradcli(*arguments, "--format", "csv").stdout)))
    for index, (record, row) in enumerate(zip(found, rows, strict=True)):
        assert record["schema"] == "gradcli.features/1"
        assert record["path"] == row["path"] == npz["path"][index]
        assert record["split"] == row["split"] == npz["split"][index]
        assert record["label"] == int(row["label"]) == npz["labels"][index]
        assert record["class"] == row["class"] == npz["classes"][npz["labels"][index]]
        assert np.array_equal(np.array(record["features"], np.float32), array[index])
        assert [float(row[f"feature_{column}"]) for column in range(512)] == record["features"]


def test_they_are_what_the_classifier_is_given(gradcli: Run, photos: Path, weights: Path) -> None:
    from gradcli.checkpoints import load_checkpoint

    tensors = load_checkpoint(weights).tensors
    options = ("-w", weights, "--kernels", "exact", "--format", "npy")
    features = np.load(io.BytesIO(gradcli("features", "photos/train/class1", *options).stdout_bytes))
    forward = gradcli("forward", "-i", "photos/train/class1", "--mode", "eval", *options)
    scores = features @ tensors["fc.weight"].T + tensors["fc.bias"]
    np.testing.assert_allclose(scores, np.load(io.BytesIO(forward.stdout_bytes)), rtol=1e-4, atol=1e-5)


def test_the_cache_is_used_unless_it_is_not_wanted(gradcli: Run, photos: Path, weights: Path, tmp_path: Path) -> None:
    arguments = ("features", "photos/train", "-w", weights, "--format", "npy")
    first = gradcli(*arguments, "--no-feature-cache").stdout_bytes
    assert not (tmp_path / "home").exists()
    kept = gradcli(*arguments).stdout_bytes
    (folder,) = (tmp_path / "home" / "features").iterdir()
    written = (folder / "features.npy").stat().st_mtime_ns
    again = gradcli(*arguments).stdout_bytes
    assert (folder / "features.npy").stat().st_mtime_ns == written
    assert first == kept == again


def test_a_list_of_files_has_no_labels_and_says_what_cant_be_read(gradcli: Run, photos: Path, weights: Path) -> None:
    paths = sorted(str(path.relative_to(photos.parent)) for path in (photos / "train" / "class0").iterdir())
    Path(paths[2]).write_text("broken")
    result = gradcli("features", "-", "-w", weights, "--json", input="\n".join(paths))
    assert result.exit_code == 3
    assert result.stderr.splitlines()[-1] == f"gradcli features: error: 1 of 4 images can't be read: {paths[2]}"
    found = [json.loads(line) for line in result.stdout.splitlines()]
    assert [sorted(record) for record in found] == [["features", "path", "schema", "weights"]] * 3
    assert [record["path"] for record in found] == paths[:2] + paths[3:]
    header = gradcli("features", "-", "-w", weights, "--format", "csv", input=paths[0]).stdout.splitlines()[0]
    assert header.split(",")[:2] == ["path", "feature_0"]


def test_a_data_sets_unreadable_images_are_left_out(gradcli: Run, photos: Path, weights: Path) -> None:
    (photos / "val" / "class1" / "01.png").write_text("broken")
    result = gradcli("features", "photos", "--split", "validation", "-w", weights, "--format", "npy")
    assert result.exit_code == 0
    assert np.load(io.BytesIO(result.stdout_bytes)).shape == (2, 512)
    assert result.stderr.splitlines() == [
        "warning: photos/val/class1/01.png: not an image; expected a file such as JPEG, PNG, TIFF or WebP; left out",
        f"weights {weights}, fast kernels",
        "1 of 3 images can't be read and are left out",
    ]


def test_weights_without_a_head_have_features_too(gradcli: Run, photos: Path, weights: Path) -> None:
    from gradcli.checkpoints import load_checkpoint, save_safetensors

    tensors = {name: array for name, array in load_checkpoint(weights).tensors.items() if not name.startswith("fc.")}
    save_safetensors(Path("headless.safetensors"), tensors)
    arguments = ("features", "photos", "--image-size", 32, "--format", "npy", "-w")
    headless = gradcli(*arguments, "headless.safetensors")
    assert headless.exit_code == 0, headless.stderr
    assert np.load(io.BytesIO(headless.stdout_bytes)).shape == (15, 512)


REFUSED = [
    ("features", 2, "Missing argument 'DATA|PATH...'"),
    ("features none -w NAMED", 3, "none: no such data set, folder or file; expected digits"),
    ("features photos a.png -w NAMED", 3, "photos: no images in this folder (it has the folders train, val"),
    ("features photos/train/class0 --split test -w NAMED", 3, "--split test: image files have no splits"),
    ("features photos --split test -w NAMED", 3, "photos: has no test part, only train, validation"),
    ("features none.png -w NAMED", 3, "none.png: none of its 1 images can be read"),
    ("features none.png --strict -w NAMED", 3, "none.png: no such file; expected an image"),
    ("features - -w NAMED", 3, "standard input: names no image files; expected a path for each line"),
    ("features photos -o a.png -w NAMED", 2, "--output a.png: .png is no format of this command"),
]


@pytest.mark.parametrize(("line", "exit_code", "message"), REFUSED, ids=[case[0] for case in REFUSED])
def test_what_is_refused_is_one_line(
    line: str, exit_code: int, message: str, gradcli: Run, photos: Path, weights: Path
) -> None:
    result = gradcli(*(str(weights) if word == "NAMED" else word for word in line.split()))
    assert (result.exit_code, result.stdout) == (exit_code, ""), result.stderr
    last = result.stderr.splitlines()[-1]
    assert last.startswith("gradcli features: error: ")
    assert message in last
