"""The measurements of weights/recipes/emoji1k: the classifiers, what is trained and tested on, and whole programs."""

from __future__ import annotations

import json
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from types import ModuleType
from typing import Any

import numpy as np
import pytest
from labelled_images import pixels_and_labels

from gradcli.autograd import Tensor, no_grad
from gradcli.errors import DataError, ExitCode
from gradcli.models import load_model

RECIPE = Path(__file__).parents[2] / "weights" / "recipes" / "emoji1k"
PACKS = ("a", "b", "c", "d", "e", "f")

Import = Callable[[str], ModuleType]


@pytest.fixture
def recipe(monkeypatch: pytest.MonkeyPatch) -> Iterator[Import]:
    """Imports modules of the recipe. They find each other by their plain names, and are forgotten afterwards."""
    before = set(sys.modules)
    monkeypatch.syspath_prepend(RECIPE)
    yield __import__
    for name in set(sys.modules) - before:
        if str(getattr(sys.modules[name], "__file__", None) or "").startswith(str(RECIPE)):
            del sys.modules[name]


@pytest.fixture
def classifier(recipe: Import) -> ModuleType:
    return recipe("linear_classifier")


@pytest.fixture
def measuring(recipe: Import) -> ModuleType:
    return recipe("measuring")


@pytest.fixture
def linear_probe(recipe: Import) -> ModuleType:
    return recipe("linear_probe")


@pytest.fixture
def five_shot(recipe: Import) -> ModuleType:
    return recipe("five_shot")


def blobs(count: int, distance: float, seed: int = 0, classes: int = 4, width: int = 30) -> tuple[Any, Any]:
    """Features (count, width) around one centre for each class, in scales from 0.01 to 100, and labels."""
    centres = np.random.default_rng(99).standard_normal((classes, width))
    random = np.random.default_rng(seed)
    labels = random.permutation(np.arange(count) % classes)
    features = distance * centres[labels] + random.standard_normal((count, width))
    return (features * np.logspace(-2, 2, width)).astype(np.float32), labels


def drawings(classes: int = 5) -> tuple[Any, Any]:
    """The labels and packs of one drawing of each class in each of `PACKS`, in an order of no meaning."""
    labels, pack = np.divmod(np.random.default_rng(0).permutation(classes * len(PACKS)), len(PACKS))
    return labels, pack


def test_the_classifier_separates_what_can_be_separated(classifier: ModuleType, measuring: ModuleType) -> None:
    features, labels = blobs(80, distance=3)
    order = measuring.stratified_order(labels, 0)
    trained = classifier.train_classifier(features[order], labels[order], 4, measuring.consecutive_folds(len(order)))
    test_features, test_labels = blobs(200, distance=3, seed=1)
    assert measuring.accuracy(trained.scores(test_features), test_labels) == 100


@pytest.mark.parametrize("weight_decay", [1.0, 1e-2, 1e-4])
@pytest.mark.parametrize("count", [20, 200])
def test_the_classifier_is_where_the_loss_is_least(classifier: ModuleType, weight_decay: float, count: int) -> None:
    features, labels = blobs(count, distance=0.3)
    (trained,) = classifier.classifiers(features, labels, 4, [weight_decay])
    inputs = ((features - features.mean(axis=0)) / features.std(axis=0)).astype(np.float64)
    scores = inputs @ trained.weight.T + trained.bias
    np.testing.assert_allclose(trained.scores(features), scores, rtol=1e-3, atol=1e-4)
    probabilities = np.exp(scores) / np.exp(scores).sum(axis=1, keepdims=True)
    errors = (probabilities - np.eye(4)[labels]) / count
    weight_gradient = errors.T @ inputs + weight_decay * trained.weight
    start = np.linalg.norm((np.full((count, 4), 0.25) - np.eye(4)[labels]).T @ inputs / count)
    assert np.linalg.norm(weight_gradient) < 5e-3 * start
    np.testing.assert_allclose(errors.sum(axis=0), 0, atol=1e-3)


def test_weight_decays_on_a_path_end_where_each_alone_does(classifier: ModuleType) -> None:
    features, labels = blobs(60, distance=1)
    decays = [1.0, 0.1, 0.01]
    for along_path in classifier.classifiers(features, labels, 4, decays):
        (alone,) = classifier.classifiers(features, labels, 4, [along_path.weight_decay])
        difference = np.abs(along_path.weight - alone.weight).max()
        assert difference < 0.05 * np.abs(alone.weight).max()


def test_noise_is_given_more_weight_decay_than_signal(classifier: ModuleType, measuring: ModuleType) -> None:
    features, labels = blobs(100, distance=2)
    noise = np.random.default_rng(5).permutation(labels)
    folds = measuring.consecutive_folds(100)[np.argsort(measuring.stratified_order(labels, 0))]
    of_signal = classifier.train_classifier(features, labels, 4, folds).weight_decay
    of_noise = classifier.train_classifier(features, noise, 4, folds).weight_decay
    assert of_signal < of_noise
    assert of_noise == classifier.WEIGHT_DECAYS[0]


def test_features_that_never_change_change_nothing(classifier: ModuleType) -> None:
    features, labels = blobs(40, distance=1)
    with_constants = np.concatenate([features, np.zeros((40, 3), np.float32), np.full((40, 1), 7, np.float32)], axis=1)
    (plain,) = classifier.classifiers(features, labels, 4, [0.1])
    (other,) = classifier.classifiers(with_constants, labels, 4, [0.1])
    np.testing.assert_allclose(other.scores(with_constants), plain.scores(features), atol=0.02)


def test_the_order_is_stratified_all_along(measuring: ModuleType) -> None:
    labels = np.repeat(np.arange(10), 50)
    order = measuring.stratified_order(labels, 0)
    assert sorted(order) == list(range(500))
    for start in range(0, 500, 10):
        assert sorted(labels[order[start : start + 10]]) == list(range(10))
    assert not np.array_equal(order, measuring.stratified_order(labels, 1))
    assert np.array_equal(order, measuring.stratified_order(labels, 0))


def test_the_order_keeps_unequal_shares(measuring: ModuleType) -> None:
    labels = np.array([0] * 300 + [1] * 100)
    order = measuring.stratified_order(labels, 0)
    assert [int(labels[order[start : start + 40]].sum()) for start in range(0, 400, 40)] == [10] * 10


def test_draws_are_stratified_and_have_no_image_in_common(linear_probe: ModuleType, measuring: ModuleType) -> None:
    labels = np.random.default_rng(0).permutation(np.repeat(np.arange(10), 100))
    order = measuring.stratified_order(labels, 0)
    drawn = linear_probe.draws(order, 200)
    assert len(drawn) == 5
    assert len(set(np.concatenate(drawn).tolist())) == 1000
    for draw in drawn:
        assert np.bincount(labels[draw]).tolist() == [20] * 10
    assert len(linear_probe.draws(order, 100)) == linear_probe.MOST_DRAWS
    assert len(linear_probe.draws(order, 1000)) == 1


def test_folds_part_a_stratified_order_evenly(measuring: ModuleType) -> None:
    labels = np.repeat(np.arange(10), 20)
    order, folds = measuring.stratified_order(labels, 0), measuring.consecutive_folds(200)
    for fold in range(measuring.FOLDS):
        assert np.bincount(labels[order[folds == fold]]).tolist() == [4] * 10


def test_each_pack_is_tested_by_the_others_alone(five_shot: ModuleType) -> None:
    labels, pack = drawings()
    tests = five_shot.pack_tests(labels, pack, PACKS, 5)
    assert [test.pack for test in tests] == list(PACKS)
    for number, test in enumerate(tests):
        assert set(pack[test.test]) == {number}
        assert number not in pack[test.training]
        assert sorted([*test.training, *test.test]) == list(range(30))
        assert test.shots.tolist() == [5] * 5


def test_classes_that_a_pack_lacks_are_trained_on_all_the_same(five_shot: ModuleType) -> None:
    labels, pack = np.array([0, 1, 0, 0, 1]), np.array([0, 0, 1, 2, 2])
    test = five_shot.pack_tests(labels, pack, PACKS, 2)[1]
    assert (test.training.tolist(), test.test.tolist(), test.shots.tolist()) == ([0, 1, 3, 4], [2], [2, 2])


def test_packs_of_the_same_drawings_are_kept_apart(five_shot: ModuleType) -> None:
    labels, pack = drawings()
    tests = five_shot.pack_tests(labels, pack, PACKS, 5, apart=["b", "e"])
    assert [sorted(set(pack[test.training].tolist())) for test in tests] == [
        [1, 2, 3, 4, 5],
        [0, 2, 3, 5],
        [0, 1, 3, 4, 5],
        [0, 1, 2, 4, 5],
        [0, 2, 3, 5],
        [0, 1, 2, 3, 4],
    ]
    assert [set(pack[test.test].tolist()) for test in tests] == [{0}, {1}, {2}, {3}, {4}, {5}]
    assert [test.shots.max() for test in tests] == [5, 4, 5, 5, 4, 5]


def test_an_unknown_pack_to_keep_apart_is_refused(five_shot: ModuleType, tmp_path: Path) -> None:
    data = str(write_drawings(tmp_path / "sprites.npz"))
    with pytest.raises(DataError, match=r"--apart d: no pack of .*sprites\.npz; expected some of a, b, c"):
        five_shot.measure(data, [load_model("random:0")], [32], ["a", "d"])


def test_a_class_of_one_pack_is_refused(five_shot: ModuleType) -> None:
    with pytest.raises(DataError, match="class 1 has no image to train on beside pack b"):
        five_shot.pack_tests(np.array([0, 0, 1]), np.array([0, 1, 1]), PACKS, 2)


def test_nothing_is_learnt_from_the_test_pack(five_shot: ModuleType) -> None:
    labels, pack = drawings()
    shown = np.where(pack == 0, (labels + 1) % 5, labels)  # the first pack alone draws the next class
    features = np.eye(5, dtype=np.float32)[shown]
    tests = five_shot.pack_tests(labels, pack, PACKS, 5)
    result = five_shot.few_shot_accuracies(features, labels, pack, tests, 5)
    assert result == {name: [0.0, 100.0, 100.0, 100.0, 100.0, 100.0] for name in five_shot.CLASSIFIERS}


def test_scores_of_the_nearest_class_mean_are_cosines(five_shot: ModuleType) -> None:
    features = np.array([[1, 10], [3, 10], [-1, -10], [-3, -10]], np.float32)  # standard deviations sqrt(5) and 10
    test = np.array([[np.sqrt(5), 10], [0, -20], [0, 0]], np.float32)
    scores = five_shot.nearest_class_mean_scores(features, np.array([0, 0, 1, 1]), 2, test)
    mean = np.array([2 / np.sqrt(5), 1]) / np.sqrt(9 / 5)
    expected = [mean @ [np.sqrt(0.5), np.sqrt(0.5)], mean @ [0, -1], 0]
    np.testing.assert_allclose(scores, np.stack([expected, np.negative(expected)], axis=1), atol=1e-6)


@pytest.mark.parametrize(
    ("pack", "packs"),
    [
        (np.zeros(3, np.int64), ["a", "b"]),
        (np.array([0, 1]), ["a", "b"]),
        (np.array([0.0, 1.0, 1.0]), ["a", "b"]),
        (np.array([0, 1, 2]), ["a", "b"]),
        (np.array([0, -1, 1]), ["a", "b"]),
        (np.array([0, 1, 1]), [["a", "b"]]),
        (None, ["a", "b"]),
    ],
)
def test_packs_that_fit_no_images_are_refused(pack: Any, packs: Any, five_shot: ModuleType, tmp_path: Path) -> None:
    path = tmp_path / "sprites.npz"
    np.savez(path, **{name: value for name, value in (("pack", pack), ("packs", packs)) if value is not None})
    with pytest.raises(DataError, match=r"sprites\.npz.*expected"):
        five_shot.read_packs(str(path), 3)


def write_drawings(path: Path) -> Path:
    """Two classes in three packs, 8x8 pixels, told apart by where they are bright."""
    pixels, labels = pixels_and_labels(12, classes=2, size=8)
    np.savez(path, x=pixels, y=labels, classes=["up", "down"], pack=np.arange(12) // 2 % 3, packs=["a", "b", "c"])
    return path


def run_program(program: ModuleType, arguments: list[str], monkeypatch: pytest.MonkeyPatch) -> None:
    """The program from its command line on, beside one random network."""
    monkeypatch.setattr(program, "random_models", lambda: iter([load_model("random:0")]))
    monkeypatch.setattr(sys, "argv", ["program", *arguments])
    program.main()


def test_linear_probe(
    linear_probe: ModuleType, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    pixels, labels = pixels_and_labels(60, classes=2, size=8)
    np.savez(tmp_path / "d.npz", x_train=pixels[:40], y_train=labels[:40], x_test=pixels[40:], y_test=labels[40:])
    monkeypatch.setattr(linear_probe, "TRAINING_COUNTS", (10, 40, 100))
    monkeypatch.setattr(linear_probe, "case_of_digits", lambda models, size: cases[0])
    cases = [
        linear_probe.Case(
            data="digits",
            image_size=32,
            training_images=8,
            test_images=2,
            weights=[90.0, 100.0],
            random={"random:0": [70.0, 80.0], "random:1": [60.0, 92.0]},
        )
    ]
    path = tmp_path / "report.json"
    arguments = [str(tmp_path / "d.npz"), "-w", "random:3", "--image-sizes", "32", "--json", str(path)]
    run_program(linear_probe, arguments, monkeypatch)
    report = json.loads(path.read_text(encoding="utf-8"))
    assert (report["measurement"], report["weights"]) == ("linear_probe", "random:3")
    assert [(case["training_images"], case["test_images"], len(case["weights"])) for case in report["cases"]] == [
        (10, 20, 4),
        (40, 20, 1),
        (8, 2, 2),
    ]
    assert report["cases"][1]["weights"] == [100.0]
    assert report["cases"][1]["random"] == {"random:0": [100.0]}
    table = capsys.readouterr().out.splitlines()
    assert table[0] == "| data | pixels | training images | draws | best random | random:3 | difference |"
    assert table[-1] == "| digits | 32x32 | 8 | 2 | 76.00 ± 22.63 (random:1) | 95.00 ± 7.07 | +19.00 |"


def test_five_shot(
    five_shot: ModuleType, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    path = tmp_path / "report.json"
    arguments = [str(write_drawings(tmp_path / "sprites.npz")), "-w", "random:3", "--image-sizes", "32"]
    run_program(five_shot, [*arguments, "--json", str(path)], monkeypatch)
    report = json.loads(path.read_text(encoding="utf-8"))
    assert report["test_packs"] == [{"pack": name, "test_images": 4, "shots": [4, 4]} for name in "abc"]
    (case,) = report["cases"]
    assert case["weights"] == {name: [100.0] * 3 for name in five_shot.CLASSIFIERS}
    assert case["ratio"] == 1
    tables = capsys.readouterr().out.splitlines()
    assert tables[4] == "| 32x32 | the better one | 100.00 ± 0.00 (random:0) | 100.00 ± 0.00 | 1.00 |"
    assert tables[-1] == "| c | 4 | 4 to 4 | 100.00 | 100.00 |"


def test_the_better_classifier_of_each_network_counts(five_shot: ModuleType) -> None:
    mean, linear = five_shot.CLASSIFIERS
    random = {
        "random:0": {mean: [10.0, 20.0], linear: [5.0, 5.0]},
        "random:1": {mean: [1.0, 1.0], linear: [18.0, 22.0]},
    }
    case = five_shot.Case(image_size=64, weights={mean: [50.0, 50.0], linear: [40.0, 30.0]}, random=random)
    assert case.best_random == ("random:1", linear)
    assert case.ratio == 2.5


def test_errors_are_one_line_and_gradclis_exit_code(
    linear_probe: ModuleType,
    measuring: ModuleType,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    data = str(write_drawings(tmp_path / "sprites.npz"))
    with pytest.raises(SystemExit) as ended:
        measuring.run(lambda: run_program(linear_probe, [data, "-w", "random:3"], monkeypatch))
    assert ended.value.code == ExitCode.DATA
    expected = f"error: {data}: has no test part; expected a data set with one, such as fashion-mnist\n"
    assert capsys.readouterr().err == expected


def test_a_report_that_can_not_be_written_is_found_out_first(measuring: ModuleType, tmp_path: Path) -> None:
    with pytest.raises(SystemExit):
        measuring.parser("").parse_args(["-w", "random", "--json", str(tmp_path / "missing" / "report.json")])


def test_curves_go_on_from_run_to_run(recipe: Import, tmp_path: Path) -> None:
    curves = recipe("training_curves")
    for name, values in (("first", [0.125, 0.25]), ("second", [0.5])):
        (tmp_path / name).mkdir()
        (tmp_path / name / "config.toml").write_text("epochs = 2\n")
        records = [
            {"epoch": epoch, "train_loss": 1.0, "train_accuracy": value / 2, "val_loss": 1.0, "val_accuracy": value}
            for epoch, value in enumerate(values, start=1)
        ]
        (tmp_path / name / "metrics.jsonl").write_text("".join(json.dumps(record) + "\n" for record in records))
    runs = [curves.read_history(tmp_path / name) for name in ("first", "second")]
    held_out, trained_on = curves.accuracy_curves(runs)
    assert (list(held_out.xs), list(held_out.ys)) == ([1, 2, 3], [12.5, 25.0, 50.0])
    assert list(trained_on.ys) == [6.25, 12.5, 25.0]
    assert curves.first_epochs(runs) == {"second": 3.0}


def test_held_out_drawings_count_by_pack(
    recipe: Import, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    program = recipe("held_out")
    images, labels = pixels_and_labels(12, classes=2, size=8)
    path = tmp_path / "sprites.npz"
    pack = np.array([0, 0, 2, 2, 2, 3])
    names = {"classes": ["up", "down"], "packs": ["a", "b", "c", "d"], "pack_val": pack}
    np.savez(path, x_train=images[:6], y_train=labels[:6], x_val=images[6:], y_val=labels[6:], **names)
    loaded = load_model("random:3", 2)
    monkeypatch.setattr(program, "load_model", lambda weights: loaded)
    report = tmp_path / "report.json"
    arguments = [str(path), "-w", "random:3", "--image-sizes", "32", "--apart", "a", "b", "--json", str(report)]
    monkeypatch.setattr(sys, "argv", ["program", *arguments])
    program.main()
    dataset = program.open_dataset(str(path), program.straight_preprocessing(loaded, 32)).validation
    with no_grad():
        scores = loaded.model.eval()(Tensor(dataset.images(range(6)))).array
    right = scores.argmax(axis=1) == labels[6:]
    cases = {case["drawings"]: (case["images"], case["top1"]) for case in json.loads(report.read_text())["cases"]}
    assert cases == {
        name: (int(chosen.sum()), pytest.approx(100 * right[chosen].mean()))
        for name, chosen in [
            ("all", pack >= 0),
            ("all but a and b", pack >= 2),
            ("a", pack == 0),
            ("c", pack == 2),
            ("d", pack == 3),
        ]
    }
    assert capsys.readouterr().out.splitlines()[2].startswith("| all | 32x32 | 6 |")
