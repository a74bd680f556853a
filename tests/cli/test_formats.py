"""Which format a run ends up with."""

from __future__ import annotations

from pathlib import Path

import pytest

from gradcli.cli.formats import choose_format
from gradcli.errors import UsageError

FORMATS = ("table", "json", "jsonl", "csv", "npz")

CHOSEN = [
    (None, None, False, "table"),
    ("csv", None, False, "csv"),
    (None, None, True, "json"),
    ("json", None, True, "json"),
    (None, "a.csv", False, "csv"),
    (None, "a.JSONL", False, "jsonl"),
    (None, "a.ndjson", False, "jsonl"),
    (None, "a.tsv", False, "table"),
    (None, "a.npz", False, "npz"),
    (None, "a.txt", False, "table"),
    (None, "a", False, "table"),
    ("json", "a.txt", False, "json"),
    ("jsonl", "a.json", False, "jsonl"),
    (None, "a.json", True, "json"),
    ("csv", "a.dat", False, "csv"),
]


@pytest.mark.parametrize(("format", "path", "json", "chosen"), CHOSEN)
def test_the_format_is_given_or_guessed(format: str | None, path: str | None, json: bool, chosen: str) -> None:
    assert choose_format(format, FORMATS, Path(path) if path else None, json=json) == chosen


REFUSED = [
    ("csv", None, True, "--json and --format csv contradict each other"),
    (None, "a.csv", True, "--output a.csv and --format json contradict each other"),
    ("csv", "a.npz", False, "--output a.npz and --format csv contradict each other"),
    ("npy", None, False, "--format npy: this command writes table, json, jsonl, csv, npz"),
    (None, "a.npy", False, "--output a.npy: .npy is no format of this command; it writes table, json"),
    (None, "a.parquet", False, "--output a.parquet: .parquet is no format of this command"),
]


@pytest.mark.parametrize(("format", "path", "json", "message"), REFUSED)
def test_contradictions_are_named(format: str | None, path: str | None, json: bool, message: str) -> None:
    with pytest.raises(UsageError) as caught:
        choose_format(format, FORMATS, Path(path) if path else None, json=json)
    assert message in str(caught.value)


def test_a_picture_is_told_by_its_suffix() -> None:
    assert choose_format(None, ("table", "png"), Path("a.PNG")) == "png"


def test_a_command_without_plain_json_guesses_its_json_lines() -> None:
    assert choose_format(None, ("table", "jsonl"), Path("a.json")) == "jsonl"
