"""A small application built from the command-line framework, for the tests to run.

In process through the `probe_app` fixture, as a process through `run_probe`.
"""

from __future__ import annotations

import logging
import signal
import sys
import time
import warnings
from typing import Annotated, Literal, get_args

import typer
import typer.main

from gradcli.cli.app import command_group
from gradcli.cli.option_groups import (
    FreezeOptions,
    InputOptions,
    LossOptions,
    ModelOptions,
    OutputOptions,
    SGDOptions,
)
from gradcli.cli.options import FORMAT, KernelsOption, ParamOption
from gradcli.cli.progress import progress
from gradcli.cli.tables import Column
from gradcli.errors import (
    CheckError,
    DataError,
    DivergedError,
    RunFolderError,
    UsageError,
    WeightsError,
)

logger = logging.getLogger("gradcli.probe")

RecordFormat = Literal["table", "json", "jsonl", "csv"]
ArrayFormat = Literal["table", "npy", "npz", "safetensors"]

LONG_NAME = "layer1.0." + "a_rather_long_block_name." * 4 + "conv1.weight"


def fail(kind: Annotated[str, typer.Argument()]) -> None:
    """Raise an error of the kind."""
    raised: dict[str, BaseException] = {
        "usage": UsageError("--param: 'fc.wait' matches nothing; near: fc.weight"),
        "data": DataError("photo.jpg: not an image"),
        "weights": WeightsError("weights.pth: cut short"),
        "diverged": DivergedError("the loss is nan in step 3"),
        "check": CheckError("fc.weight: relative error 0.1"),
        "run-folder": RunFolderError("runs/1: not empty"),
        "two-lines": DataError("a name with\na line break: no such file"),
        "unexpected": KeyError("fc.weight"),
        "end-of-file": EOFError(),
        "memory": MemoryError("Unable to allocate 3.00 TiB"),
        "permission": PermissionError(13, "Permission denied", "out/grads.npz"),
        "interrupt": KeyboardInterrupt(),
    }
    raise raised[kind]


def show(
    model: ModelOptions,
    images: InputOptions,
    loss: LossOptions,
    freeze: FreezeOptions,
    sgd: SGDOptions,
    output: OutputOptions,
    param: ParamOption = None,
    kernels: KernelsOption = "exact",
    data: Annotated[str | None, typer.Argument()] = None,
    format: Annotated[RecordFormat | None, FORMAT] = None,
) -> None:
    """Show the options as they arrive."""
    from gradcli.kernels.threads import get_num_threads

    record = {
        "weights": model.weights,
        "mode": model.mode,
        "seed": model.seed,
        "input": images.input,
        "shape": images.shape,
        "target": loss.target,
        "loss": loss.loss,
        "rules": freeze.rules,
        "lr": sgd.lr,
        "nesterov": sgd.nesterov,
        "param": param,
        "data": data,
        "kernels": kernels,
        "threads": get_num_threads(),
    }
    output.resolve(format or "json", get_args(RecordFormat)).write_records([record], [Column("seed")])


def rows(
    output: OutputOptions,
    count: Annotated[int, typer.Option()] = 2,
    format: Annotated[RecordFormat | None, FORMAT] = None,
) -> None:
    """Write records."""
    columns = [Column("name", "parameter"), Column("norm", format=".3g"), Column("shape"), Column("frozen")]
    with output.resolve(format, get_args(RecordFormat)).record_writer(columns) as write:
        for index in range(count):
            write({"name": LONG_NAME, "norm": index + 1 / 3, "shape": (64, 3), "frozen": index == 0})


def arrays(
    output: OutputOptions,
    count: Annotated[int, typer.Option()] = 1,
    format: Annotated[ArrayFormat | None, FORMAT] = "npy",
) -> None:
    """Write arrays that are not contiguous in memory."""
    import numpy as np

    destination = output.resolve(format, get_args(ArrayFormat))
    destination.write_arrays({f"a{i}": np.arange(6, dtype=np.float32).reshape(2, 3).T + i for i in range(count)})


def talk() -> None:
    """Write to both streams."""
    logger.debug("a detail")
    logger.info("some news")
    logger.warning("a doubt")
    warnings.warn("a library's doubt", stacklevel=1)
    with progress("epoch 1", 2, seconds_between_lines=0) as advance:
        advance(2, "loss 0.5")
    typer.echo("data")


def wait(seconds: Annotated[float, typer.Argument()] = 60) -> None:
    """Say that it is ready and wait for a signal."""
    try:
        print("ready", flush=True)
        time.sleep(seconds)
    finally:
        print("cleaned up", flush=True)


def leave(code: Annotated[int, typer.Argument()]) -> None:
    """Leave with an exit code that is the command's own result."""
    raise typer.Exit(code)


def copy(source: Annotated[str, typer.Argument()], target: Annotated[str, typer.Argument()]) -> None:
    """A command in a group; the group's name is in its path."""
    raise DataError(f"{source}: no such file")


app = command_group(
    {
        "fail": fail,
        "show": show,
        "rows": rows,
        "arrays": arrays,
        "talk": talk,
        "wait": wait,
        "leave": leave,
        "files": command_group({"copy": copy}, help="Files."),
    },
    name="gradcli",
)

if __name__ == "__main__":
    from gradcli.cli.main import _stop

    signal.signal(signal.SIGTERM, _stop)
    typer.main.get_command(app).main(args=sys.argv[1:], prog_name="gradcli")
