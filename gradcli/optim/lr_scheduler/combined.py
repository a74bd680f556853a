"""Schedules made of several: one after the other, or all at once."""

from __future__ import annotations

from bisect import bisect_right
from collections.abc import Sequence
from typing import Any, ClassVar

from gradcli.optim.lr_scheduler.plateau import ReduceLROnPlateau
from gradcli.optim.lr_scheduler.scheduler import LRScheduler
from gradcli.optim.optimizer import Optimizer


class _Combined(LRScheduler):
    """A schedule made of others of the same optimizer."""

    _not_in_state: ClassVar[tuple[str, ...]] = (*LRScheduler._not_in_state, "_schedulers")

    def __init__(self, optimizer: Optimizer | None, schedulers: Sequence[LRScheduler]) -> None:
        name = type(self).__name__
        if not schedulers:
            raise ValueError(f"{name} expects at least one scheduler, but got none")
        self.optimizer = schedulers[0].optimizer if optimizer is None else optimizer
        for number, scheduler in enumerate(schedulers):
            if isinstance(scheduler, ReduceLROnPlateau):
                raise ValueError(f"{name} can't step ReduceLROnPlateau (scheduler {number}), which needs a metric")
            if scheduler.optimizer is not self.optimizer:
                raise ValueError(f"{name} expects schedulers of one optimizer, but scheduler {number} is of another")
        self._schedulers = list(schedulers)

    def state_dict(self) -> dict[str, Any]:
        return {**super().state_dict(), "_schedulers": [scheduler.state_dict() for scheduler in self._schedulers]}

    def _check_state(self, state_dict: dict[str, Any]) -> None:
        super()._check_state(state_dict)
        states = state_dict["_schedulers"]
        if len(states) != len(self._schedulers):
            raise ValueError(f"loaded state dict has {len(states)} schedulers, expected {len(self._schedulers)}")
        for scheduler, state in zip(self._schedulers, states, strict=True):
            scheduler._check_state(state)

    def _take_state(self, state_dict: dict[str, Any]) -> None:
        super()._take_state(state_dict)
        for scheduler, state in zip(self._schedulers, state_dict["_schedulers"], strict=True):
            scheduler._take_state(state)

    def _undo_initial_step(self) -> None:
        for scheduler in self._schedulers:
            scheduler._undo_initial_step()

    def _reset_lr(self) -> None:
        for group in self.optimizer.param_groups:
            group["lr"] = group["initial_lr"]


class SequentialLR(_Combined):
    """One scheduler up to the first of the epochs `milestones`, the next one from there to the second, and so on.

    Each begins with its epoch 0, from the initial learning rate. Combined schedules may be among them and do so too;
    PyTorch 2.13 switches those an epoch early, and can't begin chained ones at a milestone.
    """

    def __init__(
        self, optimizer: Optimizer, schedulers: list[LRScheduler], milestones: list[int], last_epoch: int = -1
    ) -> None:
        super().__init__(optimizer, schedulers)
        if len(milestones) != len(schedulers) - 1:
            raise ValueError(
                f"SequentialLR expects one milestone fewer than schedulers, but got {len(milestones)} for "
                f"{len(schedulers)} schedulers"
            )
        self._milestones = list(milestones)
        self._reset_lr()
        super()._undo_initial_step()
        self.last_epoch = last_epoch
        self._initial_step()

    def step(self) -> None:  # type: ignore[override]  # as in PyTorch
        """Go on to the next epoch and set its learning rates."""
        self.last_epoch += 1
        number = bisect_right(self._milestones, self.last_epoch)
        scheduler = self._schedulers[number]
        if number > 0 and self._milestones[number - 1] == self.last_epoch:
            scheduler._restart()
        else:
            scheduler.step()
        self._last_lr = scheduler.get_last_lr()

    def _initial_step(self) -> None:
        self.last_epoch += 1
        first = self._schedulers[bisect_right(self._milestones, 0)]
        first._initial_step()
        self._last_lr = first.get_last_lr()

    def _undo_initial_step(self) -> None:
        super()._undo_initial_step()
        self.last_epoch -= 1

    def _restart(self) -> None:
        self.last_epoch = -1
        self._reset_lr()
        self._initial_step()


class ChainedScheduler(_Combined):
    """Several schedulers that step together: their factors multiply."""

    def __init__(self, schedulers: Sequence[LRScheduler], optimizer: Optimizer | None = None) -> None:
        super().__init__(optimizer, schedulers)
        self._last_lr = self._current_lr()

    def step(self) -> None:  # type: ignore[override]  # as in PyTorch
        """Step all of them, in their order."""
        for scheduler in self._schedulers:
            scheduler.step()
        self._last_lr = self._current_lr()

    def _initial_step(self) -> None:
        for scheduler in self._schedulers:
            scheduler._initial_step()
        self._last_lr = self._current_lr()

    def _restart(self) -> None:
        self._reset_lr()
        self._initial_step()
