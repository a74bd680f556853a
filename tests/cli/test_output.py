"""Where data goes: records and arrays, to a pipe, a file and a terminal."""

from __future__ import annotations

import functools
import io
import json
import os
from collections.abc import Callable
from pathlib import Path
from types import ModuleType
from typing import Any

import numpy as np
import pytest
from terminal import Terminal, needs_terminal

from gradcli.cli.output import Output
from gradcli.cli.tables import Column
from gradcli.errors import DataError, UsageError

PROBE_APP = Path(__file__).with_name("probe_app.py")
probe_at_terminal = functools.partial(Terminal, [str(PROBE_APP)])
COLUMNS = [Column("name"), Column("norm", format=".2g")]
RECORDS = [{"name": "fc.weight", "norm": 1 / 3, "extra": 1}, {"name": "fc.bias", "norm": float("nan"), "extra": 2}]


def test_a_piped_table_is_tab_separated_and_complete(run_probe: Callable[..., Any], probe_app: ModuleType) -> None:
    result = run_probe("rows")
    assert result.stdout.splitlines() == [
        "name\tnorm\tshape\tfrozen",
        f"{probe_app.LONG_NAME}\t0.3333333333333333\t64x3\ttrue",
        f"{probe_app.LONG_NAME}\t1.3333333333333333\t64x3\tfalse",
    ]
    assert "\x1b" not in result.stdout


def test_csv_has_a_header_and_full_numbers(invoke: Callable[..., Any], probe_app: ModuleType) -> None:
    lines = invoke("rows", "--format", "csv").stdout.splitlines()
    assert lines[0] == "name,norm,shape,frozen"
    assert lines[1] == f"{probe_app.LONG_NAME},0.3333333333333333,64x3,true"


@pytest.mark.parametrize("arguments", [["--json"], ["--format", "json"], ["--format", "jsonl"]])
def test_several_records_are_json_lines_with_the_schema_first(
    arguments: list[str], invoke: Callable[..., Any], probe_app: ModuleType
) -> None:
    lines = invoke("rows", *arguments).stdout.splitlines()
    assert len(lines) == 2
    assert lines[0].startswith('{"schema": "gradcli.rows/1", "name": ')
    assert json.loads(lines[1]) == {
        "schema": "gradcli.rows/1",
        "name": probe_app.LONG_NAME,
        "norm": 4 / 3,
        "shape": [64, 3],
        "frozen": False,
    }


def test_a_document_is_one_json_object(capsys: pytest.CaptureFixture[str]) -> None:
    output = Output("backward", "json")
    output.write_records(RECORDS, COLUMNS, document={"loss": float("inf")}, records_field="layers")
    text = capsys.readouterr().out
    assert text.startswith('{"schema": "gradcli.backward/1", "loss": "inf", "layers": [')
    assert [layer["norm"] for layer in json.loads(text)["layers"]] == [1 / 3, "nan"]
    assert text.count("\n") == 1


@pytest.mark.parametrize("format", ["table", "csv", "jsonl"])
def test_a_document_adds_nothing_to_rows(format: str, capsys: pytest.CaptureFixture[str]) -> None:
    Output("backward", format).write_records(RECORDS, COLUMNS, document={"loss": 1.0}, caption="loss 1")
    text = capsys.readouterr().out
    assert "loss" not in text
    assert "fc.bias" in text


def test_tabs_and_line_breaks_inside_a_field_are_escaped(capsys: pytest.CaptureFixture[str]) -> None:
    Output("x", "table").write_records([{"name": "a\tb\nc", "norm": None}], COLUMNS)
    assert capsys.readouterr().out == "name\tnorm\na\\tb\\nc\t\n"


def test_a_file_appears_complete_or_not_at_all(tmp_path: Path) -> None:
    path = tmp_path / "rows.tsv"
    path.write_text("old\n")
    output = Output("rows", "table", path)
    with pytest.raises(TypeError), output.record_writer(COLUMNS) as write:
        write({**RECORDS[0], "norm": object()})
    assert path.read_text() == "old\n"
    output.write_records(RECORDS, COLUMNS)
    assert path.read_text() == "name\tnorm\nfc.weight\t0.3333333333333333\nfc.bias\tnan\n"
    assert [each.name for each in tmp_path.iterdir()] == ["rows.tsv"]


def test_the_suffix_of_the_file_chooses_the_format(tmp_path: Path, invoke: Callable[..., Any]) -> None:
    result = invoke("rows", "-o", tmp_path / "rows.jsonl")
    assert (result.exit_code, result.stdout) == (0, "")
    assert len((tmp_path / "rows.jsonl").read_text().splitlines()) == 2
    assert invoke("rows", "-o", "-").stdout.startswith("name\t")


@pytest.mark.parametrize(
    ("name", "reason"),
    [("", "it is a folder; name a file"), ("missing/rows.csv", "there is no folder")],
)
def test_a_file_that_cant_be_written_is_a_data_error_before_the_work(
    name: str, reason: str, tmp_path: Path, invoke: Callable[..., Any]
) -> None:
    result = invoke("rows", "-o", f"{tmp_path}/{name}", "--format", "csv")
    assert result.exit_code == 3
    assert result.stderr.startswith(f"gradcli rows: error: {tmp_path}")
    assert reason in result.stderr
    assert list(tmp_path.iterdir()) == []


@pytest.mark.skipif(os.name != "posix" or os.geteuid() == 0, reason="needs a user whom permissions bind")
def test_a_write_protected_folder_is_a_data_error(tmp_path: Path) -> None:
    tmp_path.chmod(0o500)
    with pytest.raises(DataError, match="is write-protected"):
        Output.resolve("rows", str(tmp_path / "rows.csv"), None, ["table", "csv"])


@pytest.mark.skipif(not Path("/dev/full").exists(), reason="needs /dev/full")
@pytest.mark.parametrize("command", ["rows", "arrays"])
def test_a_full_disk_behind_a_file_names_the_file(command: str, invoke: Callable[..., Any]) -> None:
    result = invoke(command, "-o", "/dev/full", *(["--format", "npy"] if command == "arrays" else []))
    assert result.exit_code == 3
    assert result.stderr == f"gradcli {command}: error: /dev/full: cannot be written: No space left on device\n"


EXPECTED_ARRAY = np.array([[0, 3], [1, 4], [2, 5]], dtype=np.float32)


def test_npy_on_standard_output(invoke: Callable[..., Any]) -> None:
    array = np.load(io.BytesIO(invoke("arrays").stdout_bytes))
    np.testing.assert_array_equal(array, EXPECTED_ARRAY)
    assert array.dtype == np.float32
    assert array.flags.c_contiguous


def test_npz_on_standard_output_and_in_a_file(tmp_path: Path, invoke: Callable[..., Any]) -> None:
    piped = invoke("arrays", "--count", 2, "--format", "npz").stdout_bytes
    assert invoke("arrays", "--count", 2, "--format", "npz", "-o", tmp_path / "a.npz").exit_code == 0
    for content in (piped, (tmp_path / "a.npz").read_bytes()):
        with np.load(io.BytesIO(content)) as arrays:
            assert list(arrays) == ["a0", "a1"]
            np.testing.assert_array_equal(arrays["a1"], EXPECTED_ARRAY + 1)


def test_safetensors_on_standard_output_and_in_a_file(tmp_path: Path, invoke: Callable[..., Any]) -> None:
    from safetensors.numpy import load

    piped = invoke("arrays", "--format", "safetensors").stdout_bytes
    assert invoke("arrays", "--format", "safetensors", "-o", tmp_path / "a.safetensors").exit_code == 0
    assert (tmp_path / "a.safetensors").read_bytes() == piped
    np.testing.assert_array_equal(load(piped)["a0"], EXPECTED_ARRAY)


def test_a_zero_dimensional_array_stays_one(capfdbinary: pytest.CaptureFixture[bytes]) -> None:
    Output("x", "npy").write_arrays({"loss": np.array(1.5)})
    assert np.load(io.BytesIO(capfdbinary.readouterr().out)).shape == ()


@pytest.mark.parametrize("to_file", [True, False])
def test_rows_come_block_by_block(to_file: bool, tmp_path: Path, capfdbinary: pytest.CaptureFixture[bytes]) -> None:
    array = np.random.default_rng(0).normal(size=(7, 4)).astype(np.float32)
    for format in ("npy", "npz"):
        path = tmp_path / f"rows.{format}" if to_file else None
        blocks = (array[start : start + 3] for start in range(0, 7, 3))
        Output("probe", format, path).write_rows("features", (7, 4), blocks, {"path": np.array(["ä", "bcd"])})
        loaded = np.load(io.BytesIO(path.read_bytes() if path else capfdbinary.readouterr().out))
        if format == "npz":
            assert loaded["path"].tolist() == ["ä", "bcd"]
            loaded = loaded["features"]
        assert loaded.dtype == np.float32
        np.testing.assert_array_equal(loaded, array)
    with pytest.raises(ValueError, match="rows have no form in the format 'csv'"):
        Output("probe", "csv").write_rows("features", (0, 4), (), {})


def test_a_commands_own_bytes_are_written_as_they_are(tmp_path: Path) -> None:
    Output("probe", "png", tmp_path / "a.png").write_bytes(b"\x89PNG\r\n")
    assert (tmp_path / "a.png").read_bytes() == b"\x89PNG\r\n"


def test_npy_takes_exactly_one_array(invoke: Callable[..., Any]) -> None:
    result = invoke("arrays", "--count", 2)
    assert result.exit_code == 2
    assert "--format npy holds exactly one array, not 2; npz holds several" in result.stderr


@needs_terminal
def test_a_terminal_gets_a_table_with_whole_names(probe_app: ModuleType) -> None:
    terminal = probe_at_terminal(["rows"], ("stdout",))
    assert terminal.exit_code == 0
    text = terminal.shown.decode()
    assert "\x1b[" in text
    assert "parameter" in text
    assert "0.333 " in text
    assert "\t" not in text
    assert "…" not in text
    # The name is longer than the terminal is wide: it folds, and no part of it is lost.
    first_words = [line.split()[0] for line in text.splitlines() if line.strip()]
    assert probe_app.LONG_NAME in "".join(first_words)


@needs_terminal
def test_no_color_means_no_escape_sequence_at_all() -> None:
    terminal = probe_at_terminal(["rows"], ("stdout",), NO_COLOR="1")
    assert b"parameter" in terminal.shown
    assert b"\x1b" not in terminal.shown


@needs_terminal
def test_json_is_the_same_at_a_terminal(invoke: Callable[..., Any]) -> None:
    terminal = probe_at_terminal(["rows", "--json"], ("stdout",))
    assert terminal.shown.replace(b"\r\n", b"\n").decode() == invoke("rows", "--json").stdout


@needs_terminal
@pytest.mark.parametrize("format", ["npy", "npz", "safetensors"])
def test_binary_data_is_refused_at_a_terminal(format: str) -> None:
    terminal = probe_at_terminal(["arrays", "--format", format], ("stdout",))
    assert terminal.exit_code == 2
    assert terminal.shown == b""
    assert terminal.piped.decode() == (
        f"gradcli arrays: error: --format {format} is binary, standard output a terminal; "
        f"add -o FILE.{format} or a pipe\n"
    )


@needs_terminal
def test_a_progress_bar_leaves_standard_output_alone() -> None:
    terminal = probe_at_terminal(["talk"], ("stderr",))
    assert terminal.piped == b"data\n"
    assert b"epoch 1" in terminal.shown
    assert b"\x1b[" in terminal.shown
    quiet = probe_at_terminal(["talk", "-q"], ("stderr",))
    assert (quiet.piped, quiet.shown) == (b"data\n", b"")


def test_a_format_that_records_dont_have_is_a_programming_error() -> None:
    with (
        pytest.raises(ValueError, match="records have no form in the format 'svg'"),
        Output("x", "svg").record_writer(COLUMNS) as write,
    ):
        write(RECORDS[0])
    with pytest.raises(ValueError, match="arrays have no form in the format 'csv'"):
        Output("x", "csv").write_arrays({})


def test_resolving_refuses_contradictions() -> None:
    with pytest.raises(UsageError, match="contradict each other"):
        Output.resolve("x", None, "csv", ["table", "csv", "json"], json=True)
