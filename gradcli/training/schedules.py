"""The schedules of the learning rate that runs offer by name, which change it with every optimizer step."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Literal

from gradcli.errors import UsageError
from gradcli.optim import Optimizer
from gradcli.optim.lr_scheduler import CosineAnnealingLR, LinearLR, LRScheduler, OneCycleLR, SequentialLR, StepLR

ScheduleName = Literal["constant", "cosine", "step", "one-cycle"]

DEFAULT_STEP_SIZE = 10
DEFAULT_GAMMA = 0.1

# Which schedules the options of some only belong to.
_BELONGS_TO: dict[str, tuple[ScheduleName, ...]] = {
    "step_size": ("step",),
    "gamma": ("step",),
    "min_lr": ("cosine",),
    "warmup_epochs": ("constant", "cosine", "step"),
}


@dataclass(frozen=True, kw_only=True)
class ScheduleSettings:
    """How the learning rate changes: `name` says along what, and the other fields are options of some schedules.

    `constant` stays. `cosine` goes down to `min_lr` (0 if None) at the last step, along half a period. `step` is
    multiplied by `gamma` (0.1) every `step_size` (10) epochs. `one-cycle` rises from a 25th over three tenths of the
    steps, then falls to nearly nothing, as `torch.optim.lr_scheduler.OneCycleLR` without cycles of the momentum. Before
    the first three, the rate rises linearly over `warmup_epochs`, which may be a fraction; they then take what is left.
    UsageError for an option that belongs to another schedule.
    """

    name: ScheduleName = "constant"
    warmup_epochs: float = 0.0
    step_size: int | None = None
    gamma: float | None = None
    min_lr: float | None = None

    def __post_init__(self) -> None:
        for option, schedules in _BELONGS_TO.items():
            value = getattr(self, option)
            if value and self.name not in schedules:
                raise UsageError(
                    f"--{option.replace('_', '-')} {value:g} says nothing with --schedule {self.name}; "
                    f"it belongs to {' and '.join(schedules)}"
                )
        if not (math.isfinite(self.warmup_epochs) and self.warmup_epochs >= 0):
            raise UsageError(f"--warmup-epochs {self.warmup_epochs:g}: expected a finite number of at least 0")
        if self.step_size is not None and self.step_size < 1:
            raise UsageError(f"--step-size {self.step_size}: expected 1 epoch or more")
        for option, value in (("gamma", self.gamma), ("min-lr", self.min_lr)):
            if value is not None and not (math.isfinite(value) and value >= 0):
                raise UsageError(f"--{option} {value:g}: expected a finite number of at least 0")


def build_scheduler(
    settings: ScheduleSettings, optimizer: Optimizer, epochs: int, steps_per_epoch: int
) -> LRScheduler | None:
    """The scheduler to step after each optimizer step; None if the learning rate never changes.

    During warm-up, which may not take all epochs, step number n of w has (n + 1) / (w + 1) of the learning rate.
    """
    warmup = round(settings.warmup_epochs * steps_per_epoch)
    steps = epochs * steps_per_epoch - warmup
    if steps < 1:
        raise UsageError(
            f"--warmup-epochs {settings.warmup_epochs:g}: expected less than the {epochs} epochs of the run"
        )
    if settings.name == "one-cycle":
        rates = [group["lr"] for group in optimizer.param_groups]
        return OneCycleLR(optimizer, rates, total_steps=steps, cycle_momentum=False)
    after = _after_warmup(settings, optimizer, steps, steps_per_epoch)
    if warmup == 0:
        return after
    rise = LinearLR(optimizer, start_factor=1 / (warmup + 1), total_iters=warmup)
    return rise if after is None else SequentialLR(optimizer, [rise, after], milestones=[warmup])


def _after_warmup(
    settings: ScheduleSettings, optimizer: Optimizer, steps: int, steps_per_epoch: int
) -> LRScheduler | None:
    if settings.name == "cosine":
        # The last of the steps, number steps - 1, has the lowest rate.
        return CosineAnnealingLR(optimizer, T_max=max(1, steps - 1), eta_min=settings.min_lr or 0.0)
    if settings.name == "step":
        step_size = DEFAULT_STEP_SIZE if settings.step_size is None else settings.step_size
        gamma = DEFAULT_GAMMA if settings.gamma is None else settings.gamma
        return StepLR(optimizer, step_size * steps_per_epoch, gamma)
    return None
