"""`gradcli graph`: the graph that a forward pass records, and that backward would go through."""

from __future__ import annotations

import dataclasses
import logging
import shutil
from typing import TYPE_CHECKING, Annotated, Literal, get_args

import typer

from gradcli.cli.option_groups import OutputOptions, PassOptions
from gradcli.cli.options import FORMAT
from gradcli.cli.output import Output

if TYPE_CHECKING:
    from gradcli.inspection.graphs.recorded import RecordedGraph

logger = logging.getLogger(__name__)

GraphFormat = Literal["tree", "dot", "mermaid", "json", "svg", "png"]

READABLE_DEPTH = 2


def graph(
    options: PassOptions,
    output: OutputOptions,
    depth: Annotated[
        int | None,
        typer.Option(
            "--depth",
            metavar="INT",
            min=0,
            help="Modules of this depth stand for all their operations: 1 for conv1, layer1, fc; 0 shows every "
            "operation and leaf. Left out: 2, in json 0.",
        ),
    ] = None,
    format: Annotated[GraphFormat | None, FORMAT] = None,
) -> None:
    """The graph that one forward pass records, for backward.

    Operations or modules with shapes and the bytes they keep for backward, what is frozen, and what backward will
    skip. The tree goes from the loss back to the input, the pictures from the input down to the loss.

    \b
    gradcli graph --freeze 'layer1.*' --freeze conv1.weight
    gradcli graph --depth 1 -o resnet18.svg
    gradcli graph --json | jq '.nodes[] | select(.skipped) | .name'
    """
    destination = output.resolve(format, get_args(GraphFormat))
    from gradcli.inspection.graphs.collapse import collapse
    from gradcli.inspection.graphs.model_graph import record_model_graph
    from gradcli.training.passes import prepare

    run = prepare(options.settings())
    recorded = record_model_graph(run)
    if depth is None:
        depth = 0 if destination.format == "json" else READABLE_DEPTH
    shown = collapse(recorded.graph, depth)
    if destination.format == "json":
        destination.write_records(
            [node.record() for node in shown.nodes],
            [],
            document={
                **run.heading(),
                "loss": recorded.loss,
                "depth": depth,
                "saved_bytes": shown.saved_bytes,
                "saved_bytes_of_leaves": shown.saved_bytes_of_leaves,
                "edges": [dataclasses.asdict(edge) for edge in shown.edges],
            },
            records_field="nodes",
        )
    else:
        write_graph(destination, shown)
        logger.info("loss %.6g, %s", recorded.loss, run.describe())


def write_graph(destination: Output, graph: RecordedGraph) -> None:
    """Write a graph in one of the formats that one may look at."""
    from gradcli.inspection.graphs.rendering import rendered

    width = shutil.get_terminal_size().columns if destination.is_terminal else None
    content = rendered(graph, destination.format, width)
    if isinstance(content, bytes):
        destination.write_bytes(content)
    else:
        destination.write_text(content)
