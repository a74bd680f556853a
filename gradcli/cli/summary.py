"""`gradcli summary`: layers, output shapes, parameters, multiply-adds."""

from __future__ import annotations

from typing import Annotated, Literal, get_args

from gradcli.cli.option_groups import FreezeOptions, OutputOptions
from gradcli.cli.options import FORMAT, NoVerifyOption, ShapeOption, WeightsOption
from gradcli.cli.tables import Column
from gradcli.models.weights_source import DEFAULT_WEIGHTS

SummaryFormat = Literal["table", "json", "jsonl", "csv"]

COLUMNS = [
    Column("name", "layer"),
    Column("type"),
    Column("output_shape", "output"),
    Column("parameters", format=","),
    Column("trainable", format=",", optional=True),
    Column("multiply_adds", "multiply-adds", ","),
]


def summary(
    options: FreezeOptions,
    output: OutputOptions,
    weights: WeightsOption = DEFAULT_WEIGHTS,
    no_verify: NoVerifyOption = False,
    shape: ShapeOption = None,
    format: Annotated[SummaryFormat | None, FORMAT] = None,
) -> None:
    """Layers with their output shapes, parameters, multiply-adds."""
    destination = output.resolve(format, get_args(SummaryFormat))
    from gradcli.inspection.summary import summarize
    from gradcli.models import load_model
    from gradcli.training.freezing import apply_freeze_rules
    from gradcli.training.passes import checked_shape

    loaded = load_model(weights, verify=not no_verify)
    apply_freeze_rules(loaded.model, options.rules)
    model = summarize(loaded.model, checked_shape(shape))
    destination.write_records(
        model.layers,
        COLUMNS,
        document={
            "weights": loaded.weights,
            "input_shape": model.input_shape,
            "parameters": model.parameters,
            "trainable": model.trainable,
            "multiply_adds": model.multiply_adds,
        },
        records_field="layers",
        caption=f"weights {loaded.weights}: {model.parameters:,} parameters, {model.trainable:,} of them trainable; "
        f"{model.multiply_adds:,} multiply-adds for an input of {'x'.join(map(str, model.input_shape))}",
    )
