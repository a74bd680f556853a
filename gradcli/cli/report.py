"""`gradcli report`: gradients, their graph, saliency and a run's curves on one HTML page."""

from __future__ import annotations

import dataclasses
import shlex
import sys
from pathlib import Path
from typing import Annotated, Literal, get_args

import typer

from gradcli.cli.given_options import given_options
from gradcli.cli.option_groups import OutputOptions, PassOptions
from gradcli.cli.options import FORMAT, STATISTICS_PANEL
from gradcli.errors import WeightsError

ReportFormat = Literal["html"]


def report(
    options: PassOptions,
    output: OutputOptions,
    run: Annotated[
        Path | None,
        typer.Argument(
            metavar="RUN",
            help="The folder of a run: its curves are shown too, and its best weights unless -w names others.",
            show_default=False,
        ),
    ] = None,
    lr: Annotated[
        float,
        typer.Option(
            "--lr", metavar="FLOAT", min=0, help="Learning rate of the update ratios.", rich_help_panel=STATISTICS_PANEL
        ),
    ] = 1e-2,
    depth: Annotated[
        int,
        typer.Option(
            "--depth", metavar="INT", min=0, help="Modules of this depth are the graph's nodes; 0: operations."
        ),
    ] = 2,
    format: Annotated[ReportFormat | None, FORMAT] = None,
) -> None:
    """One HTML page of a model's gradients, to keep or to send.

    Norms, update ratios and histograms by layer, saliency, the recorded graph, the curves of a run, with all numbers,
    from one forward and one backward pass. The page loads nothing from elsewhere.

    \b
    gradcli report -o report.html
    gradcli report runs/digits --input photo.jpg -o report.html
    """
    destination = output.resolve(format, get_args(ReportFormat))
    from gradcli.inspection.report.content import collect_report
    from gradcli.inspection.report.page import report_page
    from gradcli.inspection.training_runs.history import RunFollower
    from gradcli.models.weights_source import RUN_WEIGHTS
    from gradcli.training.passes import check_finite_loss, prepare

    history = status = None
    settings = options.settings()
    if run is not None:
        follower = RunFollower(run)
        status = follower.status()
        follower.new_records()
        history = follower.history
        if not any(name == "weights" for name, _ in given_options(options.context)):
            if not (run / RUN_WEIGHTS).is_file():
                raise WeightsError(
                    f"{run}: this run kept no weights; gradcli watch {shlex.quote(str(run))} shows its records, and "
                    "-w NAME puts them beside the gradients of other weights"
                )
            settings = dataclasses.replace(settings, weights=str(run))
    prepared = prepare(settings)
    command = shlex.join(["gradcli", *sys.argv[1:]])
    content = collect_report(prepared, command=command, lr=lr, depth=depth, run=history, status=status)
    destination.write_text(report_page(content))
    check_finite_loss(content.loss, prepared)
