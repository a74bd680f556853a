"""Which parameters train: patterns of names, applied in order."""

from __future__ import annotations

import fnmatch
from collections.abc import Iterable, Sequence
from typing import TYPE_CHECKING, Literal, NamedTuple

from gradcli.errors import UsageError

if TYPE_CHECKING:
    from gradcli.models import ResNet
    from gradcli.nn import Parameter

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


def match_names(
    pattern: str,
    names: Sequence[str],
    *,
    option: str,
    called: str = "parameter",
    advice: str = "`gradcli freeze` lists the names",
) -> list[str]:
    """The names that a pattern means: the one it spells, or all that it matches shell-style.

    UsageError naming `option` and similar names where there are none; `called` is what has the names, and `advice` what
    to say where no name is similar.
    """
    matches = [pattern] if pattern in names else fnmatch.filter(names, pattern)
    if not matches:
        near = _near_patterns(pattern, names)
        if near:
            advice = f"did you mean {' or '.join(near)}?"
        raise UsageError(f"{option} {pattern!r} matches no {called}; {advice}")
    return matches


def _near_patterns(pattern: str, names: Sequence[str]) -> list[str]:
    """Patterns that match something and look like `pattern`: of whole modules first, then single names."""
    import difflib

    parts = [name.split(".") for name in names]
    modules = list(dict.fromkeys(".".join(part[:depth]) for part in parts for depth in range(1, len(part))))
    meant = pattern.rstrip(".*")
    if meant in modules:
        return [f"{meant}.*"]
    near_modules = difflib.get_close_matches(meant, modules, n=2)
    return [f"{module}.*" for module in near_modules] + difflib.get_close_matches(pattern, names, n=2)


class ParameterCount(NamedTuple):
    """How many numbers train, of how many in all."""

    trainable: int
    total: int

    @property
    def frozen(self) -> int:
        return self.total - self.trainable

    def __str__(self) -> str:
        return f"{self.trainable:,} of {self.total:,} parameters train"


def count_parameters(parameters: Iterable[Parameter]) -> ParameterCount:
    """Count the numbers of parameters, and those that train."""
    sizes = [(parameter.numel(), parameter.requires_grad) for parameter in parameters]
    return ParameterCount(sum(size for size, trains in sizes if trains), sum(size for size, _ in sizes))


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


def require_trainable(model: ResNet, lacking: str = "there is nothing to train") -> None:
    """UsageError where no parameter is left to train; `lacking` says what that means for the command."""
    if not any(parameter.requires_grad for parameter in model.parameters()):
        raise UsageError(f"every parameter is frozen, so {lacking}; --unfreeze some")
