"""Groups of shared options with the contract's defaults; `option_expansion` explains their use."""

from __future__ import annotations

import dataclasses
import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

import typer

from gradcli.cli.freeze_rules import freeze_rules
from gradcli.cli.options import (
    ConfigOption,
    DampeningOption,
    DebugOption,
    FreezeBackboneOption,
    FreezeOption,
    InputOption,
    JsonOption,
    KernelsOption,
    LearningRateOption,
    Loss,
    LossOption,
    ModeOption,
    MomentumOption,
    NesterovOption,
    NoVerifyOption,
    OutputOption,
    QuietOption,
    SeedOption,
    ShapeOption,
    TargetOption,
    ThreadsOption,
    UnfreezeOption,
    VerboseOption,
    WeightDecayOption,
    WeightsOption,
)
from gradcli.cli.output import Output
from gradcli.errors import UsageError
from gradcli.models.weights_source import DEFAULT_WEIGHTS
from gradcli.training.freezing import FreezeRule

if TYPE_CHECKING:
    from gradcli.training.optimizers import SGDSettings
    from gradcli.training.passes import PassSettings


@dataclass(frozen=True, kw_only=True)
class ModelOptions:
    """Which weights, how batch norm behaves, and the seed of everything random."""

    weights: WeightsOption = DEFAULT_WEIGHTS
    no_verify: NoVerifyOption = False
    mode: ModeOption = None
    seed: SeedOption = 0


@dataclass(frozen=True, kw_only=True)
class InputOptions:
    """The images of a pass: a file, or random numbers of a shape."""

    input: InputOption = None
    shape: ShapeOption = None

    def __post_init__(self) -> None:
        if self.input is not None and self.shape is not None:
            raise UsageError("--shape is the shape of a random input; leave it out with --input")


@dataclass(frozen=True, kw_only=True)
class LossOptions:
    """What the prediction is compared with, and how."""

    target: TargetOption = None
    loss: LossOption = Loss.SUM_DIFFERENCE


@dataclass(frozen=True, kw_only=True)
class FreezeOptions:
    """Which parameters are trainable. Read `rules`: the fields have lost their common order."""

    context: typer.Context
    freeze: FreezeOption = None
    unfreeze: UnfreezeOption = None
    freeze_backbone: FreezeBackboneOption = False

    @property
    def rules(self) -> list[FreezeRule]:
        """The freeze rules in the order given, those of the configuration file first."""
        return freeze_rules(self.context)


@dataclass(frozen=True, kw_only=True)
class PassOptions(FreezeOptions, LossOptions, InputOptions, ModelOptions):
    """Everything that describes one pass of a batch through the network."""

    kernels: KernelsOption = "exact"

    def settings(self) -> PassSettings:
        """The pass for the workflows."""
        # Imported here: the workflows need NumPy, which must not be loaded before BLAS has its one thread.
        from gradcli.training.passes import PassSettings

        return PassSettings(
            weights=self.weights,
            verify=not self.no_verify,
            input=self.input,
            shape=self.shape,
            target=self.target,
            loss=self.loss.value,
            mode=None if self.mode is None else self.mode.value,
            freeze=self.rules,
            seed=self.seed,
            kernels=self.kernels,
        )


@dataclass(frozen=True, kw_only=True)
class SGDOptions:
    """The settings of `torch.optim.SGD`, with its meaning and its conditions."""

    lr: LearningRateOption = 1e-2
    momentum: MomentumOption = 0.9
    weight_decay: WeightDecayOption = 0.0
    dampening: DampeningOption = 0.0
    nesterov: NesterovOption = False

    def __post_init__(self) -> None:
        for name in ("lr", "momentum", "weight_decay", "dampening"):
            if not math.isfinite(getattr(self, name)):
                raise UsageError(f"--{name.replace('_', '-')} must be a finite number")
        if self.nesterov and (self.momentum <= 0 or self.dampening != 0):
            raise UsageError("--nesterov needs --momentum above 0 and --dampening 0")

    def settings(self) -> SGDSettings:
        """The optimizer's settings for the workflows."""
        from gradcli.training.optimizers import SGDSettings

        return SGDSettings(**dataclasses.asdict(self))


@dataclass(frozen=True, kw_only=True)
class OutputOptions:
    """Where the data goes; the command's own `--format` goes with it."""

    context: typer.Context
    output: OutputOption = None
    json: JsonOption = False

    def resolve(self, format: str | None, formats: Sequence[str]) -> Output:
        """The output for `--format` (None if left out) among the command's `formats`, default first.

        Called before the work starts: it refuses contradicting options, binary data on a terminal
        and a file that can't be written, so that none of that costs a computation.
        """
        # The command's words without the program's name: "step", "weights.inspect".
        command = ".".join(self.context.command_path.split()[1:])
        return Output.resolve(command, self.output, format, formats, json=self.json)


@dataclass(frozen=True, kw_only=True)
class CommonOptions:
    """What every command accepts; the framework acts on it before the command runs."""

    config: ConfigOption = None
    threads: ThreadsOption = None
    quiet: QuietOption = False
    verbose: VerboseOption = False
    debug: DebugOption = False

    @classmethod
    def names(cls) -> list[str]:
        """The names of the options, as a command's parameters have them."""
        return [field.name for field in dataclasses.fields(cls)]
