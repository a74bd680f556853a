"""`gradcli check`: the gradients of the model's parameters against numerical ones."""

from __future__ import annotations

import logging
import math
import time
from collections import Counter
from typing import Annotated, Literal, get_args

import typer

from gradcli.checkpoints.quoting import some_names
from gradcli.cli.option_groups import OutputOptions, PassOptions
from gradcli.cli.options import FORMAT, ParamOption
from gradcli.cli.progress import progress
from gradcli.cli.ranking_options import RankingOptions
from gradcli.cli.tables import Column
from gradcli.errors import UsageError

logger = logging.getLogger(__name__)

CheckFormat = Literal["table", "json", "jsonl", "csv"]

COLUMNS = [
    Column("name"),
    Column("shape", optional=4, ordered=False),
    Column("numel", "numbers", ",", optional=6),
    Column("ok"),
    Column("kinks", optional=2),
    Column("undecided", optional=2),
    Column("switched_in", "kinks in", optional=3, ordered=False),
    Column("max_relative_error", "relative error", ".2g"),
    Column("index", "at", ",", optional=5, ordered=False),
    Column("analytical", "analytic", ".9g"),
    Column("numerical", format=".9g"),
    Column("step", format="g", optional=1),
]


def check(
    options: PassOptions,
    ranking: RankingOptions,
    output: OutputOptions,
    param: ParamOption = None,
    wrt_input: Annotated[
        bool, typer.Option("--wrt-input", help="Compare the gradient with respect to the input too, after the others.")
    ] = False,
    samples: Annotated[
        int,
        typer.Option(
            "--samples",
            metavar="N",
            min=0,
            help="Entries of each parameter that are checked one by one, drawn by --seed, besides a random direction "
            "of all its entries at once.",
        ),
    ] = 2,
    step: Annotated[
        list[float] | None,
        typer.Option(
            "--step",
            metavar="FLOAT",
            help="Step size of the central differences; repeatable.  [default: 1e-5, 1e-6, 1e-7]",
            show_default=False,
        ),
    ] = None,
    tolerance: Annotated[
        float, typer.Option("--tolerance", metavar="FLOAT", help="The largest relative error that agrees.")
    ] = 1e-4,
    format: Annotated[CheckFormat | None, FORMAT] = None,
) -> None:
    """Check the model's gradients against numerical ones, in float64.

    Ends with exit code 6 if one is wrong, and names the first in the order in which a backward pass comes to them,
    which is that of the output. A kink in between, where a ReLU or max pooling switches, is told and is no fault.

    \b
    gradcli check --param fc.weight --samples 20
    gradcli check --param 'layer4.*' --loss cross-entropy --json | jq .best_step
    gradcli check --wrt-input --samples 0
    """
    for option, values in (("--step", step or ()), ("--tolerance", (tolerance,))):
        if not all(math.isfinite(value) and value > 0 for value in values):
            raise UsageError(f"{option} must be a finite number above 0")
    destination = output.resolve(format, get_args(CheckFormat))
    ranking.check_field(COLUMNS)
    from gradcli.inspection.numerical_check.model_check import (
        STEPS,
        CheckSettings,
        ModelCheck,
        best_step,
        require_agreement,
    )
    from gradcli.training.passes import prepare

    steps = sorted(set(step or STEPS), reverse=True)
    settings = CheckSettings(samples=samples, steps=steps, tolerance=tolerance, seed=options.seed)
    run = prepare(options.settings())
    model_check = ModelCheck(run, settings, param or (), wrt_input=wrt_input)
    names, passes = model_check.names, model_check.passes
    logger.info(
        "gradients to check: %d; %s forward passes in float64, of at most %.3g s each",
        len(names),
        f"{passes:,}",
        model_check.seconds_per_pass,
    )
    start = time.perf_counter()
    checks = []
    with progress("checking", len(names)) as advance:
        for result in model_check.results():
            checks.append(result)
            advance()
    verdicts = Counter({"agrees": 0, "differs": 0, "kink": 0})
    verdicts.update(each.verdict for result in checks for each in result.comparisons)
    gradients, best = model_check.gradients, best_step(checks)
    destination.write_records(
        ranking.ranked([vars(result) for result in checks]),
        COLUMNS,
        document={
            "ok": all(result.ok for result in checks),
            **run.heading(),
            "loss": gradients.loss,
            "samples": samples,
            "steps": steps,
            "tolerance": tolerance,
            "best_step": best,
            "counts": verdicts,
            "passes": passes,
            "seconds": time.perf_counter() - start,
        },
        records_field="parameters",
    )
    logger.info(
        "%s comparisons: %s agree, %s differ%s; %s",
        f"{verdicts.total():,}",
        f"{verdicts['agrees']:,}",
        f"{verdicts['differs']:,}",
        "" if best is None else f"; step {best:g} agreed best",
        run.describe(),
    )
    with_kinks = [result for result in checks if result.kinks]
    if with_kinks:
        logger.info(
            "%d comparisons have a kink within a step, where a ReLU or max pooling switches and the loss has no one "
            "slope; %d are undecided (a smaller --step may tell): %s",
            sum(result.kinks for result in with_kinks),
            sum(result.undecided for result in with_kinks),
            some_names([result.name for result in with_kinks]),
        )
    require_agreement(checks)
