"""`gradcli evaluate`: how well weights tell the classes of labelled images apart."""

from __future__ import annotations

import dataclasses
import logging
import time
from typing import TYPE_CHECKING, Annotated, Literal, get_args

import typer

from gradcli.cli.option_groups import OutputOptions
from gradcli.cli.options import FORMAT, KernelsOption, NoVerifyOption, WeightsOption
from gradcli.cli.plain_values import without_control_characters
from gradcli.cli.progress import progress
from gradcli.cli.tables import Column
from gradcli.data.split_names import Split
from gradcli.errors import UsageError
from gradcli.models.weights_source import DEFAULT_WEIGHTS

if TYPE_CHECKING:
    from gradcli.inspection.evaluation import Evaluation

logger = logging.getLogger(__name__)

EvaluateFormat = Literal["table", "json", "csv", "png"]

COLUMNS = [
    Column("index", optional=1),
    Column("name", "class"),
    Column("precision", format=".4f"),
    Column("recall", format=".4f"),
    Column("f1", "F1", ".4f"),
    Column("support", format=","),
]
# No folder can be called so, hence no class that is one.
ACTUAL = "actual/predicted"


def evaluate(
    data: Annotated[
        str,
        typer.Argument(
            metavar="DATA",
            help="A name of `gradcli data list`, a folder of class folders, IDX or CIFAR files, .npz, or .csv.",
        ),
    ],
    output: OutputOptions,
    weights: WeightsOption = DEFAULT_WEIGHTS,
    no_verify: NoVerifyOption = False,
    split: Annotated[
        Split | None,
        typer.Option("--split", help="Which part of the data. Left out: validation, else test, else all."),
    ] = None,
    top: Annotated[
        int, typer.Option(min=1, metavar="INT", help="Also count a class among the top so many as right.")
    ] = 5,
    batch_size: Annotated[
        int, typer.Option("--batch-size", "-b", min=1, metavar="INT", help="Images computed at once.")
    ] = 64,
    image_size: Annotated[
        int | None, typer.Option(min=8, metavar="INT", help="Pixels of each side. Left out: as the weights say.")
    ] = None,
    strict: Annotated[bool, typer.Option("--strict", help="Refuse data with an image that can't be read.")] = False,
    confusion: Annotated[
        bool, typer.Option("--confusion", help="Write the confusion matrix instead of the rates, as table or csv.")
    ] = False,
    kernels: KernelsOption = "fast",
    format: Annotated[EvaluateFormat | None, FORMAT] = None,
) -> None:
    """Loss, accuracy, precision and recall of weights on labelled images.

    Classes are matched by name. A class's recall is the accuracy within it; json has the confusion matrix too, its rows
    the images' classes and its columns the predicted ones, and png (pip install 'gradcli[plot]') is a picture of it.
    Images that can't be read are named and left out. The data that a run has split itself is split the same way.

    \b
    gradcli evaluate photos/ -w runs/photos
    gradcli evaluate fashion-mnist -w runs/first --json | jq '{accuracy, loss}'
    gradcli evaluate photos/ -w runs/photos --confusion -o confusion.csv
    gradcli evaluate photos/ -w runs/photos -o confusion.png
    """
    destination = output.resolve(format, get_args(EvaluateFormat))
    if confusion and destination.format == "json":
        raise UsageError("--confusion: json has the confusion matrix already; leave it out")
    if destination.format == "png":
        from gradcli.inspection.plots.figures import require_matplotlib

        require_matplotlib()
    from gradcli.inspection import evaluation
    from gradcli.inspection.model_data import choose_split, match_classes, open_for_model
    from gradcli.models import load_model

    start = time.perf_counter()
    loaded = load_model(weights, verify=not no_verify)
    dataset = match_classes(open_for_model(data, loaded, image_size=image_size), loaded)
    split_name, splits = choose_split(dataset, loaded, split)
    parts = list(splits.values())
    with progress(f"evaluating {data}", sum(map(len, parts))) as advance:
        result = evaluation.evaluate(
            loaded, parts, batch_size=batch_size, top=top, strict=strict, kernels=kernels, on_batch=advance
        )
    if destination.format == "png":
        from gradcli.inspection.plots.confusion import plot_confusion

        title = f"{data}, {split_name}: accuracy {100 * result.accuracy:.2f} % of {result.images:,}"
        destination.write_bytes(plot_confusion(result.confusion, dataset.classes, title))
    elif confusion:
        names = [without_control_characters(name) for name in dataset.classes]
        rows = zip(names, result.confusion.tolist(), strict=True)
        destination.write_records(
            ({ACTUAL: name, **dict(zip(names, counts, strict=True))} for name, counts in rows),
            [Column(ACTUAL), *(Column(name, format=",") for name in names)],
        )
    else:
        fields = {field.name: getattr(result, field.name) for field in dataclasses.fields(result)}
        del fields["classes"], fields["skipped"]
        height, width = dataset.preprocessing.size
        document = {
            "data": data,
            "split": split_name,
            "weights": loaded.weights,
            "kernels": kernels,
            "image_size": [height, width],
            **fields,
            "skipped": [{"path": path, "reason": reason} for path, reason in result.skipped.items()],
            "seconds": time.perf_counter() - start,
        }
        destination.write_records(result.classes, COLUMNS, document=document, records_field="classes")
    logger.info("%s; weights %s, %s kernels", _summary(result, data, split_name), loaded.weights, kernels)


def _summary(result: Evaluation, data: str, split: str) -> str:
    """The totals in a line."""
    text = f"{data}, {split}: {result.images:,} images, loss {result.loss:.4f}, accuracy {100 * result.accuracy:.2f} %"
    if result.top < len(result.classes):
        text += f", top {result.top} {100 * result.top_accuracy:.2f} %"
    text += f", macro F1 {result.macro_f1:.4f}"
    return f"{text}; unreadable and left out: {len(result.skipped):,}" if result.skipped else text
