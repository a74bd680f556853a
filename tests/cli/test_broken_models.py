"""The models of docs/recipes/broken-models.md, which are broken on purpose, and the commands that find out how."""

from __future__ import annotations

import json
import re
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

Run = Callable[..., Any]

PAGE = Path(__file__).parents[2] / "docs" / "recipes" / "broken-models.md"


@pytest.fixture
def models(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The page's own models, in the folder that commands run in."""
    monkeypatch.chdir(tmp_path)
    (code,) = re.findall(r"```python\n(.*?)```", PAGE.read_text(encoding="utf-8"), re.DOTALL)
    exec(code, {})


@pytest.mark.usefixtures("models")
def test_a_dead_relu_is_named_with_what_makes_it_dead(gradcli: Run) -> None:
    result = gradcli("grads", "--why", "-w", "dead.safetensors", "--json")
    lost = {record["name"]: record for record in json.loads(result.stdout)["lost"]}
    assert set(lost) == {f"layer2.1.{name}" for name in ("conv1.weight", "bn1.weight", "bn1.bias")} | {
        "layer2.1.conv2.weight",
        "layer2.1.bn2.weight",
    }
    assert lost["layer2.1.conv1.weight"]["reason"] == "dead-relu"
    assert "from layer2.1.bn1 (bias -12 on average" in lost["layer2.1.conv1.weight"]["explanation"]
    assert gradcli("grads", "--fail-on", "zero", "-w", "dead.safetensors").exit_code == 6


@pytest.mark.usefixtures("models")
def test_a_nan_weight_is_named_with_its_position(gradcli: Run) -> None:
    result = gradcli("trace", "-w", "nan.safetensors")
    assert result.exit_code == 5
    assert "layer3.0.conv2.weight has 1 NaN of 589,824, first at 17,5,1,1; begins at convolution" in result.stderr
    mended = gradcli("trace", "-w", "nan.safetensors", "--inject", "layer3.0.conv2.weight=0:17,5,1,1")
    assert mended.exit_code == 0


def test_a_learning_rate_that_is_far_too_high_is_named_by_the_run(gradcli: Run, tmp_path: Path) -> None:
    run = str(tmp_path / "run")
    arguments = ("digits", "-w", "random:0", "--lr", "100", "--epochs", "3", "--log-grads", "1", "--run", run)
    assert gradcli("finetune", *arguments).exit_code == 5
    watched = gradcli("watch", run, "--once")
    assert re.search(r"diverged: .* in epoch 1, batch \d+, at learning rate 100; try a smaller --lr", watched.stderr)
