"""One or several steps of gradient descent on one batch."""

from __future__ import annotations

import math
import time
from collections.abc import Iterator
from dataclasses import dataclass, replace

import numpy as np

from gradcli.errors import DivergedError
from gradcli.kernels.policy import Kernels
from gradcli.kernels.statistics import sum_of_squares
from gradcli.optim import SGD
from gradcli.training.freezing import count_parameters, require_trainable
from gradcli.training.optimizers import SGDSettings
from gradcli.training.passes import Pass, check_finite_loss, overflow_allowed, run_backward


@dataclass(frozen=True, kw_only=True)
class StepRecord:
    """What one step did. Norms are Euclidean, over all trainable parameters; trainable and frozen count numbers."""

    step: int
    loss: float
    grad_norm: float
    update_norm: float
    trainable: int
    frozen: int
    seconds: float
    weights: str
    mode: str
    frozen_batch_norms: int
    kernels: Kernels


def run_steps(run: Pass, settings: SGDSettings, steps: int = 1) -> Iterator[StepRecord]:
    """Forward, loss, backward and update, `steps` times on the same batch; a record after each.

    Raises DivergedError before an update with a loss or gradient that is NaN or infinite and after an update that is,
    UsageError where everything is frozen.
    """
    require_trainable(run.model)
    if steps == 1 and not settings.nesterov:
        # The first step with momentum is a plain one that fills buffers, as large as the model, for the steps after it.
        settings = replace(settings, momentum=0.0)
    return _steps(run, settings.optimizer(run.model), steps)


def _steps(run: Pass, optimizer: SGD, steps: int) -> Iterator[StepRecord]:
    advice = f"try a smaller --lr than {optimizer.defaults['lr']:g}"
    count = count_parameters(run.model.parameters())
    for step in range(1, steps + 1):
        start = time.perf_counter()
        optimizer.zero_grad()
        _, loss, _ = run_backward(run)
        if step > 1 and not math.isfinite(loss.item()):
            raise DivergedError(f"the loss is {loss.item()} in step {step}; {advice}")
        check_finite_loss(loss.item(), run)
        grad_norm = gradient_norm(run)
        with overflow_allowed():
            update_norm = optimizer.measured_step()
        if not math.isfinite(update_norm):
            raise DivergedError(f"the update of step {step} is not finite; {advice}")
        yield StepRecord(
            step=step,
            loss=loss.item(),
            grad_norm=grad_norm,
            update_norm=update_norm,
            trainable=count.trainable,
            frozen=count.frozen,
            seconds=time.perf_counter() - start,
            weights=run.loaded.weights,
            mode=run.mode,
            frozen_batch_norms=run.frozen_batch_norms,
            kernels=run.settings.kernels,
        )


def gradient_norm(run: Pass) -> float:
    """Euclidean norm of all gradients together; DivergedError names the first that is not finite."""
    total = 0.0
    for name, gradient in run.gradients().items():
        squares = sum_of_squares(gradient)
        if not math.isfinite(squares) and not np.isfinite(gradient).all():
            raise DivergedError(f"the gradient of {name} is not finite; this step updated no parameter")
        total += squares
    return math.sqrt(total)
