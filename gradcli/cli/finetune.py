"""`gradcli finetune`: train a head, or more, on someone's data."""

from __future__ import annotations

import logging
from pathlib import Path
from typing import Annotated, Literal, get_args

import typer

from gradcli.cli.option_groups import FreezeOptions, ModelOptions, OutputOptions, SGDOptions
from gradcli.cli.options import FORMAT, TRAINING_PANEL, KernelsOption
from gradcli.cli.progress import progress
from gradcli.cli.stopping import stop_requests
from gradcli.cli.tables import Column
from gradcli.errors import ExitCode

logger = logging.getLogger(__name__)

FinetuneFormat = Literal["table", "json", "jsonl", "csv"]

COLUMNS = [
    Column("epoch"),
    Column("train_loss", "train loss", ".4f"),
    Column("train_accuracy", "train accuracy", ".4f"),
    Column("val_loss", "val loss", ".4f"),
    Column("val_accuracy", "val accuracy", ".4f"),
    Column("lr", format="g"),
    Column("seconds", format=".1f"),
]


def finetune(
    data: Annotated[
        str,
        typer.Argument(
            metavar="DATA", help="digits (bundled), a folder with one subfolder of images per class, or a .npz file."
        ),
    ],
    model: ModelOptions,
    freeze: FreezeOptions,
    sgd: SGDOptions,
    output: OutputOptions,
    epochs: Annotated[
        int, typer.Option(min=1, metavar="INT", help="Passes over the data.", rich_help_panel=TRAINING_PANEL)
    ] = 10,
    batch_size: Annotated[
        int,
        typer.Option(
            "--batch-size", "-b", min=1, metavar="INT", help="Images per step.", rich_help_panel=TRAINING_PANEL
        ),
    ] = 32,
    num_classes: Annotated[
        int | None,
        typer.Option(
            min=1, metavar="INT", help="Size of the head. Left out: the data's classes.", rich_help_panel=TRAINING_PANEL
        ),
    ] = None,
    image_size: Annotated[
        int | None,
        typer.Option(
            min=8,
            metavar="INT",
            help="Pixels of each side. Left out: as fits the data.",
            rich_help_panel=TRAINING_PANEL,
        ),
    ] = None,
    validation_split: Annotated[
        float,
        typer.Option(
            min=0.0,
            max=1.0,
            metavar="FLOAT",
            help="Share of the images kept for validation, where the data has no such part.",
            rich_help_panel=TRAINING_PANEL,
        ),
    ] = 0.2,
    label_smoothing: Annotated[
        float,
        typer.Option(
            min=0.0, max=1.0, metavar="FLOAT", help="Share of the target spread evenly.", rich_help_panel=TRAINING_PANEL
        ),
    ] = 0.0,
    run: Annotated[
        Path | None,
        typer.Option(
            metavar="FOLDER",
            help="Where to write weights, metrics and configuration; must be empty. Left out: a new one under runs/.",
            rich_help_panel=TRAINING_PANEL,
        ),
    ] = None,
    kernels: KernelsOption = "fast",
    format: Annotated[FinetuneFormat | None, FORMAT] = None,
) -> None:
    """Train a new head, or more, on a data set; one record per epoch.

    Writes a run folder, which --weights takes. Ctrl-C or SIGTERM stops after the batch and saves the weights so far;
    a second Ctrl-C stops at once.

    \b
    gradcli finetune digits --freeze-backbone
    gradcli finetune photos/ --freeze-backbone --epochs 20 --run runs/photos --json
    """
    destination = output.resolve(format, get_args(FinetuneFormat))
    from gradcli.training.finetune import FinetuneSettings, Finetuning
    from gradcli.training.run_folder import RunFolder

    folder = RunFolder.check(run) if run is not None else RunFolder.next_free(Path("runs"), Path(data).stem or "run")
    settings = FinetuneSettings(
        data=data,
        weights=model.weights,
        verify=not model.no_verify,
        num_classes=num_classes,
        epochs=epochs,
        batch_size=batch_size,
        image_size=image_size,
        validation_split=validation_split,
        label_smoothing=label_smoothing,
        mode=None if model.mode is None else model.mode.value,
        freeze=freeze.rules,
        optimizer=sgd.settings(),
        seed=model.seed,
        kernels=kernels,
    )
    finetuning = Finetuning(settings)
    logger.info("%s", finetuning.describe())
    with (
        stop_requests() as should_stop,
        destination.record_writer(COLUMNS) as write,
    ):
        records = finetuning.run(folder, finetuning.config(), lambda loss: advance(1, f"loss {loss:.4f}"), should_stop)
        for epoch in range(1, epochs + 1):
            with progress(f"epoch {epoch}/{epochs}", finetuning.batches_per_epoch) as advance:
                record = next(records, None)
            if record is None:
                break
            write(record)
            logger.info(
                "epoch %d/%d: loss %.4f, accuracy %.1f %%; validation loss %.4f, accuracy %.1f %%",
                epoch,
                epochs,
                record.train_loss,
                100 * record.train_accuracy,
                record.val_loss,
                100 * record.val_accuracy,
            )
    if finetuning.stopped is not None:
        logger.info("stopped in epoch %d; the weights so far are in %s", finetuning.stopped, folder.path)
        raise typer.Exit(ExitCode.TERMINATED)
    logger.info("weights, metrics and configuration are in %s", folder.path)
