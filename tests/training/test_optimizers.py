"""Which parameters an optimizer of a run moves, and by which learning rate."""

from __future__ import annotations

import subprocess
import sys

import pytest

from gradcli.errors import UsageError
from gradcli.models.resnet import build_resnet18
from gradcli.optim import SGD, AdamW
from gradcli.training.freezing import FreezeRule, apply_freeze_rules
from gradcli.training.optimizers import AdamWSettings, OptimizerSettings, SGDSettings, build_optimizer

BACKBONE: list[FreezeRule] = [("freeze-backbone", "")]


@pytest.mark.parametrize(
    ("settings", "kind"), [(SGDSettings(lr=0.5, momentum=0.1), SGD), (AdamWSettings(lr=0.5, eps=1e-4), AdamW)]
)
def test_an_optimizer_has_its_settings_and_the_parameters_that_train(
    settings: OptimizerSettings, kind: type[SGD | AdamW]
) -> None:
    model = build_resnet18(3)
    apply_freeze_rules(model, BACKBONE)
    optimizer = build_optimizer(settings, model)
    assert type(optimizer) is kind
    assert {name: optimizer.defaults[name] for name in vars(settings)} == vars(settings)
    (group,) = optimizer.param_groups
    assert list(map(id, group["params"])) == list(map(id, model.fc.parameters()))


def test_the_head_has_a_learning_rate_of_its_own() -> None:
    model = build_resnet18(3)
    apply_freeze_rules(model, [("freeze", "layer1.*")])
    backbone, head = build_optimizer(SGDSettings(lr=0.5), model, head_lr=2.0).param_groups
    assert (backbone["lr"], head["lr"]) == (0.5, 2.0)
    assert list(map(id, head["params"])) == list(map(id, model.fc.parameters()))
    trainable = [parameter for parameter in model.parameters() if parameter.requires_grad]
    assert len(backbone["params"]) + 2 == len(trainable)


def test_with_a_frozen_backbone_the_head_is_the_only_group() -> None:
    model = build_resnet18(3)
    apply_freeze_rules(model, BACKBONE)
    (group,) = build_optimizer(AdamWSettings(), model, head_lr=2.0).param_groups
    assert group["lr"] == 2.0


def test_a_frozen_head_has_no_learning_rate() -> None:
    model = build_resnet18(3)
    apply_freeze_rules(model, [("freeze", "fc.*")])
    with pytest.raises(UsageError, match="--head-lr 2: the head fc is frozen; leave it out"):
        build_optimizer(SGDSettings(), model, head_lr=2.0)


def test_steps_of_sgd_load_no_other_optimizer() -> None:
    program = (
        "import sys; from gradcli.training.optimizers import SGDSettings; import gradcli.training.step; "
        "print([name for name in sys.modules if 'adam' in name])"
    )
    assert subprocess.run([sys.executable, "-c", program], capture_output=True, text=True).stdout == "[]\n"
