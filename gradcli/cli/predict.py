"""`gradcli predict`: what images show, by the weights."""

from __future__ import annotations

import dataclasses
import logging
from collections.abc import Callable, Iterator
from contextlib import closing, contextmanager
from typing import TYPE_CHECKING, Annotated, Any, Literal, get_args

import typer

from gradcli.cli.option_groups import OutputOptions
from gradcli.cli.options import FORMAT, KernelsOption, NoVerifyOption, WeightsOption
from gradcli.cli.output import Output
from gradcli.cli.tables import Column
from gradcli.errors import DataError
from gradcli.models.weights_source import BUNDLED_WEIGHTS, DEFAULT_WEIGHTS, PHOTOGRAPH_WEIGHTS

if TYPE_CHECKING:
    from gradcli.inspection.prediction import ImagePrediction

logger = logging.getLogger(__name__)

PredictFormat = Literal["table", "json", "jsonl", "csv"]

COLUMNS = [
    Column("path"),
    Column("rank"),
    Column("index"),
    Column("name"),
    Column("probability", format=".4f"),
    Column("error"),
]


def predict(
    paths: Annotated[
        list[str],
        typer.Argument(metavar="PATH...", help="Images, folders of images, - for a list on standard input."),
    ],
    output: OutputOptions,
    weights: WeightsOption = DEFAULT_WEIGHTS,
    no_verify: NoVerifyOption = False,
    top: Annotated[int, typer.Option(min=1, metavar="INT", help="How many classes of each image.")] = 5,
    null: Annotated[
        bool, typer.Option("--null", "-0", help="The list ends each path with a null byte, not a line's end.")
    ] = False,
    batch_size: Annotated[
        int, typer.Option("--batch-size", "-b", min=1, metavar="INT", help="Images computed at once.")
    ] = 8,
    image_size: Annotated[
        int | None, typer.Option(min=8, metavar="INT", help="Pixels of each side. Left out: as the weights say.")
    ] = None,
    strict: Annotated[bool, typer.Option("--strict", help="Stop at an image that can't be read.")] = False,
    kernels: KernelsOption = "fast",
    format: Annotated[PredictFormat | None, FORMAT] = None,
) -> None:
    """The most likely classes of images, in the order given.

    Without --weights, and until imagenet1k-v1 is fetched, these are emoji, from weights that know drawings of them.

    Each batch is answered as soon as it is computed, and a list on standard input while it is being written. An image
    that can't be read gets a record with `error`; the others are answered, and the exit code is 3 in the end. How many
    are computed at once decides on the last digits; a list is computed in full batches however it comes, so that a
    writer who waits for each answer is served soonest with -b 1.

    \b
    gradcli predict drawing.png
    gradcli predict photo.jpg -w imagenet1k-v1
    gradcli predict new/ -w runs/photos --json | jq -r '.path, .classes[0].name'
    find . -name '*.jpg' -print0 | gradcli predict -0 - -w runs/photos --json
    """
    destination = output.resolve(format, get_args(PredictFormat))
    from gradcli.checkpoints.quoting import some_names
    from gradcli.data.image_paths import STANDARD_INPUT, image_paths
    from gradcli.inspection.model_data import file_preprocessing
    from gradcli.inspection.prediction import predict_images
    from gradcli.models import load_model

    listed = image_paths(paths, separator=b"\0" if null else b"\n")
    loaded = load_model(weights, verify=not no_verify)
    if weights == DEFAULT_WEIGHTS and loaded.weights == BUNDLED_WEIGHTS:
        logger.info(
            "weights %s: they know drawings of emoji, not photographs; gradcli weights fetch %s gets some that do",
            loaded.weights,
            PHOTOGRAPH_WEIGHTS,
        )
    preprocessing = file_preprocessing(loaded, image_size)
    predictions = predict_images(
        loaded,
        listed,
        preprocessing,
        top=top,
        batch_size=batch_size,
        full_batches=STANDARD_INPUT in paths,
        strict=strict,
        kernels=kernels,
    )
    images = 0
    unreadable = []
    with closing(predictions), _answers(destination, loaded.weights, kernels) as answer:
        for prediction in predictions:
            images += 1
            if prediction.error is not None:
                unreadable.append(prediction.path)
            answer(prediction)
    if unreadable:
        raise DataError(f"{len(unreadable)} of {images} images can't be read: {some_names(unreadable)}")


@contextmanager
def _answers(destination: Output, weights: str, kernels: str) -> Iterator[Callable[[ImagePrediction], None]]:
    """A function that shows the prediction for one image at once."""
    caption = f"weights {weights}, {kernels} kernels"
    if destination.is_drawn_table:
        from gradcli.cli.prediction_bars import prediction_bars

        yield lambda prediction: destination.draw(prediction_bars(prediction))
        destination.draw(caption)
        return
    by_image = destination.format in ("json", "jsonl")
    with destination.record_writer(COLUMNS, caption=caption) as write:

        def answer(prediction: ImagePrediction) -> None:
            for record in _records(prediction, by_image=by_image):
                write({"path": record["path"], "weights": weights, **record})

        yield answer


def _records(prediction: ImagePrediction, *, by_image: bool) -> Iterator[dict[str, Any]]:
    """The rows of an image, one for each class; or one record with all."""
    if prediction.error is not None:
        yield {"path": prediction.path, "error": prediction.error}
        return
    classes = [dataclasses.asdict(entry) for entry in prediction.classes]
    for entry in classes:
        del entry["image"]
    if by_image:
        yield {"path": prediction.path, "classes": classes}
    else:
        yield from ({"path": prediction.path, **entry} for entry in classes)
