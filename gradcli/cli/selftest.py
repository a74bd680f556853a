"""`gradcli selftest`: what must hold on every machine and for all weights, tried here."""

from __future__ import annotations

import logging
from typing import Annotated, Literal, get_args

from gradcli.cli.option_groups import OutputOptions
from gradcli.cli.options import FORMAT, NoVerifyOption, SeedOption, Shape, WeightsOption, shape_option
from gradcli.cli.progress import progress
from gradcli.cli.tables import Column
from gradcli.models.weights_source import DEFAULT_WEIGHTS

logger = logging.getLogger(__name__)

SelftestFormat = Literal["table", "json", "jsonl", "csv"]

COLUMNS = [
    Column("name", "check"),
    Column("ok"),
    Column("value", format=".3g"),
    Column("bound", "at most", "g"),
    Column("what", optional=1),
    Column("seconds", format=".2f", optional=2),
]


def selftest(
    output: OutputOptions,
    weights: WeightsOption = DEFAULT_WEIGHTS,
    no_verify: NoVerifyOption = False,
    shape: Annotated[Shape | None, shape_option("4,3,64,64")] = None,
    seed: SeedOption = 0,
    format: Annotated[SelftestFormat | None, FORMAT] = None,
) -> None:
    """Check on this machine, with these weights, what must hold everywhere.

    What follows from the mathematics of the losses, the network's counts, what train and eval mode move; and different
    ways to the same gradients: in parts, image by image, fast kernels, two threads. Each check is a number and its
    bound; exit code 6 if one is beyond it.

    \b
    gradcli selftest
    gradcli selftest -w imagenet1k-v1 --json | jq '.checks[] | select(.ok | not)'
    """
    destination = output.resolve(format, get_args(SelftestFormat))
    from gradcli.inspection.selftest.checks import CHECKS, prepare_subject, require_all, run_checks

    subject, name = prepare_subject(weights, verify=not no_verify, shape=shape, seed=seed)
    checks = []
    with progress("checking", len(CHECKS)) as advance:
        for check in run_checks(subject):
            checks.append(check)
            advance(1)
    destination.write_records(
        checks,
        COLUMNS,
        document={
            "weights": name,
            "shape": subject.data.shape,
            "seed": seed,
            "ok": all(check.ok for check in checks),
        },
        records_field="checks",
    )
    require_all(checks)
    logger.info("all %d checks hold for %s on this machine", len(checks), name)
