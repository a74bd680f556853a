"""`gradcli finetune`: train a head, or more, on someone's data; go on with a run that was stopped."""

from __future__ import annotations

import logging
import shlex
from collections.abc import Mapping
from contextlib import ExitStack
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, Literal, get_args

import typer

from gradcli.cli.augmentation_options import AugmentationOptions
from gradcli.cli.given_options import given_options
from gradcli.cli.option_groups import CommonOptions, FreezeOptions, ModelOptions, OutputOptions
from gradcli.cli.options import FORMAT, KernelsOption
from gradcli.cli.output import Output
from gradcli.cli.stopping import stop_requests
from gradcli.cli.tables import Column
from gradcli.cli.training_options import (
    DataOptions,
    OptimizerOptions,
    RunOptions,
    ScheduleOptions,
    TrainingOptions,
)
from gradcli.cli.training_progress import TrainingProgress
from gradcli.errors import ExitCode, UsageError

if TYPE_CHECKING:
    from gradcli.training.finetuning.run import FinetuneRun
    from gradcli.training.finetuning.run_folder import RunFolder

logger = logging.getLogger(__name__)

FinetuneFormat = Literal["table", "json", "jsonl", "csv"]

COLUMNS = [
    Column("epoch"),
    Column("train_loss", "train loss", ".4g"),
    Column("train_accuracy", "train accuracy", ".4f"),
    Column("val_loss", "val loss", ".4g"),
    Column("val_accuracy", "val accuracy", ".4f"),
    Column("lr", format=".3g"),
    Column("seconds", format=".1f"),
]

TENSORBOARD = "tensorboard"
"""The key of the run's configuration for the one option that is none of its settings."""

# What may stand beside --resume: where the records go, and how the process works. Everything else is the run's.
_BESIDE_RESUME = {"resume", "output", "json", "format", *CommonOptions.names()} - {"config"}


def finetune(
    model: ModelOptions,
    freeze: FreezeOptions,
    data_options: DataOptions,
    training: TrainingOptions,
    optimizer: OptimizerOptions,
    schedule: ScheduleOptions,
    augmentation: AugmentationOptions,
    run_options: RunOptions,
    output: OutputOptions,
    data: Annotated[
        str | None,
        typer.Argument(
            metavar="DATA",
            show_default=False,
            help="digits (bundled) or another name of `gradcli data list`; a folder with one subfolder of images per "
            "class, or train/ and val/ with these; a folder or file of MNIST or CIFAR-10; a .npz or .csv file.",
        ),
    ] = None,
    kernels: KernelsOption = "fast",
    format: Annotated[FinetuneFormat | None, FORMAT] = None,
) -> None:
    """Train a new head, or more, on a data set; one record per epoch.

    Frozen layers see each image once: what they give is kept, and every epoch trains the rest on it. The run folder,
    which --weights takes, holds the best and the last weights, metrics, configuration and a summary. Ctrl-C or SIGTERM
    stops after the step and saves what --resume goes on from, to the same bits; a second Ctrl-C stops at once.

    \b
    gradcli finetune digits --freeze-backbone
    gradcli finetune photos/ -w imagenet1k-v1 --freeze-backbone --run runs/photos
    gradcli finetune photos/ -w runs/photos --unfreeze '*' --lr 1e-3 --head-lr .01
    gradcli finetune --resume runs/photos
    """
    destination = output.resolve(format, get_args(FinetuneFormat))
    if run_options.resume is not None:
        _check_beside_resume(output.context, data)
        from gradcli.training.finetuning.run import FinetuneRun
        from gradcli.training.finetuning.run_folder import RunFolder

        folder = RunFolder.existing(run_options.resume)
        _train(FinetuneRun.resume(folder), folder, folder.config(), destination)
        return
    if data is None:
        raise UsageError("Missing argument 'DATA': name the data, or a stopped run with --resume")
    from gradcli.training.finetuning.run import FinetuneRun
    from gradcli.training.finetuning.settings import FinetuneSettings
    from gradcli.training.finetuning.setup import Finetuning

    folder = _new_folder(run_options, data)
    settings = FinetuneSettings(
        data=data,
        weights=model.weights,
        verify=not model.no_verify,
        mode=None if model.mode is None else model.mode.value,
        freeze=freeze.rules,
        optimizer=optimizer.settings(),
        head_lr=optimizer.head_lr,
        schedule=schedule.settings(),
        seed=model.seed,
        kernels=kernels,
        checkpoint_every=run_options.checkpoint_every,
        feature_cache=not run_options.no_feature_cache,
        log_grads=run_options.log_grads,
        **asdict(data_options),
        **asdict(training),
        **asdict(augmentation),
    )
    finetuning = Finetuning(settings)
    config = finetuning.config() | ({TENSORBOARD: True} if run_options.tensorboard else {})
    _train(FinetuneRun(finetuning, folder), folder, config, destination)


def _new_folder(options: RunOptions, data: str) -> RunFolder:
    from gradcli.training.finetuning.run_folder import RunFolder

    if options.run is not None:
        return RunFolder.check(options.run, force=options.force)
    if options.force:
        raise UsageError("--force replaces the run in --run FOLDER; name that too")
    return RunFolder.next_free(Path("runs"), Path(data).stem or "run")


def _check_beside_resume(context: Any, data: str | None) -> None:
    foreign = [name for name, _ in given_options(context) if name not in _BESIDE_RESUME]
    if foreign:
        # What a configuration file holds stands before the file's own option.
        culprit = "--config" if "config" in foreign else f"--{foreign[0].replace('_', '-')}"
    elif data is not None:
        culprit = data
    else:
        return
    raise UsageError(f"--resume goes on with the run's own data and settings; leave out {culprit}")


def _train(run: FinetuneRun, folder: RunFolder, config: Mapping[str, Any], destination: Output) -> None:
    """Train with records, progress and signals; leave with 143 after a stop."""
    finetuning = run.finetuning
    logger.info("%s", finetuning.describe())
    epochs = finetuning.settings.epochs
    with ExitStack() as stack:
        events = None
        if config.get(TENSORBOARD):
            from gradcli.training.finetuning.event_files import EventFile

            events = stack.enter_context(EventFile(folder.path))
        should_stop = stack.enter_context(stop_requests())
        write = stack.enter_context(destination.record_writer(COLUMNS))
        progress = stack.enter_context(TrainingProgress(epochs, finetuning.images_per_epoch, run.epochs_done))
        for record in run.records(config, progress.batch, should_stop, progress.features):
            write({**asdict(record), "weights": finetuning.loaded.weights})
            if events is not None:
                events.add(record)
            logger.info(
                "epoch %d/%d: loss %.4g, accuracy %.1f %%; validation loss %.4g, accuracy %.1f %%",
                record.epoch,
                epochs,
                record.train_loss,
                100 * record.train_accuracy,
                record.val_loss,
                100 * record.val_accuracy,
            )
    if run.stopped is not None:
        logger.info(
            "stopped in epoch %d; go on with: gradcli finetune --resume %s",
            run.stopped,
            shlex.quote(str(folder.path)),
        )
        raise typer.Exit(ExitCode.TERMINATED)
    if run.epochs_done < epochs:
        patience = finetuning.settings.patience
        logger.info("ended after %d epochs: %d without a better validation loss or accuracy", run.epochs_done, patience)
    logger.info("weights, metrics and configuration are in %s", folder.path)
