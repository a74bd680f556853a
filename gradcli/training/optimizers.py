"""The optimizers that runs offer by name, and the groups of parameters that they move."""

from __future__ import annotations

import math
from dataclasses import asdict, dataclass
from typing import TYPE_CHECKING, Any, ClassVar, Literal

from gradcli.errors import UsageError
from gradcli.optim import SGD, Optimizer

if TYPE_CHECKING:
    from gradcli.models import ResNet
    from gradcli.nn import Module
    from gradcli.optim import AdamW
    from gradcli.optim.optimizer import Parameters

OptimizerName = Literal["sgd", "adamw"]


@dataclass(frozen=True, kw_only=True)
class SGDSettings:
    """The options of `torch.optim.SGD`, with its meaning; the defaults are the tutorial's."""

    name: ClassVar[OptimizerName] = "sgd"

    lr: float = 1e-2
    momentum: float = 0.9
    weight_decay: float = 0.0
    dampening: float = 0.0
    nesterov: bool = False

    def optimizer(self, model: Module) -> SGD:
        """SGD over all parameters, frozen ones included: they have no gradient, so it passes them over."""
        return self.optimizer_of(model.parameters())

    def optimizer_of(self, parameters: Parameters) -> SGD:
        """SGD over these parameters."""
        return SGD(parameters, **asdict(self))


@dataclass(frozen=True, kw_only=True)
class AdamWSettings:
    """The options of `torch.optim.AdamW`, with its meaning and defaults."""

    name: ClassVar[OptimizerName] = "adamw"

    lr: float = 1e-3
    betas: tuple[float, float] = (0.9, 0.999)
    eps: float = 1e-8
    weight_decay: float = 1e-2

    def __post_init__(self) -> None:
        if len(self.betas) != 2 or not all(0 <= beta < 1 for beta in self.betas):
            given = ",".join(f"{beta:g}" for beta in self.betas)
            raise UsageError(f"--betas {given}: expected two numbers of at least 0 and below 1")
        for option in ("lr", "eps", "weight_decay"):
            value = getattr(self, option)
            if not (math.isfinite(value) and value >= 0):
                raise UsageError(f"--{option.replace('_', '-')} {value:g}: expected a finite number of at least 0")

    def optimizer_of(self, parameters: Parameters) -> AdamW:
        """AdamW over these parameters."""
        from gradcli.optim import AdamW  # here: a step of SGD does without its modules

        return AdamW(parameters, **asdict(self))


OptimizerSettings = SGDSettings | AdamWSettings


def build_optimizer(settings: OptimizerSettings, model: ResNet, head_lr: float | None = None) -> Optimizer:
    """An optimizer over the parameters that train.

    With `head_lr` those of the classifier are a group of their own, the last, with that learning rate; UsageError if
    none of them trains.
    """
    trainable = {name: parameter for name, parameter in model.named_parameters() if parameter.requires_grad}
    if head_lr is None:
        return settings.optimizer_of(list(trainable.values()))
    prefix = f"{model.classifier_name}."
    head = [parameter for name, parameter in trainable.items() if name.startswith(prefix)]
    others = [parameter for name, parameter in trainable.items() if not name.startswith(prefix)]
    if not head:
        raise UsageError(f"--head-lr {head_lr:g}: the head {model.classifier_name} is frozen; leave it out")
    groups: list[dict[str, Any]] = [{"params": others}] if others else []
    return settings.optimizer_of([*groups, {"params": head, "lr": head_lr}])
