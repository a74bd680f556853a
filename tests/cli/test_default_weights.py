"""The weights of a command that is given none: used offline, named in every output, and second to what is asked for."""

from __future__ import annotations

import json
import shutil
import socket
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from labelled_images import write_folder
from models.cached_weights import cache_known_weights
from safetensors import safe_open

from gradcli.checkpoints import load_checkpoint
from gradcli.hub import manifest
from gradcli.models import load_model
from gradcli.models.loading import state_arrays
from gradcli.models.weights_source import BUNDLED_WEIGHTS, PHOTOGRAPH_WEIGHTS

Run = Callable[..., Any]

PASSES = [
    "forward --shape 2,3,32,32",
    "backward --shape 2,3,32,32",
    "step --shape 2,3,32,32",
    "grads --param fc.bias --shape 2,3,32,32",
    "grads --why --shape 2,3,32,32",
    "grads --activations --shape 2,3,32,32",
    "trace --shape 2,3,32,32",
    "check --param fc.bias --samples 1 --shape 2,3,32,32",
    "landscape --points 3 --shape 2,3,32,32",
    "lr-find --steps 10 --shape 2,3,32,32",
    "freeze",
    "summary",
]


@pytest.fixture(autouse=True)
def empty_folders(tmp_path_factory: pytest.TempPathFactory, monkeypatch: pytest.MonkeyPatch) -> None:
    """Caches of each test's own, which hold nothing."""
    for variable in ("GRADCLI_HOME", "TORCH_HOME"):
        monkeypatch.setenv(variable, str(tmp_path_factory.mktemp(variable.lower())))


@pytest.fixture(autouse=True)
def offline(monkeypatch: pytest.MonkeyPatch) -> None:
    """Nobody opens a connection, or looks up a name."""

    def refused(*_: Any, **__: Any) -> None:
        raise AssertionError("the network was asked")

    for name in ("connect", "connect_ex", "sendto"):
        monkeypatch.setattr(socket.socket, name, refused)
    for name in ("create_connection", "getaddrinfo", "gethostbyname"):
        monkeypatch.setattr(socket, name, refused)


@pytest.fixture
def picture(gradcli: Run, tmp_path: Path) -> str:
    """An image file in the folder that commands run in."""
    folder = write_folder(tmp_path / "drawn")
    shutil.copy(next((folder / "class0").iterdir()), "picture.png")
    return "picture.png"


def run(gradcli: Run, line: str, *more: str) -> Any:
    result = gradcli(*line.split(), *more)
    assert result.exit_code == 0, result.stderr
    return result


@pytest.mark.parametrize("line", [*PASSES, "predict PICTURE", "features PICTURE"])
def test_json_names_the_weights_of_every_command(line: str, gradcli: Run, picture: str) -> None:
    records = run(gradcli, line.replace("PICTURE", picture), "--json").stdout.splitlines()
    assert records
    for record in records:
        assert json.loads(record)["weights"] == BUNDLED_WEIGHTS


@pytest.mark.parametrize("form", ["table", "csv"])
@pytest.mark.parametrize("line", [*PASSES, "predict PICTURE"])
def test_rows_are_followed_by_a_line_on_standard_error_that_names_them(
    line: str, form: str, gradcli: Run, picture: str
) -> None:
    line = line.replace("PICTURE", picture)
    assert f"weights {BUNDLED_WEIGHTS}" in run(gradcli, line, "--format", form).stderr
    assert run(gradcli, line, "--format", form, "-q").stderr == ""


def test_graphs_and_reports_name_them_too(gradcli: Run) -> None:
    result = run(gradcli, "graph --shape 2,3,32,32")
    assert f"weights {BUNDLED_WEIGHTS}" in result.stderr
    assert json.loads(run(gradcli, "graph --shape 2,3,32,32 --json").stdout)["weights"] == BUNDLED_WEIGHTS
    run(gradcli, "report --shape 2,3,32,32 -o report.html")
    assert BUNDLED_WEIGHTS in Path("report.html").read_text(encoding="utf-8")


def test_the_tutorial_and_selftest_name_them(gradcli: Run) -> None:
    result = run(gradcli, "tutorial --section training-step --json")
    assert json.loads(result.stdout)["weights"] == BUNDLED_WEIGHTS
    assert f"weights {BUNDLED_WEIGHTS}" in result.stderr
    result = run(gradcli, "selftest --shape 2,3,32,32 --json")
    assert json.loads(result.stdout)["weights"] == BUNDLED_WEIGHTS
    assert f"hold for {BUNDLED_WEIGHTS}" in result.stderr


def test_arrays_are_too(gradcli: Run, picture: str) -> None:
    for line in ("forward --shape 2,3,32,32", "grads --param fc.bias --shape 2,3,32,32", f"features {picture}"):
        assert f"weights {BUNDLED_WEIGHTS}" in run(gradcli, line, "--format", "npy").stderr
    run(gradcli, "grads --param fc.bias --shape 2,3,32,32 -o grads.safetensors")
    with safe_open("grads.safetensors", framework="np") as file:
        assert file.metadata()["gradcli.weights"] == BUNDLED_WEIGHTS


def test_a_run_names_them_by_their_own_name(gradcli: Run, images_file: Path) -> None:
    result = run(gradcli, f"finetune {images_file} --freeze-backbone --image-size 32 --epochs 1 --run run", "--json")
    assert json.loads(result.stdout)["weights"] == BUNDLED_WEIGHTS
    assert f"weights {BUNDLED_WEIGHTS} with a new head" in result.stderr
    assert f'weights = "{BUNDLED_WEIGHTS}"' in Path("run/config.toml").read_text()
    summary = json.loads(Path("run/summary.json").read_text())
    assert summary["weights"]["name"] == BUNDLED_WEIGHTS
    assert summary["weights"]["sha256"] == manifest.known_weights()[BUNDLED_WEIGHTS].sha256
    evaluation = json.loads(run(gradcli, f"evaluate {images_file} -w run", "--json").stdout)
    assert evaluation["weights"] == "run"
    assert "weights run, fast kernels" in run(gradcli, f"evaluate {images_file} -w run").stderr


def test_imagenets_weights_take_their_place_once_they_are_here(gradcli_json: Run) -> None:
    assert gradcli_json("freeze")["weights"] == BUNDLED_WEIGHTS
    cache_known_weights(state_arrays(load_model("random:3", 10).model))
    assert gradcli_json("freeze")["weights"] == PHOTOGRAPH_WEIGHTS
    assert gradcli_json("freeze", "-w", "default")["weights"] == PHOTOGRAPH_WEIGHTS
    assert gradcli_json("freeze", "-w", BUNDLED_WEIGHTS)["weights"] == BUNDLED_WEIGHTS


def test_a_damaged_file_of_imagenets_weights_is_passed_over(gradcli: Run) -> None:
    path = cache_known_weights(state_arrays(load_model("random:3", 10).model))
    with path.open("r+b") as stream:
        stream.seek(1_000_000)
        stream.write(b"damage")
    result = run(gradcli, "freeze", "--json")
    assert json.loads(result.stdout)["weights"] == BUNDLED_WEIGHTS
    assert result.stderr.startswith(f"warning: {path}: not used: ")


def test_the_environment_and_the_command_line_win(gradcli_json: Run, monkeypatch: pytest.MonkeyPatch) -> None:
    cache_known_weights(state_arrays(load_model("random:3", 10).model))
    Path("own.toml").write_text('weights = "random:6"\n')
    assert gradcli_json("freeze", "--config", "own.toml")["weights"] == "random:6"
    monkeypatch.setenv("GRADCLI_WEIGHTS", "random:5")
    assert gradcli_json("freeze")["weights"] == "random:5"
    assert gradcli_json("freeze", "-w", "random:4")["weights"] == "random:4"


def test_a_line_says_that_they_know_drawings_unless_they_were_asked_for(gradcli: Run, picture: str) -> None:
    (line,) = run(gradcli, f"predict {picture}", "--json").stderr.splitlines()
    assert line.startswith("weights emoji1k: they know drawings of emoji, not photographs; gradcli weights fetch ")
    assert run(gradcli, f"predict {picture} -w emoji1k", "--json").stderr == ""
    assert run(gradcli, f"predict {picture}", "--json", "-q").stderr == ""


def test_the_file_is_what_the_manifest_says(gradcli_json: Run) -> None:
    entry = manifest.known_weights()[BUNDLED_WEIGHTS]
    assert entry.path is not None
    listed = {each["name"]: each for each in gradcli_json("weights", "list")["weights"]}[BUNDLED_WEIGHTS]
    assert (listed["place"], listed["path"], listed["size"]) == ("bundled", str(entry.path), entry.path.stat().st_size)
    verified = gradcli_json("weights", "verify", BUNDLED_WEIGHTS)
    assert (verified["ok"], verified["path"], verified["found"]) == (True, str(entry.path), entry.sha256)
    assert gradcli_json("weights", "fetch", BUNDLED_WEIGHTS)["path"] == str(entry.path)
    inspected = gradcli_json("weights", "inspect", BUNDLED_WEIGHTS)
    assert (inspected["known_as"], inspected["architecture"], inspected["classes"]) == ("emoji1k", "resnet18", 1000)
    assert inspected["dtypes"] == {"float16": 102, "int64": 20}
    assert inspected["nonfinite"] == 0
    assert "/" not in inspected["metadata"].get("gradcli.config", "")  # no folders of whoever trained them


def test_its_classes_are_emoji_with_their_names() -> None:
    loaded = load_model(BUNDLED_WEIGHTS)
    assert loaded.classes is not None
    assert len(set(loaded.classes)) == loaded.num_classes == 1000
    assert "\N{DOG} dog" in loaded.classes
    assert not [name for name in loaded.classes if name.isascii() or " " not in name]
    assert loaded.preprocessing == manifest.known_weights()[BUNDLED_WEIGHTS].preprocessing
    assert all(array.dtype == np.float32 for name, array in state_arrays(loaded.model).items() if "num_" not in name)


def test_it_is_converted_by_its_name(gradcli: Run) -> None:
    run(gradcli, f"weights convert {BUNDLED_WEIGHTS} single.safetensors --dtype float32")
    loaded = state_arrays(load_model(BUNDLED_WEIGHTS).model)
    for name, array in load_checkpoint("single.safetensors").tensors.items():
        np.testing.assert_array_equal(array, loaded[name], err_msg=name)


@pytest.fixture
def other_installation(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Where the bundled file lies in an installation without it."""
    copy = tmp_path / "installed" / "manifest.toml"
    copy.parent.mkdir()
    shutil.copy(manifest.published_manifest(), copy)
    monkeypatch.setattr(manifest, "_published", lambda: manifest.read_manifest(copy, bundled_files=True))
    return copy.with_name("resnet18-emoji1k.safetensors")


@pytest.mark.parametrize("arguments", [(), ("-w", "default"), ("-w", BUNDLED_WEIGHTS)], ids=" ".join)
def test_an_installation_without_the_file_says_so(
    arguments: tuple[str, ...], gradcli: Run, other_installation: Path
) -> None:
    result = gradcli("step", *arguments)
    assert (result.exit_code, result.stdout) == (4, "")
    assert result.stderr == (
        f"gradcli step: error: {other_installation}: is missing; emoji1k comes with gradcli, so install that again\n"
    )
    assert run(gradcli, "step -w random:0 --shape 2,3,32,32").stdout


def test_a_damaged_file_is_refused_unless_told_otherwise(gradcli: Run, other_installation: Path) -> None:
    path = manifest.published_manifest().with_name(other_installation.name)
    content = bytearray(path.read_bytes())
    content[-1] ^= 1
    other_installation.write_bytes(content)
    for arguments in ((), ("-w", str(other_installation))):
        result = gradcli("freeze", *arguments)
        assert (result.exit_code, result.stdout) == (4, "")
        assert result.stderr.startswith(f"gradcli freeze: error: {other_installation}: its SHA-256 is ")
        assert result.stderr.count("\n") == 1
        assert gradcli("freeze", *arguments, "--no-verify").exit_code == 0
    other_installation.write_bytes(content[:-9])
    result = gradcli("weights", "verify", str(other_installation))
    assert (result.exit_code, "it was cut short after" in result.stderr) == (4, True)
