"""What schedules of learning rates have in common."""

from __future__ import annotations

import copy
import warnings
from typing import Any, ClassVar

from gradcli.optim.optimizer import Optimizer


class LRScheduler:
    """Base of schedulers: a subclass gives `get_lr`, the learning rates of all groups in epoch `last_epoch`.

    What one step is, an epoch or a batch, is the caller's choice; `last_epoch` counts them from 0. Each group keeps the
    rate that it began with as `initial_lr`. A scheduler that is made with a `last_epoch` of its own, to go on where
    another ended, needs that of a loaded optimizer; KeyError without. `load_state_dict` is the surer way.
    """

    _not_in_state: ClassVar[tuple[str, ...]] = ("optimizer", "_is_initial")

    def __init__(self, optimizer: Optimizer, last_epoch: int = -1) -> None:
        self.optimizer = require_optimizer(optimizer)
        for number, group in enumerate(optimizer.param_groups):
            if last_epoch == -1:
                group.setdefault("initial_lr", group["lr"])
            elif "initial_lr" not in group:
                raise KeyError(
                    f"param_groups[{number}] has no 'initial_lr', needed for last_epoch={last_epoch}: load the "
                    " optimizer's state before"
                )
        self.base_lrs: list[float] = [group["initial_lr"] for group in optimizer.param_groups]
        self.last_epoch = last_epoch
        self._initial_step()

    def get_lr(self) -> list[float]:
        """The learning rates of `last_epoch`, one for each group, where those of the epoch before are set.

        Only for `step` to call: `get_last_lr` tells what they are.
        """
        raise NotImplementedError

    def get_last_lr(self) -> list[float]:
        """The learning rates that this scheduler set last, one for each group."""
        return self._last_lr

    def step(self, epoch: int | None = None) -> None:
        """Go on to the next epoch and set its learning rates; after the optimizer's step.

        `epoch` goes to that one instead, by a formula without the rates before where the schedule has one. PyTorch
        advises against it, and so it warns.
        """
        if self._step_count == 1 and not self.optimizer.has_stepped:
            warnings.warn(
                "lr_scheduler.step() was called before optimizer.step(), which skips the first learning rate of the "
                "schedule: call it afterwards",
                UserWarning,
                stacklevel=2,
            )
        if epoch is not None:
            warnings.warn("step(epoch) is deprecated: call step() once for each epoch", UserWarning, stacklevel=2)
        self._step_count += 1
        self._update_lr(epoch)

    def state_dict(self) -> dict[str, Any]:
        """Everything but the optimizer, by PyTorch's names: numbers, text and lists of them, as JSON knows them."""
        return copy.deepcopy({name: value for name, value in vars(self).items() if name not in self._not_in_state})

    def load_state_dict(self, state_dict: dict[str, Any]) -> None:
        """Take over what `state_dict()` gave, or PyTorch's scheduler of the same name.

        The learning rates are the optimizer's, with whose state they are loaded. Raises ValueError, and changes
        nothing, for the state of another scheduler.
        """
        self._check_state(state_dict)
        self._take_state(copy.deepcopy(state_dict))

    def _check_state(self, state_dict: dict[str, Any]) -> None:
        missing = [name for name in self.state_dict() if name not in state_dict]
        if missing:
            raise ValueError(f"loaded state dict is none of {type(self).__name__}: it has no {missing[0]!r}")

    def _take_state(self, state_dict: dict[str, Any]) -> None:
        """Take over a state that was checked, and copied."""
        vars(self).update({name: state_dict[name] for name in vars(self) if name not in self._not_in_state})

    def _initial_step(self) -> None:
        """Set the learning rates of the first epoch."""
        self._step_count = 0
        self._is_initial = True
        try:
            self.step()
        finally:
            self._is_initial = False

    def _undo_initial_step(self) -> None:
        """Count as if the first epoch had not begun; the learning rates stay."""
        self.last_epoch -= 1

    def _restart(self) -> None:
        """Set the learning rates of epoch 0, whatever those before were."""
        self._update_lr(0)

    def _update_lr(self, epoch: int | None = None) -> None:
        if epoch is None:
            self.last_epoch += 1
            rates = self.get_lr()
        else:
            self.last_epoch = epoch
            rates = self._get_closed_form_lr()
        self._set_lr(rates)

    def _get_closed_form_lr(self) -> list[float]:
        """As `get_lr`, but from `base_lrs` alone, where the schedule can."""
        return self.get_lr()

    def _set_lr(self, rates: list[float]) -> None:
        for group, rate in zip(self.optimizer.param_groups, rates, strict=True):
            group["lr"] = rate
        self._last_lr = self._current_lr()

    def _current_lr(self) -> list[float]:
        return [group["lr"] for group in self.optimizer.param_groups]


def require_optimizer(optimizer: Any) -> Optimizer:
    """The optimizer itself; TypeError for anything else."""
    if not isinstance(optimizer, Optimizer):
        raise TypeError(f"{type(optimizer).__name__} is not an Optimizer")
    return optimizer


def for_each_group(name: str, value: Any, optimizer: Optimizer) -> list[Any]:
    """One value for all groups, or a list with one for each, as a list; ValueError for one of another length."""
    count = len(optimizer.param_groups)
    if not isinstance(value, list | tuple):
        return [value] * count
    if len(value) != count:
        raise ValueError(f"{name} has {len(value)} values, but the optimizer {count} param_groups")
    return list(value)
