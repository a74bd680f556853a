"""The one-cycle policy (Smith and Topin, "Super-Convergence", 2018)."""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any, Literal

from gradcli.optim.lr_scheduler.scheduler import LRScheduler, for_each_group, require_optimizer
from gradcli.optim.optimizer import Optimizer


class OneCycleLR(LRScheduler):
    """Up from max_lr / div_factor to `max_lr`, then down to the beginning's / final_div_factor; one step a batch.

    The way up takes the share `pct_start` of the `total_steps`, or of `epochs` times `steps_per_epoch`. With
    `three_phase` the way down pauses at the learning rate of the beginning after as many steps again. Meanwhile
    `cycle_momentum` moves momentum, or Adam's first beta, from `max_momentum` to `base_momentum` and back. Values for
    groups of their own come as lists.
    """

    def __init__(
        self,
        optimizer: Optimizer,
        max_lr: float | list[float],
        total_steps: int | None = None,
        epochs: int | None = None,
        steps_per_epoch: int | None = None,
        pct_start: float = 0.3,
        anneal_strategy: Literal["cos", "linear"] = "cos",
        cycle_momentum: bool = True,
        base_momentum: float | list[float] = 0.85,
        max_momentum: float | list[float] = 0.95,
        div_factor: float = 25.0,
        final_div_factor: float = 1e4,
        three_phase: bool = False,
        last_epoch: int = -1,
    ) -> None:
        require_optimizer(optimizer)
        self.total_steps = _total_steps(total_steps, epochs, steps_per_epoch)
        if not isinstance(pct_start, float) or not 0 <= pct_start <= 1:
            raise ValueError(f"Expected float between 0 and 1 pct_start, but got {pct_start}")
        if anneal_strategy not in _ANNEALING:
            raise ValueError(f"anneal_strategy must be one of 'cos' or 'linear', instead got {anneal_strategy}")
        self._anneal_func_type = anneal_strategy
        self._schedule_phases = _phases(pct_start, self.total_steps, three_phase)
        self.cycle_momentum = cycle_momentum
        if cycle_momentum:
            self.use_beta1 = "betas" in optimizer.defaults
            if not self.use_beta1 and "momentum" not in optimizer.defaults:
                raise ValueError("optimizer must support momentum or beta1 with `cycle_momentum` option enabled")
        for_groups = [
            for_each_group(name, value, optimizer)
            for name, value in (
                ("max_lr", max_lr),
                ("max_momentum", max_momentum),
                ("base_momentum", base_momentum),
            )
        ]
        if last_epoch == -1:
            for group, highest, start, turn in zip(optimizer.param_groups, *for_groups, strict=True):
                group["initial_lr"] = highest / div_factor
                group["max_lr"] = highest
                group["min_lr"] = group["initial_lr"] / final_div_factor
                if cycle_momentum:
                    group["max_momentum"], group["base_momentum"] = start, turn
                    self._set_momentum(group, start)
        super().__init__(optimizer, last_epoch)

    def get_lr(self) -> list[float]:
        if self.last_epoch > self.total_steps:
            raise ValueError(f"step {self.last_epoch} of a schedule of {self.total_steps} steps")
        anneal = _ANNEALING[self._anneal_func_type]
        start_step: float = 0.0
        for phase in self._schedule_phases:
            end_step = phase["end_step"]
            if self.last_epoch <= end_step or phase is self._schedule_phases[-1]:
                break
            start_step = end_step
        share = (self.last_epoch - start_step) / (end_step - start_step)
        rates = []
        for group in self.optimizer.param_groups:
            rates.append(anneal(group[phase["start_lr"]], group[phase["end_lr"]], share))
            if self.cycle_momentum:
                momentum = anneal(group[phase["start_momentum"]], group[phase["end_momentum"]], share)
                self._set_momentum(group, momentum)
        return rates

    def _set_momentum(self, group: dict[str, Any], momentum: float) -> None:
        if self.use_beta1:
            group["betas"] = (momentum, *group["betas"][1:])
        else:
            group["momentum"] = momentum


def _total_steps(total_steps: int | None, epochs: int | None, steps_per_epoch: int | None) -> int:
    given = {"total_steps": total_steps} if total_steps is not None else {}
    if total_steps is None:
        if epochs is None or steps_per_epoch is None:
            raise ValueError("You must define either total_steps OR (epochs AND steps_per_epoch)")
        given = {"epochs": epochs, "steps_per_epoch": steps_per_epoch}
    for name, count in given.items():
        if not isinstance(count, int) or count <= 0:
            raise ValueError(f"Expected positive integer {name}, but got {count}")
    return math.prod(given.values())


def _phases(pct_start: float, total_steps: int, three_phase: bool) -> list[dict[str, Any]]:
    """Where each phase ends, and by what names the group keeps the values that it begins and ends with."""
    turn = float(pct_start * total_steps) - 1
    up = _phase(turn, ("initial_lr", "max_lr"), ("max_momentum", "base_momentum"))
    if not three_phase:
        return [up, _phase(total_steps - 1, ("max_lr", "min_lr"), ("base_momentum", "max_momentum"))]
    pause = float(2 * pct_start * total_steps) - 2
    return [
        up,
        _phase(pause, ("max_lr", "initial_lr"), ("base_momentum", "max_momentum")),
        _phase(total_steps - 1, ("initial_lr", "min_lr"), ("max_momentum", "max_momentum")),
    ]


def _phase(end_step: float, lr: tuple[str, str], momentum: tuple[str, str]) -> dict[str, Any]:
    return {
        "end_step": end_step,
        "start_lr": lr[0],
        "end_lr": lr[1],
        "start_momentum": momentum[0],
        "end_momentum": momentum[1],
    }


def _cosine(start: float, end: float, share: float) -> float:
    return end + (start - end) / 2.0 * (math.cos(math.pi * share) + 1)


def _linear(start: float, end: float, share: float) -> float:
    return (end - start) * share + start


_ANNEALING: dict[str, Callable[[float, float, float], float]] = {"cos": _cosine, "linear": _linear}
