"""What a terminal shows: columns left out, rows before an error, the real commands."""

from __future__ import annotations

import functools
import io
from pathlib import Path

import pytest
from terminal import Terminal, needs_terminal

from gradcli.cli.output import Output
from gradcli.cli.tables import Column, draw_table, row_line
from gradcli.errors import DivergedError

gradcli_at_terminal = functools.partial(Terminal, ["-m", "gradcli"], streams=("stdout", "stderr"), NO_COLOR="1")


def drawn(columns: list[Column], records: list[dict[str, object]]) -> str:
    file = io.StringIO()
    draw_table(records, columns, file, "the caption")
    return file.getvalue()


def test_numbers_are_formatted_and_a_caption_follows(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("COLUMNS", "80")
    text = drawn(
        [Column("name"), Column("size", "numbers", ","), Column("ok")], [{"name": "a", "size": 1234, "ok": True}]
    )
    assert text.splitlines()[1].split() == ["name", "numbers", "ok"]
    assert text.splitlines()[3].split() == ["a", "1,234", "yes"]
    assert text.endswith("the caption\n")


def test_numbers_of_a_list_stand_apart_as_the_column_says(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("COLUMNS", "80")
    record: dict[str, object] = {"shape": (4, 3), "position": (2, 0)}
    columns = [Column("shape"), Column("position", "at", ",")]
    assert drawn(columns, [record]).splitlines()[3].split() == ["4x3", "2,0"]
    assert row_line(record, columns) == "4x3\t2x0\n"


def test_a_column_without_any_value_is_left_out(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("COLUMNS", "80")
    records: list[dict[str, object]] = [{"rank": 1, "name": None}, {"rank": 2, "name": None}]
    assert "name" not in drawn([Column("rank"), Column("name")], records)
    records[1]["name"] = "cat"
    assert "name" in drawn([Column("rank"), Column("name")], records)


def test_optional_columns_go_where_a_terminal_is_narrow(monkeypatch: pytest.MonkeyPatch) -> None:
    columns = [Column("name"), Column("mean", optional=1), Column("std", optional=2), Column("norm")]
    records: list[dict[str, object]] = [{"name": "x" * 20, "mean": "m" * 10, "std": "s" * 10, "norm": 1}]
    for width, expected in (
        (80, ["name", "mean", "std", "norm"]),
        (48, ["name", "mean", "norm"]),
        (34, ["name", "norm"]),
    ):
        monkeypatch.setenv("COLUMNS", str(width))
        assert drawn(columns, records).splitlines()[1].split() == expected


def test_rows_before_an_error_are_drawn(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    monkeypatch.setattr("gradcli.cli.output._is_terminal", lambda: True)

    def write_and_fail(records: list[dict[str, object]]) -> None:
        with Output("step", "table").record_writer([Column("step")]) as write:
            for record in records:
                write(record)
            raise DivergedError("the loss is nan")

    with pytest.raises(DivergedError):
        write_and_fail([{"step": 41}])
    assert "41" in capsys.readouterr().out
    with pytest.raises(DivergedError):
        write_and_fail([])
    assert capsys.readouterr().out == ""


def test_a_caption_can_tell_which_columns_had_no_room(monkeypatch: pytest.MonkeyPatch) -> None:
    columns = [Column("name"), Column("mean", optional=1), Column("std", optional=2), Column("empty", optional=3)]
    records: list[dict[str, object]] = [{"name": "x" * 20, "mean": "m" * 10, "std": "s" * 10}]
    for width, expected in ((80, ""), (44, "std"), (22, "mean std")):
        monkeypatch.setenv("COLUMNS", str(width))
        file = io.StringIO()
        draw_table(records, columns, file, lambda hidden: "hidden: " + " ".join(column.field for column in hidden))
        assert file.getvalue().splitlines()[-1].strip() == f"hidden: {expected}".strip()


@needs_terminal
def test_a_step_at_a_terminal(model_file: Path) -> None:
    terminal = gradcli_at_terminal(["step", "-w", str(model_file), "--shape", "2,3,32,32"], columns=100)
    lines = terminal.shown.decode().replace("\r\n", "\n").splitlines()
    assert terminal.exit_code == 0
    assert lines[1].split("  ")[0].strip() == "step"
    assert "11,181,642" in lines[3]
    # The caption may fold.
    assert f"weights{model_file},trainmode" in "".join(lines[4:]).replace(" ", "")


@needs_terminal
def test_gradients_at_a_narrow_terminal_have_whole_names(model_file: Path) -> None:
    arguments = ["grads", "-w", str(model_file), "--shape", "2,3,32,32", "--param", "layer2.0.*"]
    terminal = gradcli_at_terminal(arguments, columns=80)
    text = terminal.shown.decode()
    assert "layer2.0.downsample.0.weight" in text
    assert max(len(line) for line in text.replace("\r\n", "\n").splitlines()) <= 80


@needs_terminal
def test_a_run_at_a_terminal_shows_a_bar_and_its_epochs(model_file: Path, images_file: Path, tmp_path: Path) -> None:
    arguments = ["finetune", str(images_file), "-w", str(model_file), "--freeze-backbone", "--epochs", "2"]
    terminal = gradcli_at_terminal([*arguments, "--run", str(tmp_path / "run")], columns=120)
    text = terminal.shown.decode()
    assert terminal.exit_code == 0
    assert "epoch 1/2: loss " in text
    assert "validation loss " in text
    assert "train accuracy" in text


def test_control_characters_of_names_reach_no_terminal(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("COLUMNS", "80")
    record = {"name": "a\x1b]0;title\x07\n\tb\x9b2J"}
    escaped = r"a\x1b]0;title\x07\n\tb\x9b2J"
    assert escaped in drawn([Column("name")], [record])
    assert row_line(record, [Column("name")]) == escaped + "\n"


def test_control_characters_of_a_caption_reach_no_terminal() -> None:
    file = io.StringIO()
    draw_table([{"name": "a"}], [Column("name")], file, "one\x1b[2J\ntwo")
    assert file.getvalue().endswith("one\\x1b[2J\ntwo\n")
