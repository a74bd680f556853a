"""`gradcli landscape`: the loss around the weights."""

from __future__ import annotations

import dataclasses
import logging
import shutil
from typing import TYPE_CHECKING, Annotated, Literal, get_args

import typer

from gradcli.cli.option_groups import OutputOptions, PassOptions
from gradcli.cli.options import FORMAT
from gradcli.cli.output import Output
from gradcli.cli.progress import progress
from gradcli.cli.tables import Column

if TYPE_CHECKING:
    from gradcli.inspection.landscape.surface import Landscape

logger = logging.getLogger(__name__)

LandscapeFormat = Literal["table", "json", "csv", "png"]

COLUMNS = [Column("gradient", format=".4g"), Column("random", format=".4g"), Column("loss", format=".6g")]

CURVE_POINTS, GRID_POINTS = 41, 15


def landscape(
    options: PassOptions,
    output: OutputOptions,
    radius: Annotated[
        float, typer.Option(metavar="FLOAT", help="How far, in lengths of the weights, to both sides.")
    ] = 1.0,
    points: Annotated[
        int | None,
        typer.Option(metavar="INT", help="From end to end, an odd number.  [default: 41, with --grid 15]"),
    ] = None,
    grid: Annotated[bool, typer.Option("--grid", help="Both directions together, at points times points.")] = False,
    format: Annotated[LandscapeFormat | None, FORMAT] = None,
) -> None:
    """The loss of a batch down its gradient and in a random direction.

    The random direction has each filter as long as the weights' own; 1 down the gradient is as far as 1 in it. Nothing
    is kept. A terminal shows a plot, unless --format asks for the table; png needs pip install 'gradcli[plot]'.

    \b
    gradcli landscape --loss cross-entropy --radius 0.1
    gradcli landscape -w runs/photos -i photos.npy -t labels.npy --grid -o map.png
    """
    destination = output.resolve(format, get_args(LandscapeFormat))
    if destination.format == "png":
        from gradcli.inspection.plots.figures import require_matplotlib

        require_matplotlib()
    from gradcli.inspection.landscape import surface
    from gradcli.training.passes import prepare

    settings = surface.LandscapeSettings(
        radius=radius, points=(GRID_POINTS if grid else CURVE_POINTS) if points is None else points, grid=grid
    )
    run = prepare(options.settings())
    with progress("points", surface.point_count(settings)) as advance:
        found = surface.landscape(run, settings, advance)
    title = f"loss {found.loss:.6g}, {run.describe()}"
    if destination.format == "png" or (destination.is_drawn_table and format is None):
        _plot(found, destination, title, grid=grid)
    else:
        totals = {
            field.name: getattr(found, field.name)
            for field in dataclasses.fields(found)
            if field.name not in ("points", "distances")
        }
        destination.write_records(
            found.points,
            COLUMNS,
            document={
                **run.heading(),
                "grid": grid,
                **totals,
            },
            records_field="points",
        )
    logger.info("%s; a distance of 1 down the gradient is a step at learning rate %.3g", title, found.lr_per_distance)


def _plot(found: Landscape, destination: Output, title: str, *, grid: bool) -> None:
    from gradcli.inspection.landscape.plotting import CURVE_AXES, MAP_AXES, curves_of, map_of

    if destination.format == "png":
        from gradcli.inspection.plots.pictures import plot_curves, plot_map

        distances = found.distances
        destination.write_bytes(
            plot_map(map_of(found), distances, distances, MAP_AXES, title, "loss")
            if grid
            else plot_curves(curves_of(found), CURVE_AXES, title)
        )
        return
    from gradcli.inspection.plots.characters import character_map, character_plot

    if grid:
        lines = character_map(map_of(found), "loss")
        lines.append(f"to the right: {MAP_AXES.x}; upwards: {MAP_AXES.y}; the weights in the middle")
    else:
        lines = character_plot(curves_of(found), CURVE_AXES, min(shutil.get_terminal_size().columns, 100))
    destination.write_text("\n".join(lines) + "\n")
