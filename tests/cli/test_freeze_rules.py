"""Freeze rules keep the order in which they were given."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

ORDERS = [
    ([], []),
    (["--freeze", "a"], [["freeze", "a"]]),
    (
        ["--freeze", "a", "--unfreeze", "b", "--freeze", "c"],
        [["freeze", "a"], ["unfreeze", "b"], ["freeze", "c"]],
    ),
    (
        ["--unfreeze=x", "--seed", "3", "--freeze-backbone", "--unfreeze", "layer4.*", "--freeze=y"],
        [["unfreeze", "x"], ["freeze-backbone", ""], ["unfreeze", "layer4.*"], ["freeze", "y"]],
    ),
    (["--freeze=--freeze"], [["freeze", "--freeze"]]),
]


@pytest.mark.parametrize(("arguments", "rules"), ORDERS)
def test_rules_come_in_the_order_of_the_command_line(
    arguments: list[str], rules: list[list[str]], invoke: Callable[..., Any]
) -> None:
    assert json.loads(invoke("show", *arguments).stdout)["rules"] == rules


def test_the_files_rules_come_first_in_file_order(tmp_path: Path, invoke: Callable[..., Any]) -> None:
    config = tmp_path / "run.toml"
    config.write_text('unfreeze = "fc.*"\nfreeze-backbone = true\nfreeze = ["layer1.*", "bn1.*"]\n')
    result = invoke("show", "--freeze", "conv1.weight", "--config", config, "--unfreeze", "bn1.bias")
    assert json.loads(result.stdout)["rules"] == [
        ["unfreeze", "fc.*"],
        ["freeze-backbone", ""],
        ["freeze", "layer1.*"],
        ["freeze", "bn1.*"],
        ["freeze", "conv1.weight"],
        ["unfreeze", "bn1.bias"],
    ]


def test_a_backbone_that_the_file_does_not_freeze_is_no_rule(tmp_path: Path, invoke: Callable[..., Any]) -> None:
    config = tmp_path / "run.toml"
    config.write_text("freeze_backbone = false\n")
    assert json.loads(invoke("show", "--config", config).stdout)["rules"] == []
