"""The shape option's parser and the options' defaults."""

from __future__ import annotations

import json
from collections.abc import Callable
from typing import Any

import pytest
import typer

from gradcli.cli.options import Shape, parse_shape
from gradcli.kernels.threads import get_num_threads


@pytest.mark.parametrize(("text", "shape"), [("1,3,64,64", (1, 3, 64, 64)), (" 8, 3 ,224,96", (8, 3, 224, 96))])
def test_a_shape_is_four_integers(text: str, shape: tuple[int, ...]) -> None:
    parsed = parse_shape(text)
    assert isinstance(parsed, Shape)
    assert parsed == shape


@pytest.mark.parametrize("text", ["", "1,3,64", "1,3,64,64,1", "1,3,0,64", "-1,3,64,64", "1,3,64,x", "1.0,3,64,64"])
def test_another_shape_is_refused_by_name(text: str) -> None:
    with pytest.raises(typer.BadParameter, match="is not four positive integers N,C,H,W such as 1,3,64,64"):
        parse_shape(text)


@pytest.fixture(autouse=True)
def _nothing_in_the_environment(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("GRADCLI_THREADS", "GRADCLI_KERNELS"):
        monkeypatch.delenv(name, raising=False)


def test_the_defaults_are_the_contracts(invoke: Callable[..., Any]) -> None:
    shown = json.loads(invoke("show").stdout)
    assert shown == {
        "schema": "gradcli.show/1",
        "weights": "default",
        "mode": None,
        "seed": 0,
        "input": None,
        "shape": None,
        "target": None,
        "loss": "sum-difference",
        "rules": [],
        "lr": 0.01,
        "nesterov": False,
        "param": None,
        "data": None,
        "kernels": "exact",
        "threads": get_num_threads(),
    }


def test_short_names_and_repeated_options(invoke: Callable[..., Any]) -> None:
    result = invoke("show", "-w", "w", "-i", "-", "-t", "3", "--param", "a", "--param", "b")
    shown = json.loads(result.stdout)
    assert [shown[name] for name in ("weights", "input", "target", "param")] == ["w", "-", "3", ["a", "b"]]


def test_threads_are_set_for_the_command_only(invoke: Callable[..., Any]) -> None:
    before = get_num_threads()
    assert json.loads(invoke("show", "--threads", 5).stdout)["threads"] == 5
    assert json.loads(invoke("show", env={"GRADCLI_THREADS": "3"}).stdout)["threads"] == 3
    assert json.loads(invoke("show").stdout)["threads"] == before
    refused = invoke("show", "--threads", "0")
    assert refused.exit_code == 2
    assert "--threads" in refused.stderr


def test_kernels_come_from_the_command_line_then_from_the_environment(invoke: Callable[..., Any]) -> None:
    fast = {"GRADCLI_KERNELS": "fast"}
    assert json.loads(invoke("show", "--kernels", "fast").stdout)["kernels"] == "fast"
    assert json.loads(invoke("show", env=fast).stdout)["kernels"] == "fast"
    assert json.loads(invoke("show", "--kernels", "exact", env=fast).stdout)["kernels"] == "exact"


@pytest.mark.parametrize(("words", "environment"), [(["--kernels", "quick"], {}), ([], {"GRADCLI_KERNELS": "quick"})])
def test_other_kernels_are_a_usage_error(
    words: list[str], environment: dict[str, str], invoke: Callable[..., Any]
) -> None:
    refused = invoke("show", *words, env=environment)
    assert refused.exit_code == 2
    assert "'quick' is not one of 'exact', 'fast'" in refused.stderr
