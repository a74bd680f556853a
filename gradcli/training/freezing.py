"""Which parameters train: patterns of names, applied in order."""

from __future__ import annotations

import difflib
import fnmatch
from collections.abc import Iterable, Sequence
from typing import TYPE_CHECKING, Literal

from gradcli.errors import UsageError

if TYPE_CHECKING:
    from gradcli.models import ResNet

FreezeRule = tuple[Literal["freeze", "unfreeze", "freeze-backbone"], str]
"""What to do with the parameters whose names match the pattern. `freeze-backbone` freezes everything but the
classifier and takes no pattern: its second part is empty."""


def apply_freeze_rules(model: ResNet, rules: Iterable[FreezeRule]) -> None:
    """Set `requires_grad` of the model's parameters by the rules in order; UsageError for a pattern without match."""
    parameters = dict(model.named_parameters())
    for kind, pattern in rules:
        if kind == "freeze-backbone":
            head = f"{model.classifier_name}."
            names = [name for name in parameters if not name.startswith(head)]
        else:
            names = match_names(pattern, list(parameters), option=f"--{kind}")
        for name in names:
            parameters[name].requires_grad = kind == "unfreeze"


def match_names(pattern: str, names: Sequence[str], *, option: str) -> list[str]:
    """The names that a pattern means: the one it spells, or all that it matches shell-style.

    UsageError naming `option` and similar names where there are none.
    """
    matches = [pattern] if pattern in names else fnmatch.filter(names, pattern)
    if not matches:
        near = difflib.get_close_matches(pattern.replace("*", ""), names, n=3, cutoff=0.4)
        advice = f"; near names: {', '.join(near)}" if near else ""
        raise UsageError(f"{option} {pattern!r} matches no parameter{advice}")
    return matches


def frozen_names(model: ResNet) -> list[str]:
    """The names of the parameters that don't train."""
    return [name for name, parameter in model.named_parameters() if not parameter.requires_grad]


def freeze_options(rules: Sequence[FreezeRule], model: ResNet) -> dict[str, bool | list[str]]:
    """Options of a configuration file with the effect of `rules`, which were applied to `model`.

    A file has each option once, with its patterns in order. Rules that go back and forth between options don't fit
    that; then every frozen parameter is named.
    """
    options: dict[str, bool | list[str]] = {}
    last = None
    for kind, pattern in rules:
        if kind in options and kind != last:
            return {"unfreeze": ["*"], "freeze": list(frozen_names(model))}
        patterns = options.setdefault(kind, True if kind == "freeze-backbone" else [])
        if isinstance(patterns, list):
            patterns.append(pattern)
        last = kind
    return options


def set_mode(model: ResNet, mode: Literal["train", "eval"] | None) -> None:
    """Put the model in training or evaluation mode.

    None is training with one exception: a batch norm whose own weight and bias are frozen uses its running
    statistics, so that a frozen layer does not change at all. `train` is PyTorch's meaning: the running statistics
    of frozen layers move too.
    """
    from gradcli.nn import BatchNorm2d

    model.train(mode != "eval")
    norms = [module for module in model.modules() if isinstance(module, BatchNorm2d)]
    if mode is None:
        for norm in norms:
            norm.training = any(parameter.requires_grad for parameter in norm.parameters())


def moving_frozen_statistics(model: ResNet) -> int:
    """The number of batch norms that are frozen and whose running statistics would move all the same."""
    from gradcli.nn import BatchNorm2d

    return sum(
        module.training and not any(parameter.requires_grad for parameter in module.parameters())
        for module in model.modules()
        if isinstance(module, BatchNorm2d)
    )


def require_trainable(model: ResNet) -> None:
    """UsageError where no parameter is left to train."""
    if not any(parameter.requires_grad for parameter in model.parameters()):
        raise UsageError("every parameter is frozen, so there is nothing to train; --unfreeze some")
