"""The options that mean the same in every command that has them: one `Annotated` alias each.

A command takes an alias together with its own default, or one of the groups in `option_groups`,
which hold the usual defaults.
"""

from __future__ import annotations

from enum import StrEnum
from pathlib import Path
from typing import Annotated, Any, NamedTuple

import typer

from gradcli.cli.config import apply_config_file
from gradcli.kernels.policy import Kernels

MODEL_PANEL = "Model"
INPUT_PANEL = "Input and loss"
PARAMETER_PANEL = "Parameters"
STATISTICS_PANEL = "Statistics"
CHECK_PANEL = "Checks"
OPTIMIZER_PANEL = "Optimizer"
OUTPUT_PANEL = "Output"
DATA_PANEL = "Data"
TRAINING_PANEL = "Training"
SCHEDULE_PANEL = "Learning rate schedule"
AUGMENTATION_PANEL = "Augmentation"
RUN_PANEL = "Run"
COMMON_PANEL = "Common"

PANELS = (
    "Arguments",
    "Options",
    MODEL_PANEL,
    INPUT_PANEL,
    PARAMETER_PANEL,
    STATISTICS_PANEL,
    CHECK_PANEL,
    DATA_PANEL,
    TRAINING_PANEL,
    OPTIMIZER_PANEL,
    SCHEDULE_PANEL,
    AUGMENTATION_PANEL,
    RUN_PANEL,
    OUTPUT_PANEL,
    COMMON_PANEL,
)
"""The order of a help page: what is the command's own first."""

SEED_LIMIT = 2**64


class Loss(StrEnum):
    """Losses of a pass. `sum-difference` is the tutorial's `(prediction - labels).sum()`."""

    SUM_DIFFERENCE = "sum-difference"
    CROSS_ENTROPY = "cross-entropy"
    MSE = "mse"
    BCE_WITH_LOGITS = "bce-with-logits"


class Mode(StrEnum):
    """How batch norm behaves: with the batch's statistics (train) or the running ones (eval)."""

    TRAIN = "train"
    EVAL = "eval"


class Shape(NamedTuple):
    """The shape of a batch of images: batch size, channels, height and width in pixels."""

    batch: int
    channels: int
    height: int
    width: int


def parse_shape(text: str) -> Shape:
    """The shape written as `N,C,H,W`; anything else is a usage error."""
    try:
        sizes = [int(size) for size in text.split(",")]
    except ValueError:
        sizes = []
    if len(sizes) != 4 or min(sizes) < 1:
        raise typer.BadParameter(f"{text!r} is not four positive integers N,C,H,W such as 1,3,64,64")
    return Shape(*sizes)


def _parse_shape_option(value: Any) -> Any:
    # Some Typer releases send None, the default, through the parser as well.
    return parse_shape(value) if isinstance(value, str) else value


def _check_seed(value: int) -> int:
    if not 0 <= value < SEED_LIMIT:
        raise typer.BadParameter(f"{value} is not an integer from 0 to 2**64 - 1")
    return value


WeightsOption = Annotated[
    str,
    typer.Option(
        "--weights",
        "-w",
        metavar="NAME|PATH",
        envvar="GRADCLI_WEIGHTS",
        show_envvar=True,
        help="A known name (gradcli weights list), random or random:SEED, a file of weights such as .safetensors, .pth "
        "or .npz, or a run folder. Left out: imagenet1k-v1 once that is fetched, until then emoji1k, which is bundled.",
        show_default=False,
        rich_help_panel=MODEL_PANEL,
    ),
]
NoVerifyOption = Annotated[
    bool,
    typer.Option(
        "--no-verify",
        help="Take a file of known weights without checking its SHA-256.",
        rich_help_panel=MODEL_PANEL,
    ),
]
ModeOption = Annotated[
    Mode | None,
    typer.Option(
        "--mode",
        "--bn-mode",
        help="Batch norm with the batch's statistics (train) or the running ones (eval). Left out: train, except "
        "that frozen batch norms keep and use their running statistics.",
        rich_help_panel=MODEL_PANEL,
    ),
]
KernelsOption = Annotated[
    Kernels,
    typer.Option(
        "--kernels",
        envvar="GRADCLI_KERNELS",
        show_envvar=True,
        help="exact, or fast: Winograd convolution is allowed, whose gradients differ by at most 1e-4 of their norm.",
        rich_help_panel=MODEL_PANEL,
    ),
]
SeedOption = Annotated[
    int,
    typer.Option(
        "--seed",
        metavar="INT",
        callback=_check_seed,
        help="Seeds random input, targets, initialisation and data order.",
        rich_help_panel=MODEL_PANEL,
    ),
]
InputOption = Annotated[
    str | None,
    typer.Option(
        "--input",
        "-i",
        metavar="PATH|-",
        help="An image, a folder of images, .npy or .npz of shape (N,3,H,W), or - for npy on standard "
        "input. Left out: uniform random in [0,1).",
        rich_help_panel=INPUT_PANEL,
    ),
]


def shape_option(default: str) -> Any:
    """`--shape`, whose help names the shape that a command takes without it."""
    return typer.Option(
        "--shape",
        metavar="N,C,H,W",
        parser=_parse_shape_option,
        help=f"Shape of the random input.  [default: {default}]",
        show_default=False,
        rich_help_panel=INPUT_PANEL,
    )


ShapeOption = Annotated[Shape | None, shape_option("1,3,64,64")]
TargetOption = Annotated[
    str | None,
    typer.Option(
        "--target",
        "-t",
        metavar="PATH|INT",
        help="A .npy file of targets, or one class index for the whole batch. Left out: uniform random of "
        "the prediction's shape, or random classes.",
        rich_help_panel=INPUT_PANEL,
    ),
]
LossOption = Annotated[
    Loss,
    typer.Option(
        "--loss",
        help="sum-difference is the tutorial's (prediction - labels).sum().",
        rich_help_panel=INPUT_PANEL,
    ),
]
ParamOption = Annotated[
    list[str] | None,
    typer.Option(
        "--param",
        metavar="PATTERN",
        help="A parameter name or shell-style pattern such as 'layer4.*.weight'; repeatable.",
        rich_help_panel=PARAMETER_PANEL,
    ),
]
FreezeOption = Annotated[
    list[str] | None,
    typer.Option(
        "--freeze",
        metavar="PATTERN",
        help="Freeze the parameters that match; repeatable. Freeze options apply in the order given.",
        rich_help_panel=PARAMETER_PANEL,
    ),
]
UnfreezeOption = Annotated[
    list[str] | None,
    typer.Option(
        "--unfreeze",
        metavar="PATTERN",
        help="Make the parameters that match trainable again; repeatable.",
        rich_help_panel=PARAMETER_PANEL,
    ),
]
FreezeBackboneOption = Annotated[
    bool,
    typer.Option(
        "--freeze-backbone",
        help="Freeze everything but fc.*.",
        rich_help_panel=PARAMETER_PANEL,
    ),
]
LearningRateOption = Annotated[
    float,
    typer.Option("--lr", metavar="FLOAT", min=0, help="Learning rate.", rich_help_panel=OPTIMIZER_PANEL),
]
MomentumOption = Annotated[
    float,
    typer.Option("--momentum", metavar="FLOAT", min=0, help="Momentum.", rich_help_panel=OPTIMIZER_PANEL),
]
WeightDecayOption = Annotated[
    float,
    typer.Option("--weight-decay", metavar="FLOAT", min=0, help="L2 penalty.", rich_help_panel=OPTIMIZER_PANEL),
]
DampeningOption = Annotated[
    float,
    typer.Option("--dampening", metavar="FLOAT", help="Dampening of the momentum.", rich_help_panel=OPTIMIZER_PANEL),
]
NesterovOption = Annotated[
    bool,
    typer.Option("--nesterov", help="Nesterov momentum.", rich_help_panel=OPTIMIZER_PANEL),
]
OutputOption = Annotated[
    str | None,
    typer.Option(
        "--output",
        "-o",
        metavar="PATH|-",
        help="Write the data to this file; - is standard output.",
        rich_help_panel=OUTPUT_PANEL,
    ),
]
SaveOption = Annotated[
    str | None,
    typer.Option(
        "--save",
        metavar="FILE.safetensors",
        help="Write the weights, with the names of the frozen parameters.",
        rich_help_panel=OUTPUT_PANEL,
    ),
]
JsonOption = Annotated[
    bool,
    typer.Option("--json", help="Short for --format json.", rich_help_panel=OUTPUT_PANEL),
]
FORMAT = typer.Option(
    "--format",
    help="Output format. Left out: guessed from the suffix of --output, else the first.",
    rich_help_panel=OUTPUT_PANEL,
)
"""The `--format` option; a command annotates it with its own formats, its default first:
`format: Annotated[Literal["table", "json"] | None, FORMAT] = None`."""
ConfigOption = Annotated[
    Path | None,
    typer.Option(
        "--config",
        metavar="FILE.toml",
        is_eager=True,
        callback=apply_config_file,
        help="Values for any of the options; keys are the long names. The command line wins, then the "
        "environment, then the file.",
        rich_help_panel=COMMON_PANEL,
    ),
]
ThreadsOption = Annotated[
    int | None,
    typer.Option(
        "--threads",
        metavar="INT",
        min=1,
        envvar="GRADCLI_THREADS",
        show_envvar=True,
        help="Compute threads. Left out: one for each core.",
        rich_help_panel=COMMON_PANEL,
    ),
]
QuietOption = Annotated[
    bool,
    typer.Option("--quiet", "-q", help="Nothing but data and errors.", rich_help_panel=COMMON_PANEL),
]
VerboseOption = Annotated[
    bool,
    typer.Option("--verbose", "-v", help="More on standard error.", rich_help_panel=COMMON_PANEL),
]
DebugOption = Annotated[
    bool,
    typer.Option("--debug", help="Show the traceback of an error.", rich_help_panel=COMMON_PANEL),
]
