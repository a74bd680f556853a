"""The ordered list of freeze rules that `--freeze`, `--unfreeze` and `--freeze-backbone` stand for."""

from __future__ import annotations

from typing import Any

from gradcli.cli.given_options import given_options
from gradcli.training.freezing import FreezeRule


def freeze_rules(context: Any) -> list[FreezeRule]:
    """The rules in force: those of the configuration file in its order, then the command line's."""
    rules: list[FreezeRule] = []
    for name, value in given_options(context):
        if name == "freeze":
            rules.append(("freeze", str(value)))
        elif name == "unfreeze":
            rules.append(("unfreeze", str(value)))
        elif name == "freeze_backbone" and value:
            rules.append(("freeze-backbone", ""))
    return rules
