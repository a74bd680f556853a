"""`gradcli summary`: known sizes of ResNet-18."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

Run = Callable[..., Any]


def test_resnet18_at_224(gradcli_json: Run) -> None:
    document = gradcli_json("summary", "--shape", "1,3,224,224", "--freeze-backbone")
    assert document["schema"] == "gradcli.summary/1"
    # 1,814,073,344 multiply-adds is the sum over ResNet-18's convolutions and its linear layer at 224x224.
    assert (document["parameters"], document["trainable"], document["multiply_adds"]) == (
        11_689_512,
        513_000,
        1_814_073_344,
    )
    layers = {layer["name"]: layer for layer in document["layers"]}
    assert layers["conv1"] == {
        "name": "conv1",
        "type": "Conv2d",
        "output_shape": [1, 64, 112, 112],
        "parameters": 9408,
        "trainable": 0,
        "multiply_adds": 64 * 112 * 112 * 147,
    }
    assert layers["layer4.1.bn2"]["output_shape"] == [1, 512, 7, 7]
    assert layers["fc"]["output_shape"] == [1, 1000]
    assert sum(layer["parameters"] for layer in document["layers"]) == document["parameters"]


def test_a_table_for_a_file(gradcli: Run, model_file: Path) -> None:
    result = gradcli("summary", "-w", model_file, "--shape", "2,3,32,32")
    lines = result.stdout.splitlines()
    assert lines[0] == "name\ttype\toutput_shape\tparameters\ttrainable\tmultiply_adds"
    assert lines[-1] == "fc\tLinear\t2x10\t5130\t5130\t10240"
