"""Learning rates that fall when a metric no longer gets better."""

from __future__ import annotations

import math
import warnings
from typing import Any, Literal, SupportsFloat

from gradcli.optim.lr_scheduler.scheduler import LRScheduler, for_each_group, require_optimizer
from gradcli.optim.optimizer import Optimizer


class ReduceLROnPlateau(LRScheduler):
    """Times `factor`, but not below `min_lr`, after more than `patience` epochs without a better metric.

    `mode` says whether the smallest ("min") or the largest ("max") is best. It is better if it beats the best by more
    than the share `threshold` of it ("rel") or by more than `threshold` ("abs"). For `cooldown` epochs after a
    reduction none are counted. A reduction by less than `eps` is left out.
    """

    def __init__(
        self,
        optimizer: Optimizer,
        mode: Literal["min", "max"] = "min",
        factor: float = 0.1,
        patience: int = 10,
        threshold: float = 1e-4,
        threshold_mode: Literal["rel", "abs"] = "rel",
        cooldown: int = 0,
        min_lr: list[float] | float = 0,
        eps: float = 1e-8,
    ) -> None:
        if factor >= 1.0:
            raise ValueError("Factor should be < 1.0.")
        if mode not in ("min", "max"):
            raise ValueError(f"mode {mode} is unknown!")
        if threshold_mode not in ("rel", "abs"):
            raise ValueError(f"threshold mode {threshold_mode} is unknown!")
        self.optimizer = require_optimizer(optimizer)
        self.factor = factor
        self.default_min_lr = None if isinstance(min_lr, list | tuple) else min_lr
        self.min_lrs: list[float] = for_each_group("min_lr", min_lr, optimizer)
        self.patience = patience
        self.cooldown = cooldown
        self.eps = eps
        self.last_epoch = 0
        self.mode = mode
        self.threshold = threshold
        self.threshold_mode = threshold_mode
        self.best: float = self._worst()
        self.cooldown_counter = 0
        self.num_bad_epochs = 0
        self._last_lr = self._current_lr()

    @property
    def in_cooldown(self) -> bool:
        """Whether epochs are not counted, because a reduction was not long ago."""
        return self.cooldown_counter > 0

    def step(self, metrics: SupportsFloat, epoch: int | None = None) -> None:  # type: ignore[override]  # as in PyTorch
        """Take note of this epoch's metric, and reduce the learning rates if it is time to."""
        if epoch is not None:
            warnings.warn("step(epoch) is deprecated: call step() once for each epoch", UserWarning, stacklevel=2)
        self.last_epoch = self.last_epoch + 1 if epoch is None else epoch
        metric = float(metrics)
        if self._is_better(metric):
            self.best = metric
            self.num_bad_epochs = 0
        else:
            self.num_bad_epochs += 1
        if self.in_cooldown:
            self.cooldown_counter -= 1
            self.num_bad_epochs = 0
        rates = self._current_lr()
        if self.num_bad_epochs > self.patience:
            if len(self.min_lrs) < len(rates) and self.default_min_lr is not None:  # groups were added
                self.min_lrs = [self.default_min_lr] * len(rates)
            rates = [self._reduced(rate, lowest) for rate, lowest in zip(rates, self.min_lrs, strict=True)]
            self.cooldown_counter = self.cooldown
            self.num_bad_epochs = 0
        self._set_lr(rates)

    def state_dict(self) -> dict[str, Any]:
        """As of every scheduler; `best` is None before the first metric, as JSON has no infinity."""
        state = super().state_dict()
        return state | {"best": None} if self.best == self._worst() else state

    def _take_state(self, state_dict: dict[str, Any]) -> None:
        super()._take_state(state_dict)
        if state_dict["best"] is None:
            self.best = self._worst()

    def _worst(self) -> float:
        return math.inf if self.mode == "min" else -math.inf

    def _is_better(self, metric: float) -> bool:
        if self.mode == "min":
            bound = self.best * (1.0 - self.threshold) if self.threshold_mode == "rel" else self.best - self.threshold
            return metric < bound
        bound = self.best * (self.threshold + 1.0) if self.threshold_mode == "rel" else self.best + self.threshold
        return metric > bound

    def _reduced(self, rate: float, lowest: float) -> float:
        reduced = max(rate * self.factor, lowest)
        return reduced if rate - reduced > self.eps else rate
