"""`gradcli freeze`: which parameters train under given patterns."""

from __future__ import annotations

import dataclasses
from pathlib import Path
from typing import Annotated, Literal, get_args

import typer

from gradcli.cli.option_groups import FreezeOptions, OutputOptions
from gradcli.cli.options import FORMAT, NoVerifyOption, SaveOption, SeedOption, WeightsOption
from gradcli.cli.output import check_weights_path
from gradcli.cli.tables import Column
from gradcli.models.weights_source import DEFAULT_WEIGHTS

FreezeFormat = Literal["table", "json", "jsonl", "csv"]

COLUMNS = [Column("name"), Column("shape"), Column("numel", "numbers", ","), Column("trainable")]


def freeze(
    options: FreezeOptions,
    output: OutputOptions,
    patterns: Annotated[
        list[str] | None, typer.Argument(metavar="[PATTERN]...", help="Freeze these, before the options' rules.")
    ] = None,
    weights: WeightsOption = DEFAULT_WEIGHTS,
    no_verify: NoVerifyOption = False,
    seed: SeedOption = 0,
    save: SaveOption = None,
    format: Annotated[FreezeFormat | None, FORMAT] = None,
) -> None:
    """Show which parameters train and which are frozen; save that.

    Every command honours the frozen names that --save writes into the file of weights.

    \b
    gradcli freeze 'layer1.*'
    gradcli freeze --freeze-backbone --unfreeze 'layer4.*' --save part.safetensors
    """
    destination = output.resolve(format, get_args(FreezeFormat))
    if save is not None:
        check_weights_path(save)
    from gradcli.inspection.parameters import describe_parameters
    from gradcli.models import load_model
    from gradcli.ops.random import manual_seed
    from gradcli.training.freezing import apply_freeze_rules
    from gradcli.training.saving import save_model

    manual_seed(seed)
    loaded = load_model(weights, verify=not no_verify)
    apply_freeze_rules(loaded.model, [("freeze", pattern) for pattern in patterns or ()])
    apply_freeze_rules(loaded.model, options.rules)
    listing = describe_parameters(loaded.model)
    totals = {"parameters": listing.numel, "trainable": listing.trainable, "frozen": listing.frozen}
    destination.write_records(
        [dataclasses.asdict(record) for record in listing.parameters],
        COLUMNS,
        document={"weights": loaded.weights, "totals": totals},
        records_field="parameters",
        caption=f"weights {loaded.weights}: {listing.trainable:,} of {listing.numel:,} numbers train, "
        f"{listing.frozen:,} are frozen",
    )
    if save is not None:
        save_model(Path(save), loaded)
