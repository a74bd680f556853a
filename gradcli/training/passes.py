"""One pass of a batch through the network, as the commands describe it: weights, input, target, loss, what trains."""

from __future__ import annotations

import logging
import math
import os
import time
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Literal

import numpy as np

from gradcli.autograd import Tensor, no_grad
from gradcli.data.inputs import check_target, load_input, load_target
from gradcli.data.preprocessing import Preprocessing
from gradcli.errors import DataError, DivergedError
from gradcli.kernels.policy import Kernels, using_kernels
from gradcli.models import DEFAULT_WEIGHTS, LoadedModel, ResNet, load_model
from gradcli.ops.random import manual_seed, rand, randint
from gradcli.training.batch_norms import (
    moving_frozen_statistics,
    resting_frozen_statistics,
    set_mode,
    small_batches_explained,
)
from gradcli.training.freezing import FreezeRule, apply_freeze_rules, count_parameters
from gradcli.training.losses import LOSSES, LossName, takes_class_indices
from gradcli.training.non_finite import non_finite_weights
from gradcli.training.preprocessing import weights_preprocessing

logger = logging.getLogger(__name__)

Shape = tuple[int, int, int, int]

DEFAULT_SHAPE: Shape = (1, 3, 64, 64)

# Input, first convolution and what batch norm makes of it, in float32: the least that a pass holds at once.
BYTES_PER_PIXEL = 4 * (3 + 2 * 64 // 4)


@dataclass(frozen=True, kw_only=True)
class PassSettings:
    """What a pass is made of; the fields are the options of the same names, `verify` the opposite of `--no-verify`.

    The order of draws from `seed` is: a new head if one is needed, the random input, the random target. With weights
    that need no draws, input and labels are those of a PyTorch script that calls `torch.manual_seed(seed)`,
    `torch.rand(shape)` and `torch.rand(N, classes)` in this order.
    """

    weights: str = DEFAULT_WEIGHTS
    verify: bool = True
    input: str | None = None
    shape: Shape | None = None
    target: str | None = None
    loss: LossName = "sum-difference"
    mode: Literal["train", "eval"] | None = None
    freeze: Sequence[FreezeRule] = ()
    seed: int = 0
    kernels: Kernels = "exact"


@dataclass
class Pass:
    """A prepared pass: run `forward`, then `backward`, as often as needed."""

    settings: PassSettings
    loaded: LoadedModel
    data: Tensor
    names: list[str]
    target: Tensor | None = None
    frozen_batch_norms: int = 0
    """Batch norms that use and keep their running statistics in train mode, because they are frozen."""

    @property
    def model(self) -> ResNet:
        return self.loaded.model

    @property
    def mode(self) -> str:
        """`train` or `eval`, as outputs name it."""
        return self.settings.mode or "train"

    def describe(self) -> str:
        """Weights, mode and kernels in words."""
        text = f"weights {self.loaded.weights}, {self.mode} mode, {self.settings.kernels} kernels"
        if self.frozen_batch_norms:
            text += f", {self.frozen_batch_norms} frozen batch norms keep their statistics"
        return text

    def heading(self) -> dict[str, Any]:
        """What `describe` says as fields of JSON, which the documents of all passes have."""
        return {
            "weights": self.loaded.weights,
            "mode": self.mode,
            "frozen_batch_norms": self.frozen_batch_norms,
            "kernels": self.settings.kernels,
        }

    def forward(self) -> Tensor:
        """The prediction (N, classes)."""
        prediction: Tensor = self.model(self.data)
        return prediction

    def loss(self, prediction: Tensor) -> Tensor:
        """The loss, 0-d. A random target is drawn at the first call, as the tutorial draws it after the prediction."""
        if self.target is None:
            self.target = _draw_target(self.settings.loss, tuple(prediction.shape))
        loss: Tensor = LOSSES[self.settings.loss](prediction, self.target)
        return loss

    def gradients(self) -> dict[str, np.ndarray[Any, Any]]:
        """The gradients that backward left, by parameter name."""
        return {
            name: parameter.grad.array
            for name, parameter in self.model.named_parameters()
            if parameter.grad is not None
        }


def prepare(settings: PassSettings) -> Pass:
    """Load weights and input, freeze, set the mode. Nothing is computed yet.

    Raises WeightsError, DataError or UsageError for what can't be used.
    """
    manual_seed(settings.seed)
    loaded = load_model(settings.weights, verify=settings.verify)
    apply_freeze_rules(loaded.model, settings.freeze)
    set_mode(loaded.model, settings.mode)
    moving = moving_frozen_statistics(loaded.model)
    if moving:
        logger.info("running statistics of %d frozen batch norms move in train mode, as in PyTorch", moving)
    data, names = _load_or_draw_input(settings, loaded)
    resting = resting_frozen_statistics(loaded.model)
    run = Pass(settings, loaded, Tensor(data), names, frozen_batch_norms=resting)
    logger.debug("%s, %s", run.describe(), count_parameters(loaded.model.parameters()))
    if settings.target is not None:
        run.target = _load_target(settings, (len(data), loaded.model.fc.out_features), data.dtype)
    return run


def run_forward(run: Pass, *, with_loss: bool) -> tuple[Tensor, Tensor | None, float]:
    """Prediction, loss (None unless asked for) and seconds of a forward pass that records nothing."""
    start = time.perf_counter()
    with no_grad(), overflow_allowed(), using_kernels(run.settings.kernels):
        prediction = _predict(run)
        loss = run.loss(prediction) if with_loss else None
    return prediction, loss, time.perf_counter() - start


def run_backward(run: Pass) -> tuple[Tensor, Tensor, float]:
    """Prediction, loss and seconds of a forward and a backward pass; gradients are left on the parameters."""
    start = time.perf_counter()
    with overflow_allowed(), using_kernels(run.settings.kernels):
        prediction, loss = record_loss(run)
        loss.backward()
    return prediction, loss, time.perf_counter() - start


def record_loss(run: Pass) -> tuple[Tensor, Tensor]:
    """Prediction and loss of a forward pass whose graph is recorded, with the kernels in use."""
    prediction = _predict(run)
    return prediction, run.loss(prediction)


def overflow_allowed() -> np.errstate:
    """Without NumPy's warnings of overflow: what is not finite is found, and reported, where it matters."""
    return np.errstate(over="ignore", invalid="ignore")


def check_finite_loss(loss: float, run: Pass) -> None:
    """DivergedError for a loss that is NaN or infinite, naming what is at fault in the weights."""
    if not math.isfinite(loss):
        raise DivergedError(f"the loss is {loss}: {reason_for_non_finite(run.loaded)}")


def check_finite_prediction(prediction: Tensor, run: Pass) -> None:
    """DivergedError for scores with NaN or infinity among them, naming what is at fault in the weights."""
    rows = np.flatnonzero(~np.isfinite(prediction.array).all(axis=1))
    if rows.size:
        raise DivergedError(f"the prediction for image {rows[0]} is not finite: {reason_for_non_finite(run.loaded)}")


def reason_for_non_finite(loaded: LoadedModel) -> str:
    """Why a pass of this model gives NaN or infinity, in words."""
    found = non_finite_weights(loaded.model)
    if found is not None:
        return f"{found} in {loaded.weights} are not finite"
    return f"the values of {loaded.weights} or of the input are too large for float32"


def checked_shape(shape: Shape | None) -> Shape:
    """The shape of a random input, by default 1x3x64x64.

    DataError for one that the network does not take or that is beyond this machine's memory.
    """
    if shape is None:
        return DEFAULT_SHAPE
    option = f"--shape {','.join(map(str, shape))}"
    if shape[1] != 3:
        raise DataError(f"{option}: the network takes 3 channels, not {shape[1]}")
    needed, memory = shape[0] * shape[2] * shape[3] * BYTES_PER_PIXEL, _physical_memory()
    if memory is not None and needed > memory:
        # Without this check the system may grant the memory and end the process when it is used.
        raise DataError(
            f"{option}: a pass needs more than {needed / 1e9:,.0f} GB of memory, and this machine has "
            f"{memory / 1e9:.0f}; take fewer or smaller images"
        )
    return shape


def _physical_memory() -> int | None:
    """Bytes of memory of this machine, None where the system does not tell."""
    try:
        return os.sysconf("SC_PHYS_PAGES") * os.sysconf("SC_PAGE_SIZE")
    except (AttributeError, ValueError, OSError):
        return None


def _predict(run: Pass) -> Tensor:
    with small_batches_explained(run.data.shape, "use larger images (above 32 pixels), more than one, or --mode eval"):
        return run.forward()


def _load_or_draw_input(settings: PassSettings, loaded: LoadedModel) -> tuple[np.ndarray[Any, Any], list[str]]:
    if settings.input is None:
        shape = checked_shape(settings.shape)
        return rand(shape).array, [f"random[{index}]" for index in range(shape[0])]
    return load_input(settings.input, weights_preprocessing(loaded) or Preprocessing())


def _draw_target(loss: LossName, shape: tuple[int, ...]) -> Tensor:
    return randint(0, shape[1], (shape[0],)) if takes_class_indices(loss) else rand(shape)


def _load_target(settings: PassSettings, shape: tuple[int, ...], dtype: np.dtype[Any]) -> Tensor:
    assert settings.target is not None
    by_class = takes_class_indices(settings.loss)
    target = load_target(settings.target, shape[0])
    check_target(target, shape, "indices" if by_class else "values", f"--target {settings.target}")
    return Tensor(target if by_class else target.astype(dtype))
