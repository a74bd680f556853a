"""`gradcli grads --why`: a planted fault is named, on a terminal, in pipes and in files."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from terminal import Terminal, needs_terminal

from gradcli.checkpoints import load_checkpoint, save_safetensors

Run = Callable[..., Any]

BELOW = ["layer1.1.conv1.weight", "layer1.1.bn1.weight", "layer1.1.bn1.bias"]
BEHIND = ["layer1.1.conv2.weight", "layer1.1.bn2.weight"]


@pytest.fixture(scope="module")
def dead_file(model_file: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Weights with a ReLU in layer1.1 that gives only zeros, whatever comes in."""
    tensors = load_checkpoint(model_file).tensors
    tensors["layer1.1.bn1.bias"][...] = -100
    path = tmp_path_factory.mktemp("weights") / "dead.safetensors"
    save_safetensors(path, tensors)
    return path


@pytest.fixture(scope="module")
def common(dead_file: Path) -> tuple[object, ...]:
    return ("grads", "--why", "-w", dead_file, "--shape", "2,3,32,32")


def test_a_dead_relu_is_found(gradcli: Run, common: tuple[object, ...]) -> None:
    result = gradcli(*common, "--freeze", "layer4.*", "--json")
    assert result.exit_code == 0
    assert result.stderr == (
        "42 of 62 parameters have a gradient of use; without one: 3 dead-relu, 2 zero, 15 frozen "
        "(dead for 2 random images, -i or --shape takes more)\n"
    )
    document = json.loads(result.stdout, parse_constant=pytest.fail)
    assert document["schema"] == "gradcli.grads/1"
    assert document["useful"] == 42
    assert document["reasons"] == {"dead-relu": 3, "zero": 2, "frozen": 15}
    lost = {record["name"]: record for record in document["lost"]}
    assert list(lost)[:5] == BELOW + BEHIND
    assert all(name.startswith("layer4.") for name in list(lost)[5:])
    assert {lost[name]["stopped_at"] for name in BELOW} == {"layer1.1.relu#1"}
    assert {lost[name]["zeros_begin_at"] for name in BELOW + BEHIND} == {"layer1.1.relu#1"}
    assert document["images"] == 2
    for name in BELOW + BEHIND:
        (source,) = lost[name]["dead_relu"]["sources"]
        assert lost[name]["dead_relu"]["relu"] == "layer1.1.relu#1"
        assert lost[name]["dead_relu"]["input_max"] == source["max"] < -90
        assert (source["module"], source["bias_mean"]) == ("layer1.1.bn1", -100)
        assert ", from layer1.1.bn1 (bias -100 on average, weight " in lost[name]["explanation"]
    assert lost["layer4.0.bn1.bias"]["dead_relu"] is None
    path = lost["layer1.1.conv1.weight"]["path"]
    assert path[:3] == ["loss", "fc", "avgpool"]
    assert path[-4:] == ["layer1.1.relu#1", "layer1.1.bn1", "layer1.1.conv1", "layer1.1.conv1.weight"]


def test_the_lost_gradients_are_those_that_are_zero_in_the_statistics(
    gradcli: Run, gradcli_json: Run, common: tuple[object, ...]
) -> None:
    statistics = gradcli_json(*[each for each in common if each != "--why"])
    zero = [record["name"] for record in statistics["gradients"] if record["zero_share"] == 1]
    assert sorted(zero) == sorted(BELOW + BEHIND)
    result = gradcli(*common, "--fail-on", "zero")
    assert result.exit_code == 6
    assert "5 of 62 gradients are zero (zero): layer1.1.conv1.weight, " in result.stderr
    assert len(result.stdout.splitlines()) == 6  # the output is written all the same


def test_off_a_terminal_all_are_listed_with_tabs(gradcli: Run, model_file: Path) -> None:
    result = gradcli("grads", "--why", "-w", model_file, "--shape", "2,3,32,32", "--freeze-backbone")
    heading, *rows = [line.split("\t") for line in result.stdout.splitlines()]
    assert heading == [
        *("name", "shape", "numel", "reason", "stopped_at", "zeros_begin_at", "nonfinite_begins_at"),
        *("explanation", "path"),
    ]
    assert len(rows) == 60
    assert {tuple(row[3:7]) for row in rows} == {("frozen", "fc", "", "")}
    assert json.loads(rows[0][8])[-1] == rows[0][0] == "conv1.weight"


def test_nan_in_a_weight_is_found_in_what_it_reaches(gradcli: Run, model_file: Path, tmp_path: Path) -> None:
    tensors = load_checkpoint(model_file).tensors
    tensors["layer4.0.conv2.weight"][17, 5, 1, 1] = float("nan")
    save_safetensors(tmp_path / "nan.safetensors", tensors)
    arguments = ("grads", "--why", "-w", tmp_path / "nan.safetensors", "--shape", "2,3,32,32", "--json")
    result = gradcli(*arguments, "--fail-on", "nonfinite")
    assert result.exit_code == 6
    document = json.loads(result.stdout, parse_constant=pytest.fail)
    lost = {record["name"]: record for record in document["lost"] if record["reason"] == "nonfinite"}
    assert list(lost) == document["failing"]["nonfinite"]
    assert len(lost) == document["reasons"]["nonfinite"] == 62 - document["useful"] > 55
    assert {record["nonfinite_begins_at"] for record in lost.values()} == {"layer4.0.conv2.weight"}
    assert lost["fc.weight"]["explanation"] == "NaN or infinity begin in layer4.0.conv2.weight"
    first, last = result.stderr.splitlines()
    assert first.endswith(f"without one: {len(lost)} nonfinite (`gradcli trace` follows NaN and infinity)")
    assert f"and {len(lost) - 5} more; `gradcli trace` finds" in last
    assert gradcli(*arguments).exit_code == 5


def test_frozen_parameters_are_explained_and_not_refused(gradcli: Run, common: tuple[object, ...]) -> None:
    result = gradcli(*common, "--freeze", "*", "--param", "fc.*", "--format", "jsonl")
    records = [json.loads(line) for line in result.stdout.splitlines()]
    assert [(record["name"], record["reason"], record["stopped_at"]) for record in records] == [
        ("fc.weight", "frozen", None),
        ("fc.bias", "frozen", None),
    ]
    assert result.stderr == "0 of 2 parameters have a gradient of use; without one: 2 frozen\n"


def test_nothing_is_lost_in_a_sound_model(gradcli: Run, model_file: Path) -> None:
    result = gradcli("grads", "--why", "-w", model_file, "--shape", "2,3,32,32", "--json")
    document = json.loads(result.stdout)
    assert (document["lost"], document["reasons"], document["useful"]) == ([], {}, 62)
    assert result.stderr == "62 of 62 parameters have a gradient of use\n"


@needs_terminal
def test_on_a_terminal_there_are_the_worst_only(dead_file: Path) -> None:
    arguments = ["grads", "--why", "-w", str(dead_file), "--shape", "2,3,32,32", "--freeze", "layer4.*"]
    terminal = Terminal(["-m", "gradcli"], arguments, ["stdout"], columns=160, NO_COLOR="1")
    lines = terminal.shown.decode().splitlines()
    rows = [line.split() for line in lines if line.startswith(" layer")]
    assert [row[0] for row in rows[:5]] == BELOW + BEHIND
    assert len(rows) == 10
    assert terminal.piped.decode().endswith(
        "15 frozen (10 more with --format json; dead for 2 random images, -i or --shape takes more)\n"
    )
    caption = "".join(lines[lines.index(next(line for line in lines if line.startswith("loss "))) :]).replace(" ", "")
    for words in (  # the caption may fold
        ", gradient norm ",
        f"weights {dead_file}, train mode, exact kernels, ",
        ", 2 random images",
        "layer1.1.relu#1 is the first call of layer1.1.relu in a pass, layer1.1.relu#2 the second",
    ):
        assert words.replace(" ", "") in caption
