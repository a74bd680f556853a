"""Freeze rules: patterns, their order, near names, and rules as options of a configuration file."""

from __future__ import annotations

import pytest

from gradcli.errors import UsageError
from gradcli.models import ResNet
from gradcli.models.resnet import build_resnet18
from gradcli.nn import init
from gradcli.training.freezing import (
    FreezeRule,
    apply_freeze_rules,
    freeze_options,
    frozen_names,
    match_names,
    require_trainable,
)

NAMES = ["conv1.weight", "bn1.weight", "bn1.bias", "layer1.0.conv1.weight", "layer1.1.conv1.weight", "fc.weight"]


@pytest.fixture
def model() -> ResNet:
    with init.no_values():
        return build_resnet18()


@pytest.mark.parametrize(
    ("pattern", "expected"),
    [
        ("fc.weight", ["fc.weight"]),
        ("bn1.*", ["bn1.weight", "bn1.bias"]),
        ("*.conv1.weight", ["layer1.0.conv1.weight", "layer1.1.conv1.weight"]),
        ("layer1.[1-9].*", ["layer1.1.conv1.weight"]),
        ("*", NAMES),
    ],
)
def test_a_pattern_is_a_name_or_shell_style(pattern: str, expected: list[str]) -> None:
    assert match_names(pattern, NAMES, option="--param") == expected


@pytest.mark.parametrize(
    ("pattern", "advice"),
    [
        ("layer1", "did you mean layer1.*?"),
        ("layer1.", "did you mean layer1.*?"),
        ("layer1.0.conv1", "did you mean layer1.0.conv1.*?"),
        ("fc.wieght", "did you mean fc.weight"),
        ("layer7.*", "did you mean layer1.*"),
        ("Q", "`gradcli freeze` lists the names"),
    ],
)
def test_a_pattern_without_match_is_refused_with_what_would_match(pattern: str, advice: str) -> None:
    with pytest.raises(UsageError) as refusal:
        match_names(pattern, NAMES, option="--freeze")
    assert str(refusal.value).startswith(f"--freeze {pattern!r} matches no parameter; {advice}")
    for proposal in str(refusal.value).partition("did you mean ")[2].rstrip("?").split(" or "):
        assert not proposal or match_names(proposal, NAMES, option="--freeze")


RULES: list[tuple[list[FreezeRule], int]] = [
    ([], 0),
    ([("freeze", "layer1.*")], 12),
    ([("freeze-backbone", "")], 60),
    ([("freeze-backbone", ""), ("unfreeze", "layer4.1.*")], 54),
    ([("unfreeze", "layer4.1.*"), ("freeze-backbone", "")], 60),
    ([("freeze", "*"), ("unfreeze", "fc.*"), ("freeze", "fc.weight")], 61),
    ([("freeze", "*"), ("unfreeze", "*")], 0),
]


@pytest.mark.parametrize(("rules", "count"), RULES)
def test_rules_apply_in_order(rules: list[FreezeRule], count: int, model: ResNet) -> None:
    apply_freeze_rules(model, rules)
    frozen = frozen_names(model)
    assert len(frozen) == count
    parameters = dict(model.named_parameters())
    assert frozen == [name for name in parameters if not parameters[name].requires_grad]


@pytest.mark.parametrize("rules", [rules for rules, _ in RULES])
def test_options_of_a_file_have_the_rules_effect(rules: list[FreezeRule], model: ResNet) -> None:
    apply_freeze_rules(model, rules)
    expected = frozen_names(model)
    apply_freeze_rules(model, [("unfreeze", "*")])
    for name, value in freeze_options(rules, _frozen(model, expected)).items():
        patterns = [""] if value is True else value
        assert isinstance(patterns, list)
        apply_freeze_rules(model, [(name, pattern) for pattern in patterns])  # type: ignore[misc]
    assert frozen_names(model) == expected


def _frozen(model: ResNet, names: list[str]) -> ResNet:
    for name, parameter in model.named_parameters():
        parameter.requires_grad = name not in names
    return model


def test_a_model_with_nothing_to_train_is_refused(model: ResNet) -> None:
    require_trainable(model)
    apply_freeze_rules(model, [("freeze", "*")])
    with pytest.raises(UsageError, match="every parameter is frozen, so there is no gradient; --unfreeze some"):
        require_trainable(model, "there is no gradient")
