"""`gradcli predict`: images in the order given, answered as they come, whatever is wrong with some of them."""

from __future__ import annotations

import csv
import io
import json
import os
import re
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from labelled_images import write_folder
from named_weights import write_named_weights
from terminal import Terminal, needs_terminal

Run = Callable[..., Any]
CLASSES = ["cat", "dog", "tab\there", "frog"]


@pytest.fixture
def named(tmp_path: Path) -> Path:
    """Weights that name their four classes."""
    return write_named_weights(tmp_path / "named.safetensors", CLASSES)


@pytest.fixture
def photos(tmp_path: Path) -> list[str]:
    """Four image files in `photos/class0`, relative to the folder that commands run in."""
    folder = write_folder(tmp_path / "photos")
    return sorted(str(path.relative_to(tmp_path)) for path in (folder / "class0").iterdir())


def records(text: str) -> list[dict[str, Any]]:
    return [json.loads(line) for line in text.splitlines()]


def test_json_has_a_line_for_each_image(gradcli: Run, named: Path, photos: list[str]) -> None:
    result = gradcli("predict", *photos[::-1], "-w", named, "--top", 3, "--json")
    assert (result.exit_code, result.stderr) == (0, "")
    found = records(result.stdout)
    assert [record["path"] for record in found] == photos[::-1]
    assert {record["schema"] for record in found} == {"gradcli.predict/1"}
    assert {record["weights"] for record in found} == {str(named)}
    forward = gradcli("forward", "-w", named, "--mode", "eval", "-i", "photos/class0", "--format", "npy")
    scores = np.load(io.BytesIO(forward.stdout_bytes)).astype(np.float64)[::-1]
    for record, row in zip(found, scores, strict=True):
        assert "error" not in record
        assert [entry["index"] for entry in record["classes"]] == np.argsort(-row)[:3].tolist()
        for rank, entry in enumerate(record["classes"], start=1):
            assert (entry["rank"], entry["name"]) == (rank, CLASSES[entry["index"]])
            assert entry["probability"] == pytest.approx(np.exp(row[entry["index"]]) / np.exp(row).sum(), rel=1e-3)


def test_rows_have_a_line_for_each_class(gradcli: Run, named: Path, photos: list[str]) -> None:
    arguments = ("predict", "photos/class0", "-w", named, "--top", 2)
    whole = records(gradcli(*arguments, "--json").stdout)
    rows = list(csv.DictReader(io.StringIO(gradcli(*arguments, "--format", "csv").stdout)))
    entries = [(record["path"], entry) for record in whole for entry in record["classes"]]
    assert len(rows) == len(entries) == 8
    for row, (path, entry) in zip(rows, entries, strict=True):
        assert (row["path"], int(row["rank"]), int(row["index"])) == (path, entry["rank"], entry["index"])
        assert (float(row["probability"]), row["name"], row["error"]) == (entry["probability"], entry["name"], "")
    table = gradcli(*arguments).stdout.splitlines()
    assert table[0] == "path\trank\tindex\tname\tprobability\terror"
    assert len(table) == 9
    assert all(len(line.split("\t")) == 6 for line in table)


@pytest.mark.parametrize("form", ["json", "csv", "table"])
def test_images_that_cant_be_read_are_answered_so_and_the_others_too(
    form: str, gradcli: Run, named: Path, photos: list[str]
) -> None:
    Path(photos[1]).write_text("broken")
    result = gradcli("predict", *photos, "none.jpg", "-w", named, "--top", 1, "--format", form)
    assert result.exit_code == 3
    reasons = {
        photos[1]: "not an image; expected a file such as JPEG, PNG, TIFF or WebP",
        "none.jpg": "no such file; expected an image",
    }
    assert result.stderr.splitlines() == [
        *(f"warning: {path}: {reason}; left out" for path, reason in reasons.items()),
        *([] if form == "json" else [f"weights {named}, fast kernels"]),
        f"gradcli predict: error: 2 of 5 images can't be read: {photos[1]}, none.jpg",
    ]
    if form == "json":
        found = records(result.stdout)
    else:
        found = list(csv.DictReader(io.StringIO(result.stdout), delimiter="," if form == "csv" else "\t"))
    assert [record["path"] for record in found] == [*photos, "none.jpg"]
    assert {record["path"]: record["error"] for record in found if record.get("error")} == reasons
    strict = gradcli("predict", *photos, "-w", named, "--strict")
    assert (strict.exit_code, strict.stdout) == (3, "")
    assert strict.stderr == f"gradcli predict: error: {photos[1]}: {reasons[photos[1]]}\n"


def test_a_list_on_standard_input(gradcli: Run, named: Path, photos: list[str]) -> None:
    os.rename(photos[0], "photos/class0/new\nline.png")
    lines = gradcli("predict", "-", "-w", named, "--json", input="\n".join(photos[1:]))
    assert lines.exit_code == 0
    assert [record["path"] for record in records(lines.stdout)] == photos[1:]
    paths = ["photos/class0/new\nline.png", *photos[1:]]
    nulls = gradcli("predict", "-0", "-", "-w", named, "--json", input="".join(f"{path}\0" for path in paths))
    assert [record["path"] for record in records(nulls.stdout)] == paths
    table = gradcli("predict", "--null", "-", "-w", named, "--top", 1, input=f"{paths[0]}\0").stdout.splitlines()
    assert table[1].startswith(r"photos/class0/new\nline.png	1	")


@pytest.mark.parametrize("form", ["json", "table"])
@pytest.mark.parametrize(
    ("option", "ending", "content"), [("-w", "line", ""), ("-w", "line", "\n\r\n"), ("-0w", "null byte", "\0")]
)
def test_a_list_without_paths_is_refused_as_a_folder_without_images_is(
    option: str, ending: str, content: str, form: str, gradcli: Run, named: Path
) -> None:
    result = gradcli("predict", "-", option, named, "--format", form, input=content)
    message = f"gradcli predict: error: standard input: names no image files; expected a path for each {ending}\n"
    assert (result.exit_code, result.stdout, result.stderr) == (3, "", message)


def test_an_answer_comes_while_the_list_is_still_being_written(tmp_path: Path, named: Path, photos: list[str]) -> None:
    command = [sys.executable, "-m", "gradcli", "predict", "-", "-w", str(named), "--json"]
    with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True, cwd=tmp_path) as process:
        assert process.stdin is not None
        assert process.stdout is not None
        for path in photos:
            process.stdin.write(f"{path}\n")
            process.stdin.flush()
            assert json.loads(process.stdout.readline())["path"] == path
        process.stdin.close()
        assert process.stdout.read() == ""
    assert process.returncode == 0


@pytest.mark.skipif(sys.platform != "linux", reason="file names are bytes there")
@pytest.mark.parametrize("form", ["json", "csv", "table"])
def test_a_name_that_is_no_utf8_is_escaped(
    form: str, gradcli_process: Run, named: Path, photos: list[str], tmp_path: Path
) -> None:
    os.rename(tmp_path / photos[0], os.fsencode(tmp_path) + b"/caf\xe9.png")
    result = gradcli_process("predict", os.fsdecode(b"caf\xe9.png"), "-w", named, "--top", 1, "--format", form)
    assert (result.returncode, result.stderr) == (0, "" if form == "json" else f"weights {named}, fast kernels\n")
    assert r"\udce9.png" in result.stdout


def test_random_weights_name_no_classes(gradcli: Run, photos: list[str]) -> None:
    (record,) = records(gradcli("predict", photos[0], "-w", "random:0", "--image-size", 32, "--json").stdout)
    assert [entry["name"] for entry in record["classes"]] == [None] * 5
    assert all(0 <= entry["index"] < 1000 for entry in record["classes"])


REFUSED = [
    ("predict", 2, "Missing argument 'PATH...'"),
    ("predict empty -w NAMED", 3, "empty: no images in this folder; expected files ending in"),
    ("predict photos -w NAMED", 3, "photos: no images in this folder (it has the folders class0, class1, class2"),
    ("predict photos/class0 -w NAMED --format npy", 2, "Invalid value for '--format'"),
    ("predict photos/class0 -w OVERFLOWING --image-size 32", 5, "is not finite: the values of OVERFLOWING or of the"),
    ("predict photos/class0 -w NAMED -b 0", 2, "Invalid value for '--batch-size'"),
    ("predict photos/class0 -w none.pth", 4, "none.pth: no such file"),
]


@pytest.mark.parametrize(("line", "exit_code", "message"), REFUSED, ids=[case[0] for case in REFUSED])
def test_what_is_refused_is_one_line(
    line: str, exit_code: int, message: str, gradcli: Run, named: Path, photos: list[str], overflowing_file: Path
) -> None:
    Path("empty").mkdir()
    files = {"NAMED": str(named), "OVERFLOWING": str(overflowing_file)}
    result = gradcli(*(files.get(word, word) for word in line.split()))
    assert (result.exit_code, result.stdout) == (exit_code, ""), result.stderr
    (only,) = result.stderr.splitlines()
    assert only.startswith("gradcli predict: error: ")
    assert message.replace("OVERFLOWING", files["OVERFLOWING"]) in only


def plain_lines(terminal: Terminal) -> list[str]:
    """The lines that a terminal shows, without colours and what is blank at their ends."""
    text = re.sub(r"\x1b\[[0-9;]*m", "", terminal.shown.decode())
    return [line.rstrip() for line in text.splitlines()]


@needs_terminal
def test_a_terminal_gets_bars_and_names_below_each_images_path(tmp_path: Path, photos: list[str]) -> None:
    names = ["\U0001f415 dog", "\u2764\ufe0f red heart", "tab\there", "\U0001f468\u200d\U0001f373 man cook"]
    weights = write_named_weights(tmp_path / "emoji.safetensors", names)
    (tmp_path / photos[1]).write_text("broken")
    arguments = ["predict", *(str(tmp_path / photo) for photo in photos[:2]), "-w", str(weights), "--top", "4"]
    terminal = Terminal(["-m", "gradcli"], arguments, ["stdout"], columns=250)
    assert terminal.exit_code == 3
    lines = plain_lines(terminal)
    assert lines[0] == str(tmp_path / photos[0])
    rows = [re.fullmatch(r"  ( *[0-9]+\.[0-9] %)  ([█▏▎▍▌▋▊▉ ]{20})  (.*)", line) for line in lines[1:5]]
    assert all(rows)
    shares = [float(row[1].removesuffix("%")) for row in rows]
    assert shares == sorted(shares, reverse=True)
    assert sum(shares) == pytest.approx(100, abs=0.3)
    for share, row in zip(shares, rows, strict=True):
        assert len(row[2].rstrip()) == pytest.approx(share / 100 * 20, abs=1)
    assert {row[3] for row in rows} == {name.replace("\t", r"\t") for name in names}
    assert lines[5:] == [
        "",
        str(tmp_path / photos[1]),
        "  not an image; expected a file such as JPEG, PNG, TIFF or WebP",
        "",
        f"weights {weights}, fast kernels",
    ]


@needs_terminal
def test_a_narrow_terminal_without_colours_folds_names(tmp_path: Path, photos: list[str]) -> None:
    weights = write_named_weights(tmp_path / "w.safetensors", ["hand with index finger and thumb crossed", "b"])
    arguments = ["predict", str(tmp_path / photos[0]), "-w", str(weights), "--top", "2"]
    terminal = Terminal(["-m", "gradcli"], arguments, ["stdout"], columns=50, NO_COLOR="1")
    assert b"\x1b" not in terminal.shown
    assert all(word in terminal.shown.decode() for word in ("hand", "finger", "thumb", "crossed"))


@needs_terminal
def test_a_terminal_sees_the_numbers_of_classes_without_names(tmp_path: Path, photos: list[str]) -> None:
    arguments = ["predict", str(tmp_path / photos[0]), "-w", "random:0", "--image-size", "32", "--top", "1"]
    terminal = Terminal(["-m", "gradcli"], arguments, ["stdout"], columns=250)
    assert re.search(r" %.*  class [0-9]+$", plain_lines(terminal)[1])
