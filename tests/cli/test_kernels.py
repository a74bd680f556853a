"""`--kernels` in every command that computes, and that `--threads` changes no number."""

from __future__ import annotations

import json
import tomllib
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from safetensors import safe_open

Run = Callable[..., Any]


@pytest.mark.parametrize("command", ["forward", "backward", "step", "grads"])
def test_outputs_say_which_kernels_computed_them(
    command: str, gradcli: Run, model_file: Path, batch_file: Path
) -> None:
    arguments = (command, "-w", model_file, "-i", batch_file, "--freeze-backbone", "--json")
    assert json.loads(gradcli(*arguments).stdout)["kernels"] == "exact"
    assert json.loads(gradcli(*arguments, "--kernels", "fast").stdout)["kernels"] == "fast"
    assert json.loads(gradcli(*arguments, env={"GRADCLI_KERNELS": "fast"}).stdout)["kernels"] == "fast"
    Path("fast.toml").write_text('kernels = "fast"\n')
    assert json.loads(gradcli(*arguments, "--config", "fast.toml").stdout)["kernels"] == "fast"


def test_a_dump_of_gradients_says_which_kernels_computed_it(gradcli: Run, model_file: Path, batch_file: Path) -> None:
    arguments = ("grads", "-w", model_file, "-i", batch_file, "--param", "fc.*", "--kernels", "fast")
    assert gradcli(*arguments, "-o", "gradients.safetensors").exit_code == 0
    with safe_open("gradients.safetensors", framework="np") as file:
        assert file.metadata()["gradcli.kernels"] == "fast"


def test_finetuning_may_be_exact_and_its_folder_says_so(gradcli: Run, model_file: Path, images_file: Path) -> None:
    arguments = ("-w", model_file, "--freeze-backbone", "--epochs", 1, "--kernels", "exact", "--run", "run")
    result = gradcli("finetune", images_file, *arguments, "--json")
    assert json.loads(result.stdout)["kernels"] == "exact"
    assert tomllib.loads(Path("run/config.toml").read_text())["kernels"] == "exact"
    with safe_open("run/model.safetensors", framework="np") as file:
        assert file.metadata()["gradcli.kernels"] == "exact"


@pytest.mark.parametrize("kernels", ["exact", "fast"])
def test_the_number_of_threads_changes_no_bit(kernels: str, gradcli: Run, model_file: Path) -> None:
    arguments = ("step", "-w", model_file, "--shape", "3,3,64,64", "--steps", 2, "--kernels", kernels)
    for threads in (1, 2, 3):
        assert gradcli(*arguments, "--threads", threads, "--save", f"{threads}.safetensors").exit_code == 0
    one, two, three = (Path(f"{threads}.safetensors").read_bytes() for threads in (1, 2, 3))
    assert one == two == three


@pytest.mark.parametrize("command", ["freeze", "summary", "weights inspect"])
def test_commands_that_compute_nothing_have_no_kernels(command: str, gradcli: Run) -> None:
    result = gradcli(*command.split(), "--kernels", "fast")
    assert result.exit_code == 2
    assert "No such option: --kernels" in result.stderr
