"""How well classes that the network never saw are told apart from a few drawings of each, beside random networks.

The data holds drawings `x` of classes `y` by several designers; `pack` tells whose each is, an index into `packs`. Each
pack is the test pack once: its drawings are told apart by those of all other packs (with six packs five of a class),
both by the nearest class mean and by a linear classifier. The procedure is the same for all networks; of each the
better of the two counts.

Where two packs show the same drawings, in other shades, finding the copy takes no features: with both Fluent packs, a
random network that has trained on one tells 97 % of the other at 64x64, and 46 % without it. So while one of `--apart`
is tested, the others there are not trained on, and a class has one drawing less.

    python five_shot.py emoji100.npz --weights model.safetensors --json five-shot.json
"""

from __future__ import annotations

import statistics
from collections.abc import Sequence
from dataclasses import asdict, dataclass

import numpy as np
from linear_classifier import Features, Labels, Standardisation, train_classifier
from measuring import (
    accuracy,
    best_of,
    features_of,
    markdown_table,
    mean_and_spread,
    parser,
    random_models,
    run,
    straight_preprocessing,
    write_json,
)

from gradcli.data.numpy_files import read_npz
from gradcli.data.sources import open_dataset
from gradcli.errors import DataError
from gradcli.models import LoadedModel, load_model

CLASSIFIERS = ("nearest class mean", "linear classifier")
SAME_DRAWINGS = ("fluent-3d", "fluent-flat")


@dataclass(frozen=True, kw_only=True)
class PackTest:
    """A pack to test on: positions of the training and test images, and how many of each class are trained on."""

    pack: str
    training: Labels
    test: Labels
    shots: Labels


@dataclass(frozen=True, kw_only=True)
class Case:
    """Accuracies in percent on each test pack, by classifier: of the weights, and of each random network."""

    image_size: int
    weights: dict[str, list[float]]
    random: dict[str, dict[str, list[float]]]

    @property
    def best_random(self) -> tuple[str, str]:
        """The random network and the classifier of the highest mean of all."""
        best = {network: accuracies[best_of(accuracies)] for network, accuracies in self.random.items()}
        network = best_of(best)
        return network, best_of(self.random[network])

    @property
    def ratio(self) -> float:
        """How many times the best random accuracy that of the weights is, each with the classifier that suits it."""
        network, classifier = self.best_random
        weights = self.weights[best_of(self.weights)]
        return statistics.fmean(weights) / statistics.fmean(self.random[network][classifier])


def pack_tests(
    labels: Labels, pack: Labels, packs: Sequence[str], num_classes: int, apart: Sequence[str] = ()
) -> list[PackTest]:
    """One test for each pack that has images; of the packs `apart`, none is trained on while another is tested.

    DataError for a class that has no image to train on.
    """
    tests = []
    for index in np.unique(pack).tolist():
        excluded = [other for other, name in enumerate(packs) if name in apart] if packs[index] in apart else [index]
        training, test = np.flatnonzero(~np.isin(pack, excluded)), np.flatnonzero(pack == index)
        shots = np.bincount(labels[training], minlength=num_classes)
        if not shots.all():
            raise DataError(f"class {int(shots.argmin())} has no image to train on beside pack {packs[index]}")
        tests.append(PackTest(pack=packs[index], training=training, test=test, shots=shots))
    return tests


def read_packs(path: str, count: int) -> tuple[Labels, list[str]]:
    """The pack of each of `count` images, and the names of the packs. DataError for arrays that are not that."""
    pack, names = read_npz(path, ["pack", "packs"])
    if pack.shape != (count,) or pack.dtype.kind not in "iu":
        raise DataError(f"{path}: pack is {pack.dtype} of shape {pack.shape}; expected {count} integers")
    if names.ndim != 1 or len(np.unique(pack)) < 2 or pack.min() < 0 or pack.max() >= len(names):
        raise DataError(f"{path}: pack and packs don't fit; expected indices of two or more of the names in packs")
    return pack.astype(np.int64), [str(name) for name in names]


def nearest_class_mean_scores(features: Features, labels: Labels, num_classes: int, test: Features) -> Features:
    """The cosine (n, classes) of `test` features (n, d) with the mean of each class in `features`.

    All are standardised by the mean and standard deviation of `features`.
    """
    standardisation = Standardisation.of(features)
    members = np.eye(num_classes, dtype=np.float32)[labels]  # (images, classes)
    means = members.T @ standardisation.apply(features)
    return _unit_rows(standardisation.apply(test)) @ _unit_rows(means).T


def few_shot_accuracies(
    features: Features, labels: Labels, pack: Labels, tests: Sequence[PackTest], num_classes: int
) -> dict[str, list[float]]:
    """The accuracy on each test pack by the name of the classifier.

    The linear classifier's weight decay is the one that does best when each training pack is left out once.
    """
    result: dict[str, list[float]] = {name: [] for name in CLASSIFIERS}
    for test in tests:
        training = features[test.training], labels[test.training]
        mean_scores = nearest_class_mean_scores(*training, num_classes, features[test.test])
        linear = train_classifier(*training, num_classes, pack[test.training])
        for name, scores in zip(CLASSIFIERS, (mean_scores, linear.scores(features[test.test])), strict=True):
            result[name].append(accuracy(scores, labels[test.test]))
    return result


def _unit_rows(vectors: Features) -> Features:
    lengths = np.sqrt(np.square(vectors).sum(axis=1, keepdims=True))
    unit: Features = np.divide(vectors, lengths, out=np.zeros_like(vectors), where=lengths > 0)
    return unit


def format_cases(weights: str, cases: Sequence[Case]) -> str:
    """The table in Markdown: each classifier, then the better one for each network and their ratio."""
    titles = ["pixels", "classifier", "best random", weights, "times"]
    rows = []
    for case in cases:
        pixels = f"{case.image_size}x{case.image_size}"
        for name in CLASSIFIERS:
            random = {network: accuracies[name] for network, accuracies in case.random.items()}
            best = best_of(random)
            times = statistics.fmean(case.weights[name]) / statistics.fmean(random[best])
            rows.append(
                [
                    pixels,
                    name,
                    f"{mean_and_spread(random[best])} ({best})",
                    mean_and_spread(case.weights[name]),
                    f"{times:.2f}",
                ]
            )
        network, classifier = case.best_random
        rows.append(
            [
                pixels,
                "the better one",
                f"{mean_and_spread(case.random[network][classifier])} ({network})",
                mean_and_spread(case.weights[best_of(case.weights)]),
                f"{case.ratio:.2f}",
            ]
        )
    return markdown_table(titles, rows)


def format_packs(weights: str, cases: Sequence[Case], tests: Sequence[PackTest]) -> str:
    """The table in Markdown of the better classifier's accuracy on each test pack."""
    titles = ["test pack", "test images", "training images of a class"]
    titles += [f"{name} at {case.image_size}x{case.image_size}" for case in cases for name in ("best random", weights)]
    rows = []
    for number, test in enumerate(tests):
        row = [test.pack, str(len(test.test)), f"{test.shots.min()} to {test.shots.max()}"]
        for case in cases:
            network, classifier = case.best_random
            row += [
                f"{case.random[network][classifier][number]:.2f}",
                f"{case.weights[best_of(case.weights)][number]:.2f}",
            ]
        rows.append(row)
    return markdown_table(titles, rows)


def measure(
    data: str, models: Sequence[LoadedModel], image_sizes: Sequence[int], apart: Sequence[str] | None
) -> tuple[list[Case], list[PackTest]]:
    """A case for each size, and the tests that each is made of; `models` are the weights and the random networks.

    `apart` None stands for those of `SAME_DRAWINGS` that there are. DataError for one that is no pack.
    """
    cases: list[Case] = []
    tests: list[PackTest] = []
    for image_size in image_sizes:
        dataset = open_dataset(data, straight_preprocessing(models[0], image_size))
        pack, packs = read_packs(data, len(dataset))
        unknown = [name for name in apart or () if name not in packs]
        if unknown:
            raise DataError(f"--apart {unknown[0]}: no pack of {data}; expected some of {', '.join(packs)}")
        tests = pack_tests(dataset.labels, pack, packs, len(dataset.classes), SAME_DRAWINGS if apart is None else apart)
        weights, *random = (
            few_shot_accuracies(features_of(model, dataset), dataset.labels, pack, tests, len(dataset.classes))
            for model in models
        )
        by_network = {model.weights: accuracies for model, accuracies in zip(models[1:], random, strict=True)}
        cases.append(Case(image_size=image_size, weights=weights, random=by_network))
    return cases, tests


def main() -> None:
    """Measure, print the tables and write the JSON file that was asked for."""
    arguments_parser = parser(__doc__ or "")
    arguments_parser.add_argument("data", metavar="DATA", help="an .npz file of x, y, classes, pack and packs")
    arguments_parser.add_argument(
        "--apart",
        nargs="*",
        metavar="PACK",
        help=f"packs of the same drawings; nothing for none (default: {' '.join(SAME_DRAWINGS)})",
    )
    arguments = arguments_parser.parse_args()
    models: list[LoadedModel] = [load_model(arguments.weights, needs_head=False), *random_models()]
    cases, tests = measure(arguments.data, models, arguments.image_sizes, arguments.apart)
    print(format_cases(arguments.weights, cases))
    print()
    print(format_packs(arguments.weights, cases, tests))
    report = {
        "weights": arguments.weights,
        "test_packs": [
            {"pack": test.pack, "test_images": len(test.test), "shots": [int(test.shots.min()), int(test.shots.max())]}
            for test in tests
        ],
        "cases": [{**asdict(case), "ratio": case.ratio} for case in cases],
    }
    write_json(arguments.json, "five_shot", report)


if __name__ == "__main__":
    run(main)
