"""Configuration files: keys, values, precedence and what is refused."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest


@pytest.fixture
def show(tmp_path: Path, invoke: Callable[..., Any]) -> Callable[..., Any]:
    """Run `show` with a configuration file of the given text."""

    def run(toml: str | bytes, *arguments: str, **options: Any) -> Any:
        config = tmp_path / "run.toml"
        config.write_bytes(toml if isinstance(toml, bytes) else toml.encode())
        return invoke("show", "--config", config, *arguments, **options)

    return run


ACCEPTED = [
    ("lr = 0.5", {"lr": 0.5}),
    ("lr = 1", {"lr": 1.0}),
    ("seed = 7\nnesterov = true", {"seed": 7, "nesterov": True}),
    ('weights = "random:3"\nmode = "eval"\nloss = "mse"', {"weights": "random:3", "mode": "eval", "loss": "mse"}),
    ('shape = "2,3,8,8"', {"shape": [2, 3, 8, 8]}),
    ("shape = [2, 3, 8, 8]", {"shape": [2, 3, 8, 8]}),
    ("target = 5", {"target": "5"}),
    ('param = ["fc.*", "conv1.weight"]', {"param": ["fc.*", "conv1.weight"]}),
    ('param = "fc.*"', {"param": ["fc.*"]}),
    ('data = "digits"', {"data": "digits"}),
    ("[show]\nlr = 0.5\nseed = 3", {"lr": 0.5, "seed": 3}),
    ("lr = 0.1\nseed = 3\n[show]\nlr = 0.5", {"lr": 0.5, "seed": 3}),
    ("lr = 0.1\n[rows]\ncount = 3\n[files.copy]\nx = 1", {"lr": 0.1}),
    ("threads = 3", {"threads": 3}),
    ('kernels = "fast"', {"kernels": "fast"}),
    ("", {"lr": 0.01, "weights": "default"}),
]


@pytest.mark.parametrize(("toml", "values"), ACCEPTED)
def test_values_reach_the_command(toml: str, values: dict[str, Any], show: Callable[..., Any]) -> None:
    result = show(toml)
    assert result.stderr == ""
    shown = json.loads(result.stdout)
    assert {name: shown[name] for name in values} == values


def test_the_command_line_wins_then_the_environment_then_the_file(show: Callable[..., Any]) -> None:
    toml = 'weights = "file"\nlr = 0.5\n[show]\ndata = "file"'
    environment = {"GRADCLI_WEIGHTS": "environment"}

    def weights(*arguments: str, **options: Any) -> Any:
        return json.loads(show(toml, *arguments, **options).stdout)["weights"]

    assert weights() == "file"
    assert weights(env=environment) == "environment"
    assert weights("-w", "command line", env=environment) == "command line"
    shown = json.loads(show(toml, "positional", "--lr", "0.25").stdout)
    assert (shown["data"], shown["lr"]) == ("positional", 0.25)


REFUSED = [
    ("learning-rate = 0.1", "unknown key 'learning-rate'"),
    ("momentun = 0.1", "unknown key 'momentun'; did you mean momentum"),
    ("weight_deacy = 0.1", "did you mean weight-decay"),
    ("[show]\nmomentun = 0.1", "did you mean momentum"),
    ('config = "other.toml"', "unknown key 'config'"),
    ("[shwo]\nlr = 1", "[shwo] is the name of no command"),
    ('lr = "fast"', "lr = 'fast': "),
    ("lr = true", "lr = true: must be a string or a number"),
    ("lr = [0.1, 0.2]", "lr = [0.1, 0.2]: "),
    ("seed = 1.5", "seed = 1.5: "),
    ("seed = -1", "seed = -1: "),
    ('nesterov = "yes"', "nesterov = 'yes': must be true or false"),
    ("nesterov = 1", "nesterov = 1: must be true or false"),
    ("param = [true]", "must be a string or a number or a list of those"),
    ('loss = "mae"', "loss = 'mae': "),
    ('shape = "3,8,8"', "shape = '3,8,8': '3,8,8' is not four positive integers"),
    ("seed = 1979-05-27", "must be a string or a number"),
    ("lr = ", "not valid TOML: Invalid value (at end of document)"),
    (b"\xff\xfe", "not valid TOML"),
]


@pytest.mark.parametrize(("toml", "message"), REFUSED)
def test_a_bad_file_is_a_usage_error_that_names_file_and_key(
    toml: str | bytes, message: str, show: Callable[..., Any]
) -> None:
    result = show(toml)
    assert result.exit_code == 2
    assert result.stdout == ""
    assert result.stderr.startswith("gradcli show: error: ")
    assert "run.toml: " in result.stderr
    assert message in result.stderr
    assert result.stderr.count("\n") == 1


def test_a_file_that_is_missing_or_a_folder_is_a_usage_error(tmp_path: Path, invoke: Callable[..., Any]) -> None:
    missing = invoke("show", "--config", tmp_path / "none.toml")
    assert missing.exit_code == 2
    assert missing.stderr == f"gradcli show: error: --config {tmp_path}/none.toml: No such file or directory\n"
    folder = invoke("show", "--config", tmp_path)
    assert folder.exit_code == 2
    assert folder.stderr == f"gradcli show: error: --config {tmp_path}: Is a directory\n"


def test_a_nested_command_has_a_nested_table(tmp_path: Path, invoke: Callable[..., Any]) -> None:
    config = tmp_path / "run.toml"
    config.write_text('[files.copy]\nsource = "a"\ntarget = "b"\n')
    result = invoke("files", "copy", "--config", config)
    assert (result.exit_code, result.stderr) == (3, "gradcli files copy: error: a: no such file\n")


def test_help_shows_the_files_values_as_defaults(show: Callable[..., Any]) -> None:
    assert "default: 0.125" in show("lr = 0.125", "--help").stdout
