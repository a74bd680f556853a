"""Images for a trained model: preprocessed as its weights say, classes matched by name, the part that is meant."""

from __future__ import annotations

import logging

from gradcli.checkpoints.quoting import some_names
from gradcli.data.dataset import Dataset
from gradcli.data.preprocessing import Preprocessing
from gradcli.data.sources import open_dataset
from gradcli.data.split_names import Split
from gradcli.errors import DataError, WeightsError
from gradcli.models import LoadedModel
from gradcli.training.finetuning.held_out import parts_of_run
from gradcli.training.preprocessing import weights_preprocessing

logger = logging.getLogger(__name__)


def file_preprocessing(loaded: LoadedModel, image_size: int | None = None) -> Preprocessing:
    """What image files go through: the preprocessing of the weights, ImageNet's where they name none.

    `image_size` pixels are the height and width instead of what that says.
    """
    preprocessing = weights_preprocessing(loaded) or Preprocessing()
    return preprocessing if image_size is None else preprocessing.with_size(image_size, image_size)


def open_for_model(data: str, loaded: LoadedModel, *, image_size: int | None = None) -> Dataset:
    """The data set `data` under the preprocessing of the weights, its own where they name none; labels are its own.

    `image_size` as above.
    """
    dataset = open_dataset(data, weights_preprocessing(loaded))
    if image_size is not None:
        dataset = dataset.with_preprocessing(dataset.preprocessing.with_size(image_size, image_size))
    return dataset


def match_classes(dataset: Dataset, loaded: LoadedModel) -> Dataset:
    """The same data with labels that index the model's outputs.

    Classes are matched by name: DataError for one that the weights don't know, or that the data doesn't have. Weights
    that name none are matched by position, with a warning, if they have as many outputs as the data has classes, and
    are a WeightsError otherwise.
    """
    if loaded.classes is None:
        if loaded.num_classes != len(dataset.classes):
            raise WeightsError(
                f"{loaded.weights}: has {loaded.num_classes} outputs without names, and {dataset.source} "
                f"{len(dataset.classes)} classes; expected weights trained on these classes, such as a run folder"
            )
        logger.warning(
            "%s does not name its classes; they are taken to be the data's, in this order: %s",
            loaded.weights,
            some_names(dataset.classes, 10),
        )
        return dataset
    matched = dataset.with_classes(loaded.classes)
    present = set(dataset.classes)
    missing = [name for name in loaded.classes if name not in present]
    if missing:
        raise DataError(
            f"{dataset.source}: has no class {some_names(missing, 10)}, which {loaded.weights} was trained to tell; "
            f"expected all of its {len(loaded.classes)} classes"
        )
    return matched


def choose_split(dataset: Dataset, loaded: LoadedModel, split: Split | None = None) -> tuple[Split, dict[str, Dataset]]:
    """What a split of the data is called, and its parts by name: one, or several for `all`.

    By default it is `validation` if the data has that part, else `test`, else `all`. Data without a validation part
    that the weights were finetuned on is split as that run split it; then `validation` goes before `all`. DataError for
    a split that the data doesn't have.
    """
    splits = dataset.splits()
    if split == "all":
        return split, splits
    if split is None and len(splits) > 1:
        split = "validation" if "validation" in splits else "test"
    run = parts_of_run(dataset, loaded.metadata) if "validation" not in splits and split != "test" else {}
    splits |= run
    if split is None:
        if not run:
            return "all", splits
        split = "validation"
    if split not in splits:
        raise DataError(f"{dataset.source}: has no {split} part, only {', '.join(splits)}; expected one of these")
    if run:
        logger.info(
            "%s: the %d of %d images that the run of %s kept for %s",
            dataset.source,
            len(splits[split]),
            len(dataset),
            loaded.weights,
            "validation" if split == "validation" else "training",
        )
    return split, {split: splits[split]}
