"""How well a linear classifier of a frozen network's features tells images apart, beside networks of random values.

A data set with a test part (Fashion-MNIST, if none is named): classifiers of 200, 1,000 and 5,000 training images, for
the smaller counts over several draws without a common image, and the first 2,000 test images. Then the bundled digits:
each fifth of them once as the test images of a classifier of the others. The procedure is the same for all networks.

    python linear_probe.py --weights model.safetensors --json linear-probe.json
"""

from __future__ import annotations

import statistics
from collections.abc import Iterator, Sequence
from dataclasses import asdict, dataclass

import numpy as np
from linear_classifier import Features, Labels, train_classifier
from measuring import (
    FOLDS,
    accuracy,
    best_of,
    consecutive_folds,
    features_of,
    markdown_table,
    mean_and_spread,
    parser,
    random_models,
    run,
    straight_preprocessing,
    stratified_order,
    write_json,
)

from gradcli.data.dataset import Subset
from gradcli.data.sources import open_dataset
from gradcli.errors import DataError
from gradcli.models import LoadedModel, load_model

TRAINING_COUNTS = (200, 1000, 5000)
MOST_DRAWS = 5
TEST_COUNT = 2000
SEED = 0


@dataclass(frozen=True, kw_only=True)
class Case:
    """Accuracies in percent over the draws, or parts, of a data set: of the weights, and of each random network."""

    data: str
    image_size: int
    training_images: int
    test_images: int
    weights: list[float]
    random: dict[str, list[float]]

    @property
    def difference(self) -> float:
        """By how many points the weights' mean is above the best random network's."""
        return statistics.fmean(self.weights) - statistics.fmean(self.random[best_of(self.random)])


def draws(order: Labels, count: int) -> list[Labels]:
    """Parts of `count` from a stratified order, none in common: as many as there are, at most `MOST_DRAWS`."""
    starts = range(0, len(order) - count + 1, count)[:MOST_DRAWS]
    return [order[start : start + count] for start in starts]


def probe_accuracy(training: tuple[Features, Labels], test: tuple[Features, Labels], num_classes: int) -> float:
    """The accuracy on `test` of the linear classifier of `training`: features (n, d) in a stratified order, labels."""
    features, labels = training
    classifier = train_classifier(features, labels, num_classes, consecutive_folds(len(labels)))
    return accuracy(classifier.scores(test[0]), test[1])


def cases_of_data_with_test_part(data: str, models: Sequence[LoadedModel], image_size: int) -> Iterator[Case]:
    """One case for each number of training images that the data has; `models` are the weights and random networks."""
    dataset = open_dataset(data, straight_preprocessing(models[0], image_size))
    if dataset.test is None:
        raise DataError(f"{data}: has no test part; expected a data set with one, such as fashion-mnist")
    counts = [count for count in TRAINING_COUNTS if count <= len(dataset)]
    if not counts:
        raise DataError(f"{data}: has {len(dataset)} training images; expected {TRAINING_COUNTS[0]} or more")
    order = stratified_order(dataset.labels, SEED)[: counts[-1]]
    training = Subset(dataset, order)
    test = Subset(dataset.test, np.arange(min(TEST_COUNT, len(dataset.test))))
    features = [(features_of(model, training), features_of(model, test)) for model in models]
    for count in counts:
        weights, *random = (
            [
                probe_accuracy((of_training[draw], training.labels[draw]), (of_test, test.labels), len(dataset.classes))
                for draw in draws(np.arange(len(order)), count)
            ]
            for of_training, of_test in features
        )
        yield Case(
            data=data,
            image_size=image_size,
            training_images=count,
            test_images=len(test),
            weights=weights,
            random=_by_name(models, random),
        )


def case_of_digits(models: Sequence[LoadedModel], image_size: int) -> Case:
    """Each fifth of the digits once as test images."""
    dataset = open_dataset("digits", straight_preprocessing(models[0], image_size))
    order = stratified_order(dataset.labels, SEED)
    parts = consecutive_folds(len(order))
    weights, *random = (
        [
            probe_accuracy(
                (features[order[parts != part]], dataset.labels[order[parts != part]]),
                (features[order[parts == part]], dataset.labels[order[parts == part]]),
                len(dataset.classes),
            )
            for part in range(FOLDS)
        ]
        for features in (features_of(model, dataset) for model in models)
    )
    return Case(
        data="digits",
        image_size=image_size,
        training_images=int((parts != 0).sum()),
        test_images=int((parts == 0).sum()),
        weights=weights,
        random=_by_name(models, random),
    )


def _by_name(models: Sequence[LoadedModel], random: list[list[float]]) -> dict[str, list[float]]:
    return {model.weights: accuracies for model, accuracies in zip(models[1:], random, strict=True)}


def format_cases(weights: str, cases: Sequence[Case]) -> str:
    """The table in Markdown."""
    titles = ["data", "pixels", "training images", "draws", "best random", weights, "difference"]
    rows = []
    for case in cases:
        best = best_of(case.random)
        rows.append(
            [
                case.data,
                f"{case.image_size}x{case.image_size}",
                f"{case.training_images:,}",
                str(len(case.weights)),
                f"{mean_and_spread(case.random[best])} ({best})",
                mean_and_spread(case.weights),
                f"{case.difference:+.2f}",
            ]
        )
    return markdown_table(titles, rows)


def main() -> None:
    """Measure, print the table and write the JSON file that was asked for."""
    arguments_parser = parser(__doc__ or "")
    arguments_parser.add_argument(
        "data", nargs="?", default="fashion-mnist", metavar="DATA", help="data with a test part (default: %(default)s)"
    )
    arguments = arguments_parser.parse_args()
    models = [load_model(arguments.weights, needs_head=False), *random_models()]
    cases: list[Case] = []
    for image_size in arguments.image_sizes:
        cases += cases_of_data_with_test_part(arguments.data, models, image_size)
    cases += [case_of_digits(models, image_size) for image_size in arguments.image_sizes]
    print(format_cases(arguments.weights, cases))
    documents = [{**asdict(case), "difference": case.difference} for case in cases]
    write_json(arguments.json, "linear_probe", {"weights": arguments.weights, "cases": documents})


if __name__ == "__main__":
    run(main)
