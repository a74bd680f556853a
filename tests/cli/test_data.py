"""`gradcli data list`, `fetch` and `inspect`."""

from __future__ import annotations

import json
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from labelled_images import write_folder

from gradcli.data import known_datasets

Run = Callable[..., Any]


@pytest.fixture(autouse=True)
def home(tmp_path_factory: pytest.TempPathFactory, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The cache folder of this test; nothing is installed."""
    folder = tmp_path_factory.mktemp("home")
    manifest = folder / "manifest.toml"
    text = known_datasets.MANIFEST.read_text()
    manifest.write_text("".join(line for line in text.splitlines(True) if not line.startswith("folders")))
    monkeypatch.setattr(known_datasets, "MANIFEST", manifest)
    monkeypatch.setenv("GRADCLI_HOME", str(folder))
    return folder


def test_the_list_tells_what_is_known_and_where_it_is(gradcli: Run, gradcli_json: Run, home: Path) -> None:
    document = gradcli_json("data", "list")
    assert document["schema"] == "gradcli.data.list/1"
    assert document["cache"] == str(home / "data")
    entries = {entry["name"]: entry for entry in document["datasets"]}
    assert {name: entry["place"] for name, entry in entries.items()} == {
        "digits": "bundled",
        "fashion-mnist": "not here",
        "cifar10": "not here",
    }
    assert (entries["cifar10"]["size"], entries["cifar10"]["licence"]) == (170_052_171, None)
    assert entries["fashion-mnist"]["classes"][9] == "Ankle boot"
    lines = gradcli("data", "list").stdout.splitlines()
    assert lines[0].split("\t") == ["name", "title", "train", "test", "size", "licence", "place"]
    assert lines[3].split("\t")[2:] == ["50000", "10000", "170052171", "", "not here"]


def test_what_is_here_is_not_fetched(gradcli: Run) -> None:
    result = gradcli("data", "fetch", "digits", "--json")
    assert result.exit_code == 0
    record = json.loads(result.stdout)
    assert (record["schema"], record["name"]) == ("gradcli.data.fetch/1", "digits")
    assert Path(record["path"]).is_file()
    assert "is here already and is not downloaded" in result.stderr


@pytest.mark.parametrize(
    ("arguments", "exit_code", "message"),
    [
        (["fetch", "mnist"], 3, "mnist: no known data set has this name; known are digits, fashion-mnist, cifar10"),
        (["fetch", "digits", "cifar10", "--url", "http://127.0.0.1/a"], 2, "--url http://127.0.0.1/a: is the place of"),
        (["fetch", "cifar10", "--url", "http://127.0.0.1:9/a.tar.gz"], 3, "http://127.0.0.1:9/a.tar.gz: cannot be"),
        (["inspect", "missing"], 3, "missing: no such data set, folder or file; expected digits, fashion-mnist"),
        (["inspect", "cifar10"], 3, "cifar10: is not here; gradcli data fetch cifar10 downloads it"),
    ],
)
def test_errors_are_one_line(
    gradcli: Run, monkeypatch: pytest.MonkeyPatch, arguments: list[str], exit_code: int, message: str
) -> None:
    monkeypatch.setenv("NO_PROXY", "127.0.0.1")
    result = gradcli("data", *arguments)
    assert (result.exit_code, result.stdout) == (exit_code, "")
    assert message in result.stderr.splitlines()[-1]


def flawed_folder(path: Path) -> Path:
    """A data set with an image that can't be read and one that is in two splits under two names."""
    write_folder(path / "train")
    write_folder(path / "val", count=3)
    shutil.copy(path / "train" / "class0" / "09.png", path / "val" / "class1" / "copy.png")
    for split in ("train", "val"):
        (path / split / "class2" / "02.png").write_bytes(b"")
    for name in ("class0/00.png", "class1/01.png"):
        (path / "val" / name).unlink()
    return path


def test_a_folder_is_inspected(gradcli: Run, gradcli_json: Run, tmp_path: Path) -> None:
    folder = flawed_folder(tmp_path / "photos")
    document = gradcli_json("data", "inspect", folder)
    assert document["schema"] == "gradcli.data.inspect/1"
    assert (document["source"], document["images"]) == (str(folder), 14)
    assert document["splits"] == {"train": 12, "validation": 2}
    assert document["classes"][1] == {"name": "class1", "train": 4, "validation": 1, "test": None}
    assert document["largest_size"] == {"width": 40, "height": 40, "images": 12}
    assert [image["path"] for image in document["unreadable"]] == [
        str(folder / split / "class2" / "02.png") for split in ("train", "val")
    ]
    (group,) = document["duplicates"]
    assert (group["across_splits"], group["across_classes"], len(group["images"])) == (True, True, 2)
    result = gradcli("data", "inspect", folder)
    assert result.exit_code == 0
    assert result.stdout.splitlines()[:2] == ["name\ttrain\tvalidation\ttest", "class0\t4\t0\t"]
    lines = result.stderr.splitlines()
    assert lines[0].startswith(f"warning: {folder / 'train' / 'class2' / '02.png'}: ")
    assert lines[2] == (
        f"warning: {folder / 'val' / 'class1' / 'copy.png'} (validation, class class1) is the same image as "
        f"{folder / 'train' / 'class0' / '09.png'} (train, class class0)"
    )
    assert lines[3:] == [
        "14 images in 3 classes",
        "all 40x40 pixels; RGB 12",
        "2 unreadable",
        "1 repeated (1 across splits, 1 across classes)",
    ]


def test_long_lists_of_what_is_wrong_are_cut(gradcli: Run, tmp_path: Path) -> None:
    for number in range(25):
        path = tmp_path / "photos" / f"class{number % 2}" / f"{number:02d}.png"
        path.parent.mkdir(parents=True, exist_ok=True)
        path.touch()
    result = gradcli("data", "inspect", tmp_path / "photos")
    lines = result.stderr.splitlines()
    assert len([line for line in lines if line.startswith("warning: ")]) == 21
    assert lines[20] == "warning: 5 more of the kind; --json has all"
    assert lines[21] == "25 images in 2 classes; the largest has 1.08 times the images of the smallest"


def test_a_name_with_a_line_break_is_named_in_one_line(gradcli: Run, tmp_path: Path) -> None:
    (tmp_path / "photos" / "class").mkdir(parents=True)
    (tmp_path / "photos" / "class" / "two\nlines.png").touch()
    result = gradcli("data", "inspect", tmp_path / "photos")
    warning = result.stderr.splitlines()[0]
    assert warning.startswith(rf"warning: {tmp_path / 'photos' / 'class' / 'two'}\nlines.png: not an image")


def test_quiet_inspection_writes_the_table_alone(gradcli: Run) -> None:
    result = gradcli("data", "inspect", "digits", "-q", "--format", "csv")
    assert (result.exit_code, result.stderr) == (0, "")
    assert result.stdout.splitlines()[:2] == ["name,train,validation,test", "0,178,,"]
