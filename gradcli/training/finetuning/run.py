"""A finetuning run as it goes: epochs, checkpoints, and what it leaves behind however it ends."""

from __future__ import annotations

import logging
import shlex
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import AbstractContextManager, nullcontext, suppress
from dataclasses import asdict, replace
from typing import Any, Self

import numpy as np

from gradcli.autograd import Tensor
from gradcli.errors import CheckError, DataError, DivergedError, GradcliError, RunFolderError, UsageError
from gradcli.kernels.policy import using_kernels
from gradcli.models.loading import state_arrays
from gradcli.models.weights_source import weights_file
from gradcli.ops.random import get_rng_state, set_rng_state
from gradcli.optim.state_arrays import join_state, split_state
from gradcli.training.batch_norms import set_mode
from gradcli.training.finetuning.batch_source import BatchSource, feature_batches, image_batches
from gradcli.training.finetuning.data import (
    balanced_class_weights,
    data_fingerprint,
    training_batches,
    validation_batches,
)
from gradcli.training.finetuning.frozen_receipt import FrozenReceipt, moving_statistics, resting_names
from gradcli.training.finetuning.gradient_log import GradientLog, with_gradients
from gradcli.training.finetuning.options import require_same_options, settings_of
from gradcli.training.finetuning.records import EpochProgress, EpochRecord, Tally, best_record, epochs_without_progress
from gradcli.training.finetuning.run_folder import CONFIG_FILE, RunFolder
from gradcli.training.finetuning.run_results import RunResults, RunStatus
from gradcli.training.finetuning.run_state import RunState, load_run_state, save_run_state
from gradcli.training.finetuning.setup import Finetuning
from gradcli.training.finetuning.training_loop import TrainingLoop
from gradcli.training.finetuning.weight_average import WeightAverage
from gradcli.training.frozen_prefix import cut_model
from gradcli.training.passes import overflow_allowed
from gradcli.training.state_digests import combined_digest, tensor_digests

logger = logging.getLogger(__name__)

SECONDS_BETWEEN_WEIGHTS = 60.0
"""For how long checkpoints leave the files of weights as they are: writing them takes longer than a head's epoch."""


class _StopRequestedError(Exception):
    """Ends the run early because the caller asked for it."""


class FinetuneRun:
    """A run in its folder: a new one, or one that goes on from the checkpoint of an `existing` folder.

    `stopped` is the epoch in which it ended early because it was asked to.
    """

    def __init__(self, finetuning: Finetuning, folder: RunFolder) -> None:
        self.finetuning = finetuning
        self.stopped: int | None = None
        self._state = load_run_state(folder.state_file) if folder.is_resumed else None
        self._settings = finetuning.settings
        self._model = finetuning.model
        self._folder = folder
        self._on_batch: Callable[[EpochProgress], None]
        self._should_stop: Callable[[], bool]
        self._on_features: Callable[[int, int], None]
        self._source: BatchSource | None = None
        self._loop: TrainingLoop | None = None
        self._results = RunResults(finetuning, folder)
        self._interval = self._settings.checkpoint_interval
        # Where the run is: the epoch, its optimizer steps done, its sums and learning rate as of the last of them.
        self._epoch = 1
        self._steps = 0
        self._tally = Tally()
        self._lr = finetuning.optimizer.param_groups[0]["lr"]
        self._records: list[EpochRecord] = [] if self._state is None else self._state.records
        self._best: dict[str, np.ndarray[Any, Any]] = {}
        self._skipped: dict[str, str] = {}
        # Clocks: seconds of this epoch and of the run before this process, or this epoch, began.
        self._epoch_seconds = self._run_seconds = 0.0
        self._run_started = self._epoch_started = self._saved = self._weights_saved = time.monotonic()
        self._steps_since_saved = 0

    @classmethod
    def resume(cls, folder: RunFolder) -> Self:
        """The run of an `existing` folder, to go on where its last checkpoint was made, or at its start without one.

        RunFolderError if it is finished, diverged, or its checkpoint can't be used, UsageError if its configuration
        can't; `records` finds out whether data and weights are still the same. The folder is released after an error.
        """
        try:
            summary = folder.summary()
            if summary is not None and summary.get("status") == "finished":
                raise RunFolderError(f"{folder.path}: the run is finished; there is nothing to resume")
            if summary is not None and summary.get("status") == "diverged":
                config = shlex.quote(str(folder.path / CONFIG_FILE))
                raise RunFolderError(
                    f"{folder.path}: the run diverged, and would again; begin another one with a smaller --lr: "
                    f"gradcli finetune --config {config} --lr LR --run FOLDER"
                )
            receipt = None if summary is None else summary.get("frozen")
            if isinstance(receipt, dict) and receipt.get("moved"):
                # The checkpoint is of training on top of what moved; from it the receipt would hold again.
                raise RunFolderError(f"{folder.path}: a tensor moved in this run although frozen; start it anew")
            source = str(folder.path / CONFIG_FILE)
            run = cls(Finetuning(settings_of(folder.config(), source)), folder)
            if run._state is None:
                logger.info("%s has no checkpoint yet: starts from the beginning", folder.path)
            else:
                require_same_options(run.finetuning.config(), run._state.options, source)
            return run
        except BaseException:
            folder.release()
            raise

    @property
    def epochs_done(self) -> int:
        """How many epochs are done, with those before the checkpoint that the run goes on from."""
        return len(self._records)

    def records(
        self,
        config: Mapping[str, Any],
        on_batch: Callable[[EpochProgress], None] = lambda progress: None,
        should_stop: Callable[[], bool] = lambda: False,
        on_features: Callable[[int, int], None] = lambda done, total: None,
    ) -> Iterator[EpochRecord]:
        """Train; after each epoch its record is written into the folder and given out.

        `config` is written first, unless the run is resumed. `on_batch` is called after each batch, and before,
        where frozen layers' features are computed once, `on_features` with the numbers of images done and to do. After
        any step, `should_stop` may end the run: what it goes on from is written, and `stopped` is set. Raises
        DivergedError for a loss, gradient or validation loss that is not finite, CheckError for a frozen tensor that
        moved, DataError and WeightsError for data and weights that are not those that a resumed run began with. What
        the epochs before came to is then in the folder; a run that comes to nothing leaves none.
        """
        self._on_batch, self._should_stop, self._on_features = on_batch, should_stop, on_features
        if not self._folder.is_resumed:
            weights = self._settings.weights
            if self._folder.replaces(weights_file(weights)):
                raise UsageError(
                    f"--weights {weights}: lies in {self._folder.path}, which --force replaces; "
                    "name another folder with --run"
                )
            self._folder.create(config)
        try:
            yield from self._train()
        finally:
            self._folder.remove_unless_saved()

    def _train(self) -> Iterator[EpochRecord]:
        """Train from the state on, or from the beginning, and give out each epoch's record."""
        self._begin()
        try:
            if self._is_over():  # ended between its last checkpoint and its summary
                self._end("finished")
            else:
                loop = self._loop = self._make_loop()
            while not self._is_over():
                self._stop_if_asked()
                record = self._run_epoch(loop)
                if self._is_over():
                    self._end("finished")
                yield record
        except _StopRequestedError:
            self.stopped = self._epoch
            self._end("stopped")
        except CheckError:
            raise
        except (GradcliError, OSError) as error:
            with suppress(GradcliError, OSError):  # what it was matters more
                self._end("diverged" if isinstance(error, DivergedError) else "failed", str(error))
            raise

    def _begin(self) -> None:
        """Note what must not move, and with what the run begins; take up the state of a run that goes on."""
        digests = tensor_digests(state_arrays(self._model))
        self._started_from = combined_digest(digests)
        self._frozen = {name: digests[name] for name in resting_names(self._model)}
        self._moving_statistics = moving_statistics(self._model)
        decay = self._settings.ema
        self._average = None if decay is None else WeightAverage(decay, self._model, self._moving_tensors())
        self._fingerprint = data_fingerprint(self.finetuning.train_data, self.finetuning.val_data)
        if self._state is not None:
            self._take_up(self._state)
        if self._folder.is_resumed:
            steps = (self._epoch - 1) * self.finetuning.steps_per_epoch + self._steps
            records = with_gradients(map(asdict, self._records), self._folder.metrics(), steps)
            self._folder.rewrite_metrics(records)

    def _take_up(self, state: RunState) -> None:
        finetuning, settings = self.finetuning, self._settings
        state.check_start(
            self._folder.path,
            data=(settings.data, self._fingerprint),
            weights=(settings.weights, self._started_from),
        )
        try:
            if set(state.tensors) != set(self._moving_tensors()):
                raise ValueError("other tensors train than those of this run")
            self._model.load_state_dict(state.tensors, strict=False)
            finetuning.optimizer.load_state_dict(join_state(dict(state.optimizer_arrays), state.optimizer_values))
            if finetuning.scheduler is not None and state.schedule is not None:
                finetuning.scheduler.load_state_dict(state.schedule)
            if self._average is not None:
                self._average.load(state.average, state.average_steps)
            set_rng_state(Tensor(state.generator))
        except (ValueError, RuntimeError, KeyError) as error:
            reason = str(error).splitlines()[0]
            raise RunFolderError(
                f"{self._folder.state_file}: doesn't fit this run ({reason}); start it anew"
            ) from error
        self._epoch, self._steps, self._tally, self._lr = state.epoch, state.steps, state.tally, state.lr
        self._best, self._skipped = dict(state.best), state.skipped
        self._epoch_seconds, self._run_seconds = state.epoch_seconds, state.run_seconds

    def _make_loop(self) -> TrainingLoop:
        settings, finetuning = self._settings, self.finetuning
        data = finetuning.train_data, finetuning.val_data
        cut = cut_model(self._model)
        source: BatchSource | None = None
        if cut is not None and settings.keeps_features:
            source = feature_batches(settings, cut, *data, self._frozen, self._after_features)
            if source is None:
                logger.info(
                    "the features of all images before %s are too many to keep: computed in each epoch", cut.stage
                )
        self._source = source or image_batches(settings, self._model, *data)
        balanced = settings.class_weights == "balanced"
        every, steps = settings.log_interval, finetuning.steps_per_epoch
        return TrainingLoop(
            settings,
            self._model,
            self._source,
            finetuning.optimizer,
            finetuning.scheduler,
            balanced_class_weights(data[0].labels, finetuning.num_classes) if balanced else None,
            None if every is None else GradientLog(self._model, every, steps, self._folder.add_metrics),
        )

    @overflow_allowed()
    def _run_epoch(self, loop: TrainingLoop) -> EpochRecord:
        self._epoch_started = time.monotonic()
        set_mode(self._model, self._settings.mode)
        train_data, val_data = self.finetuning.train_data, self.finetuning.val_data
        running = replace(self._tally)

        def after_step(steps: int, lr: float) -> None:
            self._steps, self._lr, self._tally = steps, lr, replace(running)
            self._steps_since_saved += 1
            if self._average is not None:
                self._average.update()
            self._stop_if_asked()
            self._save_if_due()

        def after_validation_batch(validated: Tally) -> None:
            self._tell(running, validated.images)
            if validated.images < len(val_data):  # else the epoch is done, and needn't be validated again
                self._stop_if_asked()

        with using_kernels(self._settings.kernels):
            batches = training_batches(train_data, self._settings, self._epoch)
            loop.train(self._epoch, batches, self._steps, running, self._tell, after_step)
            with self._averaged():
                batches = validation_batches(val_data, self._settings)
                validated = loop.validate(batches, self._epoch, after_validation_batch)
        for part, tally in ((train_data, running), (val_data, validated)):
            if tally.images == 0:
                raise DataError(f"{part.source}: none of {len(part)} images to train or validate with can be read")
        record = EpochRecord(
            epoch=self._epoch,
            train_loss=running.mean_loss,
            train_accuracy=running.accuracy,
            val_loss=validated.mean_loss,
            val_accuracy=validated.accuracy,
            lr=self._lr,
            seconds=self._epoch_seconds + time.monotonic() - self._epoch_started,
            kernels=self._settings.kernels,
        )
        self._finish_epoch(record)
        return record

    def _finish_epoch(self, record: EpochRecord) -> None:
        self._records.append(record)
        if best_record(self._records) is record:
            tensors = self._moving_tensors() if self._average is None else self._average.averages
            self._best = {name: array.copy(order="K") for name, array in tensors.items()}
        # Before anything can fail: what is saved then must not have the epoch before it once more.
        self._epoch, self._steps, self._tally = self._epoch + 1, 0, Tally()
        self._epoch_seconds, self._epoch_started = 0.0, time.monotonic()
        self._folder.add_metrics(asdict(record))
        if not self._is_over():
            self._save_if_due()

    def _is_over(self) -> bool:
        patience = self._settings.patience
        return len(self._records) == self._settings.epochs or (
            patience is not None and epochs_without_progress(self._records) >= patience
        )

    def _after_features(self, done: int, total: int) -> None:
        self._on_features(done, total)
        self._stop_if_asked()

    def _tell(self, trained: Tally, validated: int = 0) -> None:
        """Say how far the epoch is, after so many images of validation."""
        if trained.images:
            self._on_batch(EpochProgress(self._epoch, trained.images + validated, trained.mean_loss, trained.accuracy))

    def _stop_if_asked(self) -> None:
        if self._should_stop():
            raise _StopRequestedError

    def _save_if_due(self) -> None:
        steps, seconds = self._interval
        if steps is not None:
            due = self._steps_since_saved >= steps
        else:
            assert seconds is not None
            due = time.monotonic() - self._saved >= seconds
        if due:
            self._save_state()
            if time.monotonic() - self._weights_saved >= SECONDS_BETWEEN_WEIGHTS:
                self._save_weights()

    def _save_state(self) -> None:
        finetuning, now = self.finetuning, time.monotonic()
        arrays, values = split_state(finetuning.optimizer.state_dict())
        state = RunState(
            epoch=self._epoch,
            steps=self._steps,
            tally=self._tally,
            lr=self._lr,
            epoch_seconds=self._epoch_seconds + now - self._epoch_started,
            run_seconds=self._run_seconds + now - self._run_started,
            records=self._records,
            skipped=self._all_skipped(),
            options=finetuning.config(),
            started_from=self._started_from,
            data=self._fingerprint,
            tensors=self._moving_tensors(),
            best=self._best,
            average={} if self._average is None else self._average.averages,
            average_steps=0 if self._average is None else self._average.steps,
            optimizer_arrays=arrays,
            optimizer_values=values,
            schedule=None if finetuning.scheduler is None else finetuning.scheduler.state_dict(),
            generator=get_rng_state().array,
        )
        save_run_state(self._folder.state_file, state)
        self._steps_since_saved, self._saved = 0, time.monotonic()
        logger.debug("checkpoint in epoch %d, step %d", self._epoch, self._steps)

    def _save_weights(self, *, last: bool = True) -> None:
        with self._averaged():
            self._results.save_weights(self._records, self._best, fingerprint=self._fingerprint, last=last)
        self._weights_saved = time.monotonic()

    def _end(self, status: RunStatus, error: str | None = None) -> None:
        """Write what the run came to; CheckError if something frozen moved."""
        folder = self._folder
        is_nothing_to_tell = not folder.is_kept if status == "diverged" else self._tally.images == 0
        if error is not None and is_nothing_to_tell and not self._records and not folder.state_file.exists():
            return
        # Amid a step, or where it diverged, the model is not one that the run can go on from, nor one of use.
        is_whole = status != "diverged" and not (self._loop is not None and self._loop.is_amid_step)
        if is_whole:
            self._save_state()
        if is_whole or self._records:
            self._save_weights(last=is_whole)
        state = state_arrays(self._model)
        after = tensor_digests({name: state[name] for name in self._frozen})
        receipt = FrozenReceipt(self._frozen, after, self._moving_statistics)
        self._results.save_summary(
            "failed" if receipt.moved else status,
            self._records,
            receipt,
            started_from=self._started_from,
            fingerprint=self._fingerprint,
            skipped=self._all_skipped(),
            seconds=self._run_seconds + time.monotonic() - self._run_started,
            error=error,
        )
        receipt.check()

    def _averaged(self) -> AbstractContextManager[None]:
        """The model has its averaged weights inside, if there are any."""
        return nullcontext() if self._average is None else self._average.in_place()

    def _moving_tensors(self) -> dict[str, np.ndarray[Any, Any]]:
        """What of the model may move, shared with it."""
        return {name: array for name, array in state_arrays(self._model).items() if name not in self._frozen}

    def _all_skipped(self) -> dict[str, str]:
        return self._skipped if self._source is None else {**self._skipped, **self._source.skipped}
