"""The options of a training run, in groups with their defaults; `option_expansion` explains their use."""

from __future__ import annotations

from dataclasses import asdict, dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, Literal, NamedTuple

import typer

from gradcli.cli.option_groups import SGDOptions
from gradcli.cli.options import (
    DATA_PANEL,
    OPTIMIZER_PANEL,
    RUN_PANEL,
    SCHEDULE_PANEL,
    TRAINING_PANEL,
)
from gradcli.errors import UsageError

if TYPE_CHECKING:
    from gradcli.training.optimizers import OptimizerSettings
    from gradcli.training.schedules import ScheduleSettings

# The names that the workflows know, written down again: their modules import NumPy, which a help page does without.
OptimizerName = Literal["sgd", "adamw"]
ScheduleName = Literal["constant", "cosine", "step", "one-cycle"]
ClassWeights = Literal["none", "balanced"]

# The options that one optimizer has and the other does not.
_OWN_OPTIONS: dict[str, tuple[str, ...]] = {"sgd": ("momentum", "dampening", "nesterov"), "adamw": ("betas", "eps")}


class Pair(NamedTuple):
    """Two numbers that belong together, such as the bounds of a range."""

    first: float
    second: float


def parse_pair(text: str) -> Pair:
    """The pair written as `A,B`; anything else is a usage error."""
    try:
        numbers = [float(part) for part in text.split(",")]
    except ValueError:
        numbers = []
    if len(numbers) != 2:
        raise typer.BadParameter(f"{text!r} is not two numbers A,B such as 0.5,1")
    return Pair(*numbers)


def parse_pair_option(value: Any) -> Any:
    """The value of an option that takes a pair."""
    # Some Typer releases send None, the default, through the parser as well.
    return parse_pair(value) if isinstance(value, str) else value


class Sizes(tuple[int, ...]):
    """Numbers of pixels that take turns."""


def parse_sizes(text: str) -> Sizes:
    """The sizes written as `A,B,…`, or one; anything else is a usage error."""
    try:
        return Sizes(int(part) for part in text.split(","))
    except ValueError:
        raise typer.BadParameter(f"{text!r} is not whole numbers A,B,… such as 64,32") from None


def _parse_sizes_option(value: Any) -> Any:
    return parse_sizes(value) if isinstance(value, str) else value


def _option(*names: str, panel: str, help: str, metavar: str | None = None, **more: Any) -> Any:
    return typer.Option(*names, metavar=metavar, help=help, rich_help_panel=panel, **more)


def _pair_option(name: str, *, panel: str, help: str) -> Any:
    return _option(name, panel=panel, help=help, metavar="A,B", parser=parse_pair_option)


@dataclass(frozen=True, kw_only=True)
class DataOptions:
    """How the data is divided and read; the fields are those of the run's settings."""

    image_size: Annotated[
        int | None,
        _option(
            "--image-size",
            panel=DATA_PANEL,
            metavar="INT",
            min=8,
            help="Pixels of each side. Left out: the largest of --train-sizes, else as fits data and weights.",
        ),
    ] = None
    train_sizes: Annotated[
        Sizes | None,
        _option(
            "--train-sizes",
            panel=DATA_PANEL,
            metavar="A,B,…",
            parser=_parse_sizes_option,
            help="Pixels of each side in training, batch by batch in turn; batch norm's running statistics become a "
            "mixture of theirs. Left out: always --image-size.",
        ),
    ] = None
    num_classes: Annotated[
        int | None,
        _option(
            "--num-classes",
            panel=DATA_PANEL,
            metavar="INT",
            min=1,
            help="Size of the head. Left out: the data's classes.",
        ),
    ] = None
    validation_split: Annotated[
        float,
        _option(
            "--validation-split",
            panel=DATA_PANEL,
            metavar="FLOAT",
            min=0.0,
            max=1.0,
            help="Share of the images kept for validation, where the data has no such part.",
        ),
    ] = 0.2
    class_weights: Annotated[
        ClassWeights,
        _option("--class-weights", panel=DATA_PANEL, help="balanced: rare classes weigh more, frequent ones less."),
    ] = "none"
    strict: Annotated[
        bool,
        _option("--strict", panel=DATA_PANEL, help="Refuse an image that can't be read instead of leaving it out."),
    ] = False


@dataclass(frozen=True, kw_only=True)
class TrainingOptions:
    """How long and on what the model trains; the fields are those of the run's settings."""

    epochs: Annotated[
        int, _option("--epochs", panel=TRAINING_PANEL, metavar="INT", min=1, help="Passes over the data.")
    ] = 10
    batch_size: Annotated[
        int, _option("--batch-size", "-b", panel=TRAINING_PANEL, metavar="INT", min=1, help="Images per batch.")
    ] = 32
    accumulate: Annotated[
        int,
        _option("--accumulate", panel=TRAINING_PANEL, metavar="INT", min=1, help="Batches per step of the optimizer."),
    ] = 1
    clip_norm: Annotated[
        float | None,
        _option(
            "--clip-norm",
            panel=TRAINING_PANEL,
            metavar="FLOAT",
            help="Scale gradients down to this norm of all together.",
        ),
    ] = None
    label_smoothing: Annotated[
        float,
        _option(
            "--label-smoothing",
            panel=TRAINING_PANEL,
            metavar="FLOAT",
            min=0.0,
            max=1.0,
            help="Share of the target spread evenly.",
        ),
    ] = 0.0
    patience: Annotated[
        int | None,
        _option(
            "--patience",
            panel=TRAINING_PANEL,
            metavar="INT",
            min=1,
            help="End after so many epochs without a better validation loss or accuracy.",
        ),
    ] = None
    ema: Annotated[
        float | None,
        _option(
            "--ema",
            panel=TRAINING_PANEL,
            metavar="DECAY",
            help="Validate and keep a running average of the weights, by a decay such as 0.98.",
        ),
    ] = None


@dataclass(frozen=True, kw_only=True)
class OptimizerOptions:
    """The optimizer and its options, with PyTorch's meaning; None stands for the optimizer's own default."""

    optimizer: Annotated[
        OptimizerName, _option("--optimizer", panel=OPTIMIZER_PANEL, help="What moves the parameters.")
    ] = "sgd"
    lr: Annotated[
        float | None,
        _option(
            "--lr", panel=OPTIMIZER_PANEL, metavar="FLOAT", min=0, help="Learning rate.  [default: 0.01, adamw 0.001]"
        ),
    ] = None
    head_lr: Annotated[
        float | None,
        _option("--head-lr", panel=OPTIMIZER_PANEL, metavar="FLOAT", min=0, help="Learning rate of the head fc alone."),
    ] = None
    weight_decay: Annotated[
        float | None,
        _option(
            "--weight-decay",
            panel=OPTIMIZER_PANEL,
            metavar="FLOAT",
            min=0,
            help="sgd: L2 penalty; adamw: decoupled decay.  [default: 0, adamw 0.01]",
        ),
    ] = None
    momentum: Annotated[
        float | None,
        _option("--momentum", panel=OPTIMIZER_PANEL, metavar="FLOAT", min=0, help="sgd: momentum.  [default: 0.9]"),
    ] = None
    dampening: Annotated[
        float | None,
        _option("--dampening", panel=OPTIMIZER_PANEL, metavar="FLOAT", help="sgd: dampening of the momentum."),
    ] = None
    nesterov: Annotated[bool, _option("--nesterov", panel=OPTIMIZER_PANEL, help="sgd: Nesterov momentum.")] = False
    betas: Annotated[
        Pair | None,
        _pair_option("--betas", panel=OPTIMIZER_PANEL, help="adamw: decay of the averages.  [default: 0.9,0.999]"),
    ] = None
    eps: Annotated[
        float | None,
        _option("--eps", panel=OPTIMIZER_PANEL, metavar="FLOAT", help="adamw: added below.  [default: 1e-08]"),
    ] = None

    def settings(self) -> OptimizerSettings:
        """The optimizer for the workflows; UsageError for an option of the other one."""
        given = {
            name: value
            for name, value in asdict(self).items()
            if name not in ("optimizer", "head_lr") and value is not None and value is not False
        }
        for owner, names in _OWN_OPTIONS.items():
            for name in names:
                if name in given and owner != self.optimizer:
                    raise UsageError(f"--{name} belongs to --optimizer {owner}; leave it out with {self.optimizer}")
        # Imported here: the workflows need NumPy, which must not be loaded before BLAS has its one thread.
        from gradcli.training.optimizers import AdamWSettings, SGDSettings

        if self.optimizer == "adamw":
            return AdamWSettings(**given)
        SGDOptions(**given)  # for what it refuses
        return SGDSettings(**given)


@dataclass(frozen=True, kw_only=True)
class ScheduleOptions:
    """How the learning rate changes from step to step; the fields are those of the schedule's settings."""

    schedule: Annotated[
        ScheduleName, _option("--schedule", panel=SCHEDULE_PANEL, help="How the learning rate changes.")
    ] = "constant"
    warmup_epochs: Annotated[
        float,
        _option(
            "--warmup-epochs",
            panel=SCHEDULE_PANEL,
            metavar="FLOAT",
            min=0,
            help="Epochs, or a part of one, in which it rises to --lr.",
        ),
    ] = 0.0
    min_lr: Annotated[
        float | None,
        _option("--min-lr", panel=SCHEDULE_PANEL, metavar="FLOAT", min=0, help="cosine: where it ends.  [default: 0]"),
    ] = None
    step_size: Annotated[
        int | None,
        _option("--step-size", panel=SCHEDULE_PANEL, metavar="INT", min=1, help="step: epochs between.  [default: 10]"),
    ] = None
    gamma: Annotated[
        float | None,
        _option("--gamma", panel=SCHEDULE_PANEL, metavar="FLOAT", min=0, help="step: factor at each.  [default: 0.1]"),
    ] = None

    def settings(self) -> ScheduleSettings:
        """The schedule for the workflows; UsageError for an option of another one."""
        from gradcli.training.schedules import ScheduleSettings

        values = asdict(self)
        return ScheduleSettings(name=values.pop("schedule"), **values)


@dataclass(frozen=True, kw_only=True)
class RunOptions:
    """Where a run is kept, and how it goes on after a stop."""

    run: Annotated[
        Path | None,
        _option(
            "--run",
            panel=RUN_PANEL,
            metavar="FOLDER",
            help="Where the run is kept; must be empty. Left out: a new one under runs/.",
        ),
    ] = None
    force: Annotated[bool, _option("--force", panel=RUN_PANEL, help="Replace an earlier run in --run.")] = False
    resume: Annotated[
        Path | None,
        _option("--resume", panel=RUN_PANEL, metavar="RUN", help="Go on with a stopped run, to the same bits."),
    ] = None
    checkpoint_every: Annotated[
        str,
        _option(
            "--checkpoint-every",
            panel=RUN_PANEL,
            metavar="TIME|STEPS",
            help="What a kill may cost: a time (90s, 5m) or a number of steps.",
        ),
    ] = "60s"
    no_feature_cache: Annotated[
        bool, _option("--no-feature-cache", panel=RUN_PANEL, help="Keep features of the frozen part in memory only.")
    ] = False
    log_grads: Annotated[
        str | None,
        _option(
            "--log-grads",
            panel=RUN_PANEL,
            metavar="epoch|STEPS",
            help="Gradient norm and update ratio of each layer into metrics.jsonl: every so many steps, or at each "
            "epoch's last.",
        ),
    ] = None
    tensorboard: Annotated[
        bool, _option("--tensorboard", panel=RUN_PANEL, help="Write TensorBoard's event files into the run folder too.")
    ] = False
