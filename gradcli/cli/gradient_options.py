"""The options of `gradcli grads` in groups: what it looks at and says, and what a script stops for."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import TYPE_CHECKING, Annotated, get_args

import typer

from gradcli.cli.options import CHECK_PANEL, DATA_PANEL, STATISTICS_PANEL
from gradcli.errors import UsageError
from gradcli.inspection.gradients.choices import Condition, Grouping

if TYPE_CHECKING:
    from gradcli.inspection.gradients.conditions import Thresholds

DEFAULT_BINS = 20
DEFAULT_BATCH_SIZE = 32


@dataclass(frozen=True, kw_only=True)
class ViewOptions:
    """What is looked at instead of the gradients of parameters in one pass of a batch."""

    activations: Annotated[
        bool,
        typer.Option(
            "--activations",
            help="Instead of gradients of parameters: what each module gives, and its gradient. --param chooses "
            "modules: 'layer2.*', or '*.grad' for gradients alone.",
            rich_help_panel=STATISTICS_PANEL,
        ),
    ] = False
    per_sample: Annotated[
        bool,
        typer.Option(
            "--per-sample",
            help="Instead of statistics: the norm of each image's own gradient, of each parameter and of all. Needs "
            "--mode eval.",
            rich_help_panel=STATISTICS_PANEL,
        ),
    ] = False
    saliency: Annotated[
        bool,
        typer.Option(
            "--saliency",
            help="Instead of gradients of parameters: of each pixel of the images the largest |gradient| of its "
            "channels. With -o FILE.png a picture.",
            rich_help_panel=STATISTICS_PANEL,
        ),
    ] = False
    data: Annotated[
        str | None,
        typer.Option(
            "--data",
            metavar="DATA",
            help="Instead of one pass: mean and noise of the gradients over batches of this data set (a name of "
            "gradcli data list, a folder, a file), with cross-entropy.",
            rich_help_panel=DATA_PANEL,
        ),
    ] = None
    batches: Annotated[
        int | None,
        typer.Option(
            "--batches",
            metavar="N",
            min=2,
            help="So many batches of --data, in an order drawn from --seed. Left out: all.",
            rich_help_panel=DATA_PANEL,
        ),
    ] = None
    batch_size: Annotated[
        int | None,
        typer.Option(
            "--batch-size",
            "-b",
            metavar="INT",
            min=1,
            help=f"Images in each batch of --data.  [default: {DEFAULT_BATCH_SIZE}]",
            rich_help_panel=DATA_PANEL,
        ),
    ] = None

    def __post_init__(self) -> None:
        for option, given in (("--batches", self.batches), ("--batch-size", self.batch_size)):
            if given is not None and self.data is None:
                raise UsageError(f"{option} goes with --data DATA; add it")

    def given(self) -> list[str]:
        """The names of the views that were asked for."""
        chosen = {
            "--activations": self.activations,
            "--per-sample": self.per_sample,
            "--saliency": self.saliency,
            "--data": self.data is not None,
        }
        return [option for option, was_given in chosen.items() if was_given]


@dataclass(frozen=True, kw_only=True)
class StatisticsOptions:
    """What the output tells of the gradients."""

    lr: Annotated[
        float,
        typer.Option(
            "--lr",
            metavar="FLOAT",
            min=0,
            help="Learning rate of update_ratio, which is lr * |gradient| / |weight|.",
            rich_help_panel=STATISTICS_PANEL,
        ),
    ] = 1e-2
    group_by: Annotated[
        Grouping | None,
        typer.Option(
            "--group-by",
            help="Statistics of several parameters together: of a layer, a block of the network (stem, layer1.0, ...), "
            "or a kind (Conv2d.weight, BatchNorm2d.bias, ...).",
            rich_help_panel=STATISTICS_PANEL,
        ),
    ] = None
    histogram: Annotated[
        bool,
        typer.Option(
            "--histogram",
            help="Add a histogram: bars in a table on a terminal, edges and counts elsewhere.",
            rich_help_panel=STATISTICS_PANEL,
        ),
    ] = False
    bins: Annotated[
        int | None,
        typer.Option(
            "--bins",
            metavar="N",
            min=1,
            max=10_000,
            help=f"Bins of --histogram.  [default: {DEFAULT_BINS}]",
            rich_help_panel=STATISTICS_PANEL,
        ),
    ] = None
    log_scale: Annotated[
        bool,
        typer.Option(
            "--log-scale",
            help="Bins of --histogram are of the magnitude's logarithm; zeros are in none.",
            rich_help_panel=STATISTICS_PANEL,
        ),
    ] = False
    values: Annotated[
        bool,
        typer.Option(
            "--values",
            help="Add the numbers themselves to json, jsonl and csv, in row-major order.",
            rich_help_panel=STATISTICS_PANEL,
        ),
    ] = False

    def __post_init__(self) -> None:
        if not math.isfinite(self.lr):
            raise UsageError("--lr must be a finite number")
        for option, given in (("--bins", self.bins is not None), ("--log-scale", self.log_scale)):
            if given and not self.histogram:
                raise UsageError(f"{option} goes with --histogram; add it")
        if self.values and self.group_by is not None:
            raise UsageError("--values are those of single parameters; leave out --group-by")

    def given(self) -> list[str]:
        """The names of the options that were given, --lr aside."""
        chosen = {
            "--group-by": self.group_by is not None,
            "--histogram": self.histogram,
            "--values": self.values,
        }
        return [option for option, was_given in chosen.items() if was_given]


@dataclass(frozen=True, kw_only=True)
class CheckOptions:
    """Which gradients end the command with exit code 6."""

    fail_on: Annotated[
        list[str] | None,
        typer.Option(
            "--fail-on",
            metavar="CONDITION[,...]",
            help="End with exit code 6 and the names of gradients that are nonfinite (NaN or infinity), vanishing, "
            "exploding or zero. The output is written all the same.",
            rich_help_panel=CHECK_PANEL,
        ),
    ] = None
    vanishing: Annotated[
        float | None,
        typer.Option(
            "--vanishing",
            metavar="NORM",
            min=0,
            help="A gradient of a smaller norm is vanishing.  [default: 1e-7]",
            rich_help_panel=CHECK_PANEL,
        ),
    ] = None
    exploding: Annotated[
        float | None,
        typer.Option(
            "--exploding",
            metavar="NORM",
            min=0,
            help="A gradient of a larger norm is exploding.  [default: 1e4]",
            rich_help_panel=CHECK_PANEL,
        ),
    ] = None

    def __post_init__(self) -> None:
        for option in ("vanishing", "exploding"):
            value = getattr(self, option)
            if value is not None and math.isnan(value):
                raise UsageError(f"--{option} must be a number")
            if value is not None and option not in self.conditions:
                raise UsageError(f"--{option} goes with --fail-on {option}; add it")

    @property
    def conditions(self) -> list[Condition]:
        """The conditions, each once; UsageError for one that there is not."""
        choices = {name: name for name in get_args(Condition)}
        chosen: list[Condition] = []
        for word in (word.strip() for text in self.fail_on or () for word in text.split(",")):
            if word not in choices:
                raise UsageError(f"--fail-on {word!r}: there is no such condition; take some of {','.join(choices)}")
            if choices[word] not in chosen:
                chosen.append(choices[word])
        return chosen

    def thresholds(self) -> Thresholds:
        """The thresholds for the workflow."""
        from gradcli.inspection.gradients.conditions import Thresholds

        given = {"vanishing": self.vanishing, "exploding": self.exploding}
        return Thresholds(**{name: value for name, value in given.items() if value is not None})
