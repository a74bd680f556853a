"""The table of other tools' words: every answer exists, and no word is gradcli's own; and what is said of them."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any

import pytest
import typer.main

from gradcli.cli.main import app
from gradcli.cli.other_tools_words import COMMANDS, DEVICES, OPTIONS, VALUES

Run = Callable[..., Any]


def commands(group: Any, path: str = "") -> Iterator[tuple[str, Any]]:
    for name in group.list_commands(None):
        command = group.get_command(None, name)
        if hasattr(command, "list_commands"):
            yield from commands(command, f"{path}{name} ")
        else:
            yield f"{path}{name}", command


ALL = dict(commands(typer.main.get_command(app)))
ALL_OPTIONS = {name for command in ALL.values() for each in command.params for name in each.opts}


def test_every_answer_exists_and_no_word_is_gradclis_own() -> None:
    assert {words for answer in COMMANDS.values() for words in answer} <= ALL.keys()
    assert not COMMANDS.keys() & typer.main.get_command(app).entries.keys()  # type: ignore[attr-defined]
    assert {*OPTIONS.values(), *VALUES.values(), *(option for option, _ in VALUES), "--threads"} <= ALL_OPTIONS
    assert not (OPTIONS.keys() | DEVICES) & ALL_OPTIONS
    assert not OPTIONS.keys() & DEVICES


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ("train digits", "gradcli: error: no such command 'train'; did you mean gradcli finetune?"),
        ("inspect", "no such command 'inspect'; did you mean gradcli weights inspect or gradcli data inspect?"),
        ("weights download", "did you mean gradcli weights fetch or gradcli data fetch?"),
        ("grads model.pth", "extra argument 'model.pth'; weights are given with -w, images are given with -i"),
        ("summary m.pth", "Got unexpected extra argument 'm.pth'; weights are given with -w"),
        ("finetune digits --learning-rate 0.1", "No such option: --learning-rate; did you mean --lr?"),
        ("finetune digits --learning-rate=0.1", "No such option: --learning-rate; did you mean --lr?"),
        (
            "forward --learning-rate 1",
            "No such option: --learning-rate; --lr is an option of step, grads, finetune and",
        ),
        ("backward --param fc.weight", "No such option: --param; it is an option of grads, diff, check and 1 more"),
        ("finetune --data digits", "No such option: --data; it stands alone: gradcli finetune DATA"),
        ("grads --device cuda", "No such option: --device; gradcli computes on the CPU, --threads says with how many"),
        ("step --gpu", "No such option: --gpu; gradcli computes on the CPU"),
        ("step --freeze backbone", "--freeze backbone: did you mean --freeze-backbone?"),
        ("step --freeze=backbone", "--freeze backbone: did you mean --freeze-backbone?"),
        ("finetune digits --batch 3", "No such option: --batch; did you mean --batch-size"),
        ("forward --zebra", "No such option: --zebra; gradcli forward --help lists the options"),
    ],
)
def test_a_likely_mistake_gets_a_hint(arguments: str, message: str, gradcli: Run) -> None:
    result = gradcli(*arguments.split())
    assert (result.exit_code, result.stdout, result.stderr.count("\n")) == (2, "", 1)
    assert message in result.stderr
