"""`gradcli backward`: loss and gradient norms, no update."""

from __future__ import annotations

from typing import Annotated, Literal, get_args

from gradcli.cli.option_groups import OutputOptions, PassOptions
from gradcli.cli.options import FORMAT
from gradcli.cli.tables import Column

BackwardFormat = Literal["table", "json", "csv"]

COLUMNS = [Column("name", "layer"), Column("norm", "gradient norm", ".6g"), Column("numel", "numbers", ",")]


def backward(
    options: PassOptions, output: OutputOptions, format: Annotated[BackwardFormat | None, FORMAT] = None
) -> None:
    """Forward, loss and backward: the gradient norm by layer. Nothing is updated."""
    destination = output.resolve(format, get_args(BackwardFormat))
    from gradcli.inspection.gradients.collection import collect_gradients
    from gradcli.inspection.gradients.grouping import norms_by_layer
    from gradcli.inspection.gradients.statistics import norm_of
    from gradcli.training.passes import check_finite_loss, prepare

    run = prepare(options.settings())
    gradients = collect_gradients(run)
    grad_norm = norm_of(list(gradients.arrays.values()))
    destination.write_records(
        norms_by_layer(gradients.arrays),
        COLUMNS,
        document={
            **run.heading(),
            "loss": gradients.loss,
            "grad_norm": grad_norm,
            "seconds": gradients.seconds,
        },
        records_field="layers",
        caption=f"loss {gradients.loss:.6g}, gradient norm {grad_norm:.6g}, {run.describe()}, "
        f"{gradients.seconds:.3f} s",
    )
    check_finite_loss(gradients.loss, run)
    gradients.check_finite()
