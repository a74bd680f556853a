"""`gradcli lr-find`: the learning rate range test."""

from __future__ import annotations

import dataclasses
import logging
import shutil
from typing import TYPE_CHECKING, Annotated, Literal, get_args

import typer

from gradcli.cli.option_groups import FreezeOptions, ModelOptions, OutputOptions
from gradcli.cli.options import FORMAT, TRAINING_PANEL, KernelsOption, Shape, shape_option
from gradcli.cli.progress import progress
from gradcli.cli.tables import Column
from gradcli.cli.training_options import DataOptions, OptimizerOptions
from gradcli.errors import UsageError

if TYPE_CHECKING:
    from gradcli.inspection.range_test.rates import RangeTest

logger = logging.getLogger(__name__)

LrFindFormat = Literal["table", "json", "csv", "png"]

COLUMNS = [Column("step"), Column("lr", format=".4g"), Column("loss", format=".6g"), Column("smoothed", format=".6g")]

RANDOM_SHAPE = (8, 3, 64, 64)


def lr_find(
    model: ModelOptions,
    freeze: FreezeOptions,
    data_options: DataOptions,
    optimizer_options: OptimizerOptions,
    output: OutputOptions,
    data: Annotated[
        str | None,
        typer.Argument(
            metavar="DATA", show_default=False, help="As of finetune. Left out: random images of random classes."
        ),
    ] = None,
    start: Annotated[float, typer.Option(metavar="FLOAT", help="The first learning rate.")] = 1e-6,
    end: Annotated[float, typer.Option(metavar="FLOAT", help="The last one.")] = 10.0,
    steps: Annotated[int, typer.Option(metavar="INT", help="How many; each the same factor above the last.")] = 100,
    smoothing: Annotated[float, typer.Option(metavar="DECAY", help="Of the losses' running average.")] = 0.9,
    divergence: Annotated[
        float, typer.Option(metavar="FACTOR", help="End where that average is so many times its minimum.")
    ] = 4.0,
    batch_size: Annotated[
        int | None,
        typer.Option(
            "--batch-size", "-b", metavar="INT", min=1, rich_help_panel=TRAINING_PANEL, help="Of DATA.  [default: 32]"
        ),
    ] = None,
    shape: Annotated[Shape | None, shape_option("8,3,64,64")] = None,
    kernels: KernelsOption = "fast",
    format: Annotated[LrFindFormat | None, FORMAT] = None,
) -> None:
    """Find a learning rate: one step at each of rising rates.

    Trains as finetune would, with cross-entropy, batch after batch, and keeps nothing of it. The rate to begin with is
    a tenth of where the smoothed loss is smallest; where it falls fastest is told too. A terminal shows a plot, unless
    --format asks for the table; png needs pip install 'gradcli[plot]'.

    \b
    gradcli lr-find digits --freeze-backbone
    gradcli lr-find photos/ -w imagenet1k-v1 --optimizer adamw -o rates.png
    gradcli lr-find digits --json | jq .suggested
    """
    destination = output.resolve(format, get_args(LrFindFormat))
    for name in ("lr", "head_lr"):
        if getattr(optimizer_options, name) is not None:
            option = f"--{name.replace('_', '-')}"
            raise UsageError(f"{option}: the test tries learning rates from --start to --end; leave it out")
    if data is not None and shape is not None:
        raise UsageError("--shape is the shape of random images; leave it out with DATA")
    optimizer_settings = optimizer_options.settings()
    from gradcli.inspection.range_test.loss_sources import losses_of_data, losses_of_pass
    from gradcli.inspection.range_test.rates import RangeSettings, range_test
    from gradcli.kernels.policy import using_kernels
    from gradcli.training.optimizers import build_optimizer
    from gradcli.training.passes import PassSettings, overflow_allowed, prepare

    if destination.format == "png":
        from gradcli.inspection.plots.figures import require_matplotlib

        require_matplotlib()
    settings = RangeSettings(start=start, end=end, steps=steps, smoothing=smoothing, divergence=divergence)
    if data is None:
        given = [field.name for field in dataclasses.fields(data_options)]
        if batch_size is not None or any(getattr(data_options, name) != getattr(DataOptions(), name) for name in given):
            raise UsageError("the options of data go with DATA; name it, or say --shape for random images")
        run = prepare(
            PassSettings(
                weights=model.weights,
                verify=not model.no_verify,
                shape=shape or RANDOM_SHAPE,
                loss="cross-entropy",
                mode=None if model.mode is None else model.mode.value,
                freeze=freeze.rules,
                seed=model.seed,
                kernels=kernels,
            )
        )
        trained, weights, losses = run.model, run.loaded.weights, losses_of_pass(run)
    else:
        from gradcli.training.finetuning.settings import FinetuneSettings
        from gradcli.training.finetuning.setup import Finetuning

        finetuning = Finetuning(
            FinetuneSettings(
                data=data,
                weights=model.weights,
                verify=not model.no_verify,
                mode=None if model.mode is None else model.mode.value,
                freeze=freeze.rules,
                seed=model.seed,
                kernels=kernels,
                batch_size=batch_size or 32,
                optimizer=optimizer_settings,
                **dataclasses.asdict(data_options),
            )
        )
        logger.info("%s", finetuning.describe())
        trained, weights, losses = finetuning.model, finetuning.loaded.weights, losses_of_data(finetuning)
    from gradcli.training.freezing import require_trainable

    require_trainable(trained)
    with progress("steps", steps) as advance, using_kernels(kernels), overflow_allowed():
        found = range_test(losses, build_optimizer(optimizer_settings, trained), settings, advance)
    title = f"{data or 'random images'}, weights {weights}, {optimizer_settings.name}"
    if destination.format == "png" or (destination.is_drawn_table and format is None):
        from gradcli.inspection.range_test.plotting import AXES, curves_of, suggestions_of

        curves, marks = curves_of(found), suggestions_of(found)
        if destination.format == "png":
            from gradcli.inspection.plots.pictures import plot_curves

            destination.write_bytes(plot_curves(curves, AXES, title, marks))
        else:
            from gradcli.inspection.plots.characters import character_plot

            width = min(shutil.get_terminal_size().columns, 100)
            destination.write_text("\n".join(character_plot(curves, AXES, width, marks)) + "\n")
    else:
        destination.write_records(
            found.points,
            COLUMNS,
            document={
                "data": data,
                "weights": weights,
                "optimizer": optimizer_settings.name,
                "kernels": kernels,
                "diverged": found.diverged,
                "suggested": found.suggested,
                "steepest": found.steepest,
                "minimum_tenth": found.minimum_tenth,
            },
            records_field="points",
        )
    logger.info("%s; weights %s, %s kernels", _summary(found), weights, kernels)


def _summary(found: RangeTest) -> str:
    last = found.points[-1].lr
    end = f"diverged at {last:.3g}" if found.diverged else f"no divergence up to {last:.3g}"
    if found.suggested is None:
        return f"{end}; the loss never fell, so no learning rate is suggested"
    return (
        f"{end}; begin with --lr {found.suggested:.3g}, a tenth of where the smoothed loss is smallest "
        f"(it falls fastest at {found.steepest:.3g})"
    )
