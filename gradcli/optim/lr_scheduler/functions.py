"""Learning rates by functions of the epoch."""

from __future__ import annotations

import copy
import types
from collections.abc import Callable
from typing import Any, ClassVar

from gradcli.optim.lr_scheduler.scheduler import LRScheduler, for_each_group
from gradcli.optim.optimizer import Optimizer

Factor = Callable[[int], float]
"""A factor for each epoch."""


class _ByFunction(LRScheduler):
    """A schedule by one function for all groups, or one for each.

    Functions are no part of the state; of other callable objects their attributes are, as in PyTorch.
    """

    _not_in_state: ClassVar[tuple[str, ...]] = (*LRScheduler._not_in_state, "lr_lambdas")

    def __init__(self, optimizer: Optimizer, lr_lambda: Factor | list[Factor], last_epoch: int = -1) -> None:
        self.lr_lambdas: list[Factor] = for_each_group("lr_lambda", lr_lambda, optimizer)
        for function in self.lr_lambdas:
            if not callable(function):
                raise TypeError(f"lr_lambda should be a function, but got {type(function).__name__}")
        super().__init__(optimizer, last_epoch)

    def state_dict(self) -> dict[str, Any]:
        attributes = [
            None if isinstance(function, types.FunctionType) else copy.deepcopy(getattr(function, "__dict__", None))
            for function in self.lr_lambdas
        ]
        return {**super().state_dict(), "lr_lambdas": attributes}

    def _check_state(self, state_dict: dict[str, Any]) -> None:
        super()._check_state(state_dict)
        count = len(state_dict["lr_lambdas"])
        if count != len(self.lr_lambdas):
            raise ValueError(f"loaded state dict has {count} lr_lambdas, expected {len(self.lr_lambdas)}")

    def _take_state(self, state_dict: dict[str, Any]) -> None:
        super()._take_state(state_dict)
        for function, attributes in zip(self.lr_lambdas, state_dict["lr_lambdas"], strict=True):
            if attributes is not None:
                vars(function).update(attributes)


class LambdaLR(_ByFunction):
    """The initial learning rate times `lr_lambda(epoch)`."""

    def get_lr(self) -> list[float]:
        return [
            base_lr * function(self.last_epoch)
            for function, base_lr in zip(self.lr_lambdas, self.base_lrs, strict=True)
        ]


class MultiplicativeLR(_ByFunction):
    """The learning rate before times `lr_lambda(epoch)`, from epoch 1 on."""

    def get_lr(self) -> list[float]:
        rates = self._current_lr()
        if self._is_initial:
            return rates
        return [rate * function(self.last_epoch) for function, rate in zip(self.lr_lambdas, rates, strict=True)]
