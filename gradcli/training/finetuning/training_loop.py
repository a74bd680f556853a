"""An epoch of training and its validation, step by step."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable, Iterator
from contextlib import closing, nullcontext
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from gradcli.autograd import Tensor, no_grad
from gradcli.errors import DivergedError
from gradcli.kernels.statistics import first_non_finite
from gradcli.nn.functional import cross_entropy
from gradcli.nn.utils import clip_grads_with_norm_, get_total_norm
from gradcli.optim import Optimizer
from gradcli.optim.lr_scheduler import LRScheduler
from gradcli.training.batch_norms import small_batches_explained
from gradcli.training.finetuning.batch_source import Batch, BatchSource, Positions
from gradcli.training.finetuning.gradient_log import GradientLog
from gradcli.training.finetuning.records import Tally
from gradcli.training.finetuning.settings import FinetuneSettings
from gradcli.training.non_finite import first_non_finite_gradient, first_non_finite_output

if TYPE_CHECKING:
    from gradcli.models import ResNet

AfterBatch = Callable[[Tally], None]
"""Called after each batch with the tally that it was added to."""


class TrainingLoop:
    """What moves a model: batches, loss, optimizer and schedule. DivergedError for numbers that are not finite.

    `class_weights` (classes,) weigh the images' losses. `gradient_log` measures what steps do. `is_amid_step` tells
    whether a step began whose batches may have moved statistics of batch norms, and did not come to its end.
    """

    def __init__(
        self,
        settings: FinetuneSettings,
        model: ResNet,
        source: BatchSource,
        optimizer: Optimizer,
        scheduler: LRScheduler | None,
        class_weights: NDArray[np.float32] | None,
        gradient_log: GradientLog | None = None,
    ) -> None:
        self.source = source
        self.is_amid_step = False
        self._settings = settings
        self._model = model
        self._optimizer = optimizer
        self._scheduler = scheduler
        self._class_weights = class_weights
        self._gradient_log = gradient_log
        self._weight = None if class_weights is None else Tensor(class_weights)
        self._trainable = [parameter for parameter in model.parameters() if parameter.requires_grad]
        # Biases and batch norms: what isn't finite in a backward pass shows in their gradients. Those of filters take a
        # tenth of a step to read, and if it is only there, the next loss tells.
        self._watched = [parameter for parameter in self._trainable if parameter.ndim == 1]

    def train(
        self,
        epoch: int,
        batches: Positions,
        steps_done: int,
        tally: Tally,
        on_batch: AfterBatch,
        after_step: Callable[[int, float], None],
    ) -> None:
        """Train on an epoch's batches from step number `steps_done` on, adding to the tally.

        `after_step` is called with the number of steps done and the learning rate of the last one. It may raise to end
        the epoch there.
        """
        size = self._settings.accumulate
        done = steps_done * size
        with closing(self.source.training(batches, epoch, done)) as loaded:
            for step, first in enumerate(range(done, len(batches), size), start=steps_done + 1):
                rate = self._optimizer.param_groups[0]["lr"]
                self._step(batches[first : first + size], loaded, tally, on_batch, _Place(epoch, step, first, rate))
                self.is_amid_step = False
                after_step(step, rate)

    def _step(
        self, batches: Positions, loaded: Iterator[Batch], tally: Tally, on_batch: AfterBatch, place: _Place
    ) -> None:
        """Move the model by the gradients of these batches, the next ones that are loaded."""
        self._optimizer.zero_grad()
        of_step = Tally()
        for positions in batches:
            batch = next(loaded)
            place.batch += 1
            # Nothing can be read; or one image is left, of which batch norm would have no variance.
            if len(batch.labels) == 0 or len(batch.labels) == 1 < len(positions):
                continue
            self._backward(batch, (tally, of_step), place)
            on_batch(tally)
        if of_step.weight == 0:
            return
        norm = self._finish_gradients(of_step.weight, place)
        log = self._gradient_log
        measured = None if log is None else log.measured(place.epoch, place.step, lr=place.lr, loss=of_step.mean_loss)
        with measured or nullcontext():
            if self._settings.clip_norm is not None and norm is not None:
                clip_grads_with_norm_(self._trainable, self._settings.clip_norm, norm)
            self._optimizer.step()
        if self._scheduler is not None:
            self._scheduler.step()

    def _backward(self, batch: Batch, tallies: Iterable[Tally], place: _Place) -> None:
        """Add a batch's gradients, with several batches to a step those of loss times weight, and to the tallies."""
        self.is_amid_step = True
        labels = batch.labels
        weight = float(len(labels)) if self._class_weights is None else float(self._class_weights[labels].sum())
        scores = self._predict(batch)
        loss = cross_entropy(
            scores, Tensor(labels), weight=self._weight, label_smoothing=self._settings.label_smoothing
        )
        value = loss.item()
        if not math.isfinite(value):
            raise DivergedError(f"the loss is {value} {place}{self._beginning(batch)}")
        if self._settings.accumulate > 1:
            loss = loss * weight
        loss.backward()
        of_batch = Tally()
        of_batch.add(value, weight, scores.array, labels)
        for tally in tallies:
            tally.include(of_batch)

    def _finish_gradients(self, total: float, place: _Place) -> Tensor | None:
        """Make the sum of several batches' gradients their mean; DivergedError for what isn't finite.

        Returns the norm of all gradients where that is asked for, with `--clip-norm`.
        """
        gradients = [parameter.grad for parameter in self._trainable if parameter.grad is not None]
        if self._settings.accumulate > 1:
            with no_grad():
                for gradient in gradients:
                    gradient.mul_(1 / total)
        if self._settings.clip_norm is not None:
            norm = get_total_norm(gradients)
            is_finite = math.isfinite(norm.item())
        else:
            norm = None
            watched = (parameter.grad.array for parameter in self._watched if parameter.grad is not None)
            is_finite = all(first_non_finite(gradient) is None for gradient in watched)
        if not is_finite:
            name = first_non_finite_gradient(self._model)
            what = (
                "the norm of the gradients is beyond float32"
                if name is None
                else f"the gradient of {name} is not finite"
            )
            raise DivergedError(f"{what} {place}; try a smaller --lr")
        return norm

    @no_grad()
    def validate(self, batches: Positions, epoch: int, on_batch: AfterBatch) -> Tally:
        """The tally of the validation data: plain cross-entropy, by the running statistics."""
        tally = Tally()
        self._model.eval()
        with closing(self.source.validation(batches)) as loaded:
            for batch in loaded:
                if len(batch.labels) == 0:
                    continue
                scores = self.source.predict(Tensor(batch.inputs))
                loss = cross_entropy(scores, Tensor(batch.labels)).item()
                if not math.isfinite(loss):
                    rate = self._optimizer.param_groups[0]["lr"]
                    raise DivergedError(
                        f"the validation loss is {loss} after epoch {epoch}, at learning rate {rate:g}"
                        f"{self._beginning(batch)}"
                    )
                tally.add(loss, len(batch.labels), scores.array, batch.labels)
                on_batch(tally)
        return tally

    def _predict(self, batch: Batch) -> Any:
        option = "--image-size" if self._settings.train_sizes is None else "--train-sizes"
        shape = (len(batch.labels), 3, *batch.image_size)
        with small_batches_explained(shape, f"take --batch-size above 1, or {option} above 32"):
            return self.source.predict(Tensor(batch.inputs))

    def _beginning(self, batch: Batch) -> str:
        """Where in the pass of this batch numbers began not to be finite, and what may help: the end of a message."""
        if not np.isfinite(batch.inputs).all():
            return f", first in the {self.source.inputs}; take other weights, or --kernels exact"
        layer = first_non_finite_output(self._model, lambda: self.source.predict(Tensor(batch.inputs)))
        where = ", though all scores are finite" if layer is None else f", first in the output of {layer}"
        return f"{where}; try a smaller --lr"


class _Place:
    """Where a run is, for messages: `in epoch 2, batch 3, at learning rate 0.1`."""

    def __init__(self, epoch: int, step: int, batch: int, lr: float) -> None:
        self.epoch = epoch
        self.step = step
        self.batch = batch
        self.lr = lr

    def __str__(self) -> str:
        return f"in epoch {self.epoch}, batch {self.batch}, at learning rate {self.lr:g}"
