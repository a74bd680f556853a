"""Top classes: order, ties, names, probabilities; and those of image files, as they come."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

from gradcli.autograd import Tensor, no_grad
from gradcli.data.images import load_images
from gradcli.data.preprocessing import Preprocessing
from gradcli.errors import DataError
from gradcli.inspection.prediction import ImagePrediction, predict_images, top_classes
from gradcli.models import LoadedModel


def test_the_best_come_first_and_the_lower_index_among_equals() -> None:
    scores = np.array([[0.0, 2.0, 1.0, 2.0], [5.0, -1.0, 0.0, 1.0]], np.float32)
    records = top_classes(scores, ["a.png", "b.png"], None, 3)
    assert [(record.image, record.rank, record.index) for record in records] == [
        ("a.png", 1, 1),
        ("a.png", 2, 3),
        ("a.png", 3, 2),
        ("b.png", 1, 0),
        ("b.png", 2, 3),
        ("b.png", 3, 2),
    ]
    assert {record.name for record in records} == {None}
    for record in records:
        row = scores[["a.png", "b.png"].index(record.image)].astype(np.float64)
        assert record.score == row[record.index]
        assert record.probability == pytest.approx(np.exp(row[record.index]) / np.exp(row).sum(), rel=1e-6)


def test_names_and_more_classes_asked_for_than_there_are() -> None:
    records = top_classes(np.array([[1.0, 1000.0]], np.float32), ["a"], ["cat", "dog"], 5)
    assert [(record.name, record.probability) for record in records] == [("dog", 1.0), ("cat", 0.0)]


@pytest.fixture
def photos(tmp_path: Path) -> list[str]:
    """Eleven image files, of which the third is missing and the tenth is no image."""
    generator = np.random.default_rng(2)
    paths = [tmp_path / f"{index:02d}.png" for index in range(11)]
    for path in paths:
        Image.fromarray(generator.integers(0, 256, (40, 50, 3), dtype=np.uint8)).save(path)
    paths[2].unlink()
    paths[9].write_text("broken")
    return [str(path) for path in paths]


def predictions(loaded: LoadedModel, chunks: list[list[str]], **options: Any) -> list[ImagePrediction]:
    return list(predict_images(loaded, chunks, Preprocessing.straight(32), **options))


def test_files_are_answered_in_their_order_with_what_is_wrong(loaded: LoadedModel, photos: list[str]) -> None:
    found = predictions(loaded, [photos], top=2, batch_size=4, kernels="exact")
    assert [prediction.path for prediction in found] == photos
    errors = {prediction.path: prediction.error for prediction in found if prediction.error is not None}
    assert errors == {
        photos[2]: "no such file; expected an image",
        photos[9]: "not an image; expected a file such as JPEG, PNG, TIFF or WebP",
    }
    loaded.model.eval()
    for prediction in found:
        if prediction.error is not None:
            assert prediction.classes == ()
            continue
        pixels = load_images([prediction.path], Preprocessing.straight(32))
        with no_grad():
            scores = loaded.model(Tensor(pixels)).array[0].astype(np.float64)
        assert [entry.index for entry in prediction.classes] == np.argsort(-scores)[:2].tolist()
        for entry in prediction.classes:
            assert entry.name == f"class{entry.index}"
            assert entry.probability == pytest.approx(np.exp(scores[entry.index]) / np.exp(scores).sum(), rel=1e-3)


def test_a_prediction_depends_neither_on_the_other_images_nor_on_how_the_list_came(
    loaded: LoadedModel, photos: list[str]
) -> None:
    full: dict[str, Any] = {"batch_size": 4, "full_batches": True}
    together = predictions(loaded, [photos], **full)
    assert predictions(loaded, [[path] for path in photos], **full) == together
    assert predictions(loaded, [photos[:5], photos[5:]], **full) == together
    assert predictions(loaded, [photos[::-1]], **full) == together[::-1]
    assert predictions(loaded, [photos], batch_size=4) == together


@pytest.mark.parametrize(
    ("options", "computed"), [({}, [2]), ({"full_batches": True}, [4]), ({"batch_size": 1}, [1, 1])]
)
def test_a_few_images_are_not_computed_as_many(
    options: dict[str, Any], computed: list[int], loaded: LoadedModel, photos: list[str]
) -> None:
    sizes: list[int] = []
    loaded.model.fc.register_forward_hook(lambda module, inputs, output: sizes.append(len(output.array)))
    found = predictions(loaded, [photos[:2]], **({"batch_size": 4} | options))
    assert ([prediction.path for prediction in found], sizes) == (photos[:2], computed)


def test_what_came_is_answered_before_more_is_asked_for(loaded: LoadedModel, photos: list[str]) -> None:
    asked: list[int] = []

    def chunks() -> Iterator[list[str]]:
        for index in (0, 1):
            asked.append(index)
            yield [photos[index]]

    answers = predict_images(loaded, chunks(), Preprocessing.straight(32))
    assert next(answers).path == photos[0]
    assert asked == [0]
    assert [answer.path for answer in answers] == [photos[1]]


def test_a_strict_one_stops_at_an_image_that_cant_be_read(loaded: LoadedModel, photos: list[str]) -> None:
    answers = predict_images(loaded, [photos], Preprocessing.straight(32), batch_size=2, strict=True)
    assert [next(answers).path, next(answers).path] == photos[:2]
    with pytest.raises(DataError, match=r"02\.png: no such file"):
        next(answers)


def test_leaving_early_leaves_no_thread_behind(loaded: LoadedModel, photos: list[str]) -> None:
    before = threading.active_count()
    answers = predict_images(loaded, [photos], Preprocessing.straight(32), batch_size=2)
    next(answers)
    answers.close()
    assert threading.active_count() <= before
