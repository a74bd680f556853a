"""`gradcli selftest`: a line for each check, the document, and the exit code of a check that fails."""

from __future__ import annotations

import dataclasses
import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from gradcli.inspection.selftest import checks

Run = Callable[..., Any]
ARGUMENTS = ("selftest", "--shape", "2,3,32,32", "-w")


def test_a_line_for_each_check_and_exit_code_0(gradcli: Run, model_file: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(checks, "CHECKS", checks.CHECKS[:3])
    result = gradcli(*ARGUMENTS, model_file)
    assert result.exit_code == 0
    heading, *rows = [line.split("\t") for line in result.stdout.splitlines()]
    assert heading[:4] == ["name", "ok", "value", "bound"]
    assert [(row[0], row[1]) for row in rows] == [(check.name, "true") for check in checks.CHECKS]
    assert result.stderr.splitlines()[-1] == f"all 3 checks hold for {model_file} on this machine"


def test_a_check_that_fails_is_written_and_ends_with_6(
    gradcli: Run, model_file: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    wrong = dataclasses.replace(checks.CHECKS[0], measure=lambda subject: float("nan"))
    monkeypatch.setattr(checks, "CHECKS", (wrong, checks.CHECKS[1]))
    result = gradcli(*ARGUMENTS, model_file, "--json")
    document = json.loads(result.stdout)
    assert result.exit_code == 6
    assert (document["schema"], document["ok"], document["shape"]) == ("gradcli.selftest/1", False, [2, 3, 32, 32])
    assert [(check["name"], check["value"], check["ok"]) for check in document["checks"]] == [
        ("parameters", "nan", False),
        ("tensors", 0.0, True),
    ]
    assert result.stderr.splitlines()[-1] == (
        "gradcli selftest: error: 1 of 2 checks failed: parameters (nan, at most 0)"
    )


def test_one_image_is_wrong_usage(gradcli: Run) -> None:
    result = gradcli("selftest", "--shape", "1,3,64,64")
    assert result.exit_code == 2
    assert result.stderr.startswith("gradcli selftest: error: --shape 1,3,64,64: ")
