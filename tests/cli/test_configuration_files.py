"""The configuration files that come with the project."""

from __future__ import annotations

import json
import tomllib
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

CONFIGS = Path(__file__).parents[2] / "configs"
Run = Callable[..., Any]


def test_the_tutorials_step(gradcli_json: Run) -> None:
    configured, plain = gradcli_json("step", "--config", CONFIGS / "tutorial.toml"), gradcli_json("step")
    for field in ("loss", "grad_norm", "update_norm", "trainable", "weights", "mode"):
        assert configured[field] == plain[field]


def test_the_tutorials_values_serve_the_other_commands_of_a_pass(gradcli: Run) -> None:
    for command in ("forward", "backward", "grads"):
        assert gradcli(command, "--config", CONFIGS / "tutorial.toml", "--shape", "2,3,32,32").exit_code == 0


def test_the_command_line_wins_over_the_tutorials_file(gradcli_json: Run) -> None:
    record = gradcli_json("step", "--config", CONFIGS / "tutorial.toml", "--lr", 0.5, "--shape", "2,3,32,32")
    assert record["update_norm"] == pytest.approx(0.5 * record["grad_norm"], rel=1e-4)


@pytest.mark.parametrize(
    ("name", "changes"),
    [
        ("finetune-digits.toml", {"epochs": 1, "batch-size": 256}),
        ("train-digits.toml", {"epochs": 2, "batch-size": 256, "image-size": 16}),
    ],
)
def test_finetuning_the_digits(name: str, changes: dict[str, int], gradcli: Run) -> None:
    words = [word for option, value in changes.items() for word in (f"--{option}", value)]
    result = gradcli("finetune", "--config", CONFIGS / name, *words, "--run", "run", "--json")
    assert result.exit_code == 0, result.stderr
    records = [json.loads(line) for line in result.stdout.splitlines()]
    assert [record["epoch"] for record in records] == list(range(1, changes["epochs"] + 1))
    given, written = (tomllib.loads(path.read_text()) for path in (CONFIGS / name, Path("run/config.toml")))
    expected = given["finetune"] | changes
    assert {key: written[key] for key in expected} == expected
