"""`gradcli freeze`: the listing, and frozen names that travel with the weights."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from safetensors import safe_open
from safetensors.numpy import load_file

Run = Callable[..., Any]


def trainable(document: dict[str, Any]) -> set[str]:
    return {record["name"] for record in document["parameters"] if record["trainable"]}


def test_a_pattern_freezes_what_it_matches(gradcli_json: Run) -> None:
    document = gradcli_json("freeze", "layer1.*")
    assert (document["schema"], document["weights"]) == ("gradcli.freeze/1", "emoji1k")
    frozen = {record["name"] for record in document["parameters"]} - trainable(document)
    assert len(document["parameters"]) == 62
    assert len(frozen) == 12
    assert all(name.startswith("layer1.") for name in frozen)
    assert document["totals"] == {
        "parameters": 11_689_512,
        "trainable": 11_689_512 - 147_968,
        "frozen": 147_968,  # four 64x64x3x3 convolutions and four batch norms of 64 channels
    }
    assert document["parameters"][0] == {
        "name": "conv1.weight",
        "shape": [64, 3, 7, 7],
        "numel": 9408,
        "trainable": True,
    }


@pytest.mark.parametrize(
    ("arguments", "expected"),
    [
        (["--freeze-backbone"], {"fc.weight", "fc.bias"}),
        (["--freeze", "*", "--unfreeze", "fc.bias"], {"fc.bias"}),
        (["--unfreeze", "fc.bias", "--freeze", "*"], set()),
        (["*", "--unfreeze", "bn1.*"], {"bn1.weight", "bn1.bias"}),
        (["--freeze-backbone", "--freeze", "fc.weight"], {"fc.bias"}),
    ],
    ids=lambda value: " ".join(value) if isinstance(value, list) else "",
)
def test_rules_apply_in_order_those_of_arguments_first(
    arguments: list[str], expected: set[str], gradcli_json: Run, model_file: Path
) -> None:
    assert trainable(gradcli_json("freeze", *arguments, "-w", model_file)) == expected


def test_saved_names_are_honoured_by_every_command(gradcli: Run, gradcli_json: Run, model_file: Path) -> None:
    saved = gradcli("freeze", "--freeze-backbone", "-w", model_file, "--save", "frozen.safetensors")
    assert saved.exit_code == 0
    assert saved.stdout.startswith("name\tshape\tnumel\ttrainable\nconv1.weight\t64x3x7x7\t9408\tfalse\n")
    before, after = load_file(model_file), load_file("frozen.safetensors")
    assert {name: array.tobytes() for name, array in before.items()} == {
        name: array.tobytes() for name, array in after.items()
    }
    with safe_open("frozen.safetensors", framework="np") as file:
        assert len(json.loads(file.metadata()["gradcli.frozen"])) == 60
    common = ("-w", "frozen.safetensors", "--shape", "2,3,32,32")
    assert trainable(gradcli_json("freeze", "-w", "frozen.safetensors")) == {"fc.weight", "fc.bias"}
    assert gradcli_json("step", *common)["trainable"] == 5130
    assert [layer["name"] for layer in gradcli_json("backward", *common)["layers"]] == ["fc"]
    assert [record["name"] for record in gradcli_json("grads", *common)["gradients"]] == ["fc.weight", "fc.bias"]
    assert gradcli_json("summary", *common)["trainable"] == 5130
    assert trainable(gradcli_json("freeze", "-w", "frozen.safetensors", "--unfreeze", "layer4.1.bn2.*")) == {
        "fc.weight",
        "fc.bias",
        "layer4.1.bn2.weight",
        "layer4.1.bn2.bias",
    }


def test_a_file_without_frozen_names_is_all_trainable(gradcli_json: Run, model_file: Path) -> None:
    assert gradcli_json("freeze", "-w", model_file)["totals"]["frozen"] == 0
