"""Evaluation against plain counting in float64, and against PyTorch; ties, missing classes, unreadable images."""

from __future__ import annotations

import logging
import math
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from labelled_images import write_folder

from gradcli.autograd import Tensor, no_grad
from gradcli.data.dataset import ArrayDataset, Subset
from gradcli.data.folder import open_folder
from gradcli.data.preprocessing import Preprocessing
from gradcli.errors import DataError, DivergedError
from gradcli.inspection import evaluation
from gradcli.inspection.evaluation import evaluate
from gradcli.models import LoadedModel


def scores_of(loaded: LoadedModel, images: ArrayDataset) -> np.ndarray[Any, Any]:
    loaded.model.eval()
    with no_grad():
        return loaded.model(Tensor(images.images(np.arange(len(images))))).array.astype(np.float64)


@pytest.mark.parametrize("batch_size", [1, 7, 100, 1000])
def test_totals_and_rates_are_those_of_counting(loaded: LoadedModel, images: ArrayDataset, batch_size: int) -> None:
    result = evaluate(loaded, [images], batch_size=batch_size, top=3, kernels="exact")
    scores, labels = scores_of(loaded, images), images.labels
    predicted = scores.argmax(axis=1)
    losses = [math.log(sum(math.exp(each - row[own]) for each in row)) for row, own in zip(scores, labels, strict=True)]
    assert result.images == 100
    assert result.loss == pytest.approx(sum(losses) / 100, rel=1e-5)
    assert result.accuracy == sum(predicted == labels) / 100
    assert (
        result.top_accuracy == sum(own in np.argsort(-row)[:3] for row, own in zip(scores, labels, strict=True)) / 100
    )
    for own in range(10):
        for other in range(10):
            assert result.confusion[own, other] == sum((labels == own) & (predicted == other))
    defined = 0
    for index, metrics in enumerate(result.classes):
        hits, support, answers = (
            sum((labels == index) & (predicted == index)),
            sum(labels == index),
            sum(predicted == index),
        )
        assert (metrics.index, metrics.name, metrics.support) == (index, f"class{index}", support)
        assert metrics.precision == (hits / answers if answers else None)
        assert metrics.recall == (hits / support if support else None)
        if metrics.precision and metrics.recall:
            harmonic = 2 / (1 / metrics.precision + 1 / metrics.recall)
            assert metrics.f1 == pytest.approx(harmonic, rel=1e-12)
            defined += 1
    assert defined >= 2
    present = [metrics for metrics in result.classes if metrics.support]
    assert len(present) == 9
    assert result.macro_precision == pytest.approx(sum(metrics.precision or 0 for metrics in present) / 9)
    assert result.macro_recall == pytest.approx(sum(metrics.recall or 0 for metrics in present) / 9)
    assert result.macro_f1 == pytest.approx(sum(metrics.f1 or 0 for metrics in present) / 9)


def test_a_class_that_is_never_predicted_or_has_no_images_has_no_such_rate(
    loaded: LoadedModel, images: ArrayDataset
) -> None:
    loaded.model.fc.weight.array[...] = 0
    loaded.model.fc.bias.array[...] = 0
    loaded.model.fc.bias.array[9] = 1
    result = evaluate(loaded, [images])
    first, last = result.classes[0], result.classes[9]
    assert (first.precision, first.recall, first.f1) == (None, 0.0, 0.0)
    assert (last.precision, last.recall, last.f1, last.support) == (0.0, None, 0.0, 0)
    assert (result.accuracy, result.macro_precision, result.macro_f1) == (0.0, 0.0, 0.0)


def test_of_equal_scores_the_lower_index_is_higher(loaded: LoadedModel, images: ArrayDataset) -> None:
    loaded.model.fc.weight.array[...] = 0
    loaded.model.fc.bias.array[...] = 0
    result = evaluate(loaded, [images], top=4)
    assert result.accuracy == np.mean(images.labels == 0)
    assert result.top_accuracy == np.mean(images.labels < 4)
    assert result.loss == pytest.approx(math.log(10), rel=1e-6)
    assert evaluate(loaded, [images], top=99).top_accuracy == 1.0


def test_parts_count_together_and_progress_counts_images(loaded: LoadedModel, images: ArrayDataset) -> None:
    parts = [Subset(images, np.arange(40)), Subset(images, np.arange(40, 100))]
    counts: list[int] = []
    together = evaluate(loaded, parts, batch_size=16, on_batch=counts.append)
    alone = evaluate(loaded, [images], batch_size=16)
    assert (sum(counts), len(counts)) == (100, 7)
    assert np.array_equal(together.confusion, alone.confusion)
    assert together.loss == pytest.approx(alone.loss, rel=1e-6)


def test_unreadable_images_are_left_out_or_refused(
    loaded: LoadedModel, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    folder = write_folder(tmp_path / "photos", 12)
    (folder / "class1" / "04.png").write_text("broken")
    data = open_folder(folder, Preprocessing.straight(32)).with_classes([f"class{index}" for index in range(10)])
    with caplog.at_level(logging.WARNING):
        result = evaluate(loaded, [data], batch_size=4)
    path = str(folder / "class1" / "04.png")
    assert (result.images, result.confusion.sum(), result.classes[1].support) == (11, 11, 3)
    assert result.skipped == {path: "not an image; expected a file such as JPEG, PNG, TIFF or WebP"}
    assert [record.getMessage() for record in caplog.records] == [f"{path}: {result.skipped[path]}; left out"]
    with pytest.raises(DataError, match=r"04\.png: not an image"):
        evaluate(loaded, [data], strict=True)
    for file in folder.rglob("*.png"):
        file.write_text("broken")
    with pytest.raises(DataError, match="photos: none of its 12 images can be read"):
        evaluate(loaded, [data])


def test_scores_that_are_not_finite_name_image_and_weights(loaded: LoadedModel, images: ArrayDataset) -> None:
    loaded.model.fc.weight.array[3, 5] = np.nan
    with pytest.raises(DivergedError) as caught:
        evaluate(loaded, [images])
    assert str(caught.value) == (
        "the prediction for blots[0] is not finite: 1 of the 5120 values of fc.weight (first at 3,5) "
        "in ten.safetensors are not finite"
    )


def test_a_matrix_of_a_thousand_classes_is_counted_in_place() -> None:
    confusion = np.zeros((1000, 1000), np.int64)
    confusion[7, 7], confusion[7, 8] = 3, 1
    metrics = list(evaluation._class_metrics(confusion, [str(index) for index in range(1000)]))
    assert (metrics[7].precision, metrics[7].recall, metrics[7].support) == (1.0, 0.75, 4)
    assert (metrics[8].precision, metrics[8].recall, metrics[9].f1) == (0.0, None, None)


@pytest.mark.parity
@pytest.mark.parametrize("kernels", ["exact", "fast"])
def test_pytorch_comes_to_the_same(loaded: LoadedModel, images: ArrayDataset, kernels: Any) -> None:
    torch = pytest.importorskip("torch")
    from reference.torch_resnet18 import resnet18

    model = resnet18(num_classes=10)
    model.load_state_dict(
        {name: torch.from_numpy(array.array.copy()) for name, array in loaded.model.state_dict().items()}
    )
    model.eval()
    with torch.no_grad():
        scores = model(torch.from_numpy(images.images(np.arange(100))))
    labels = torch.from_numpy(images.labels)
    result = evaluate(loaded, [images], top=2, kernels=kernels)
    assert result.loss == pytest.approx(torch.nn.functional.cross_entropy(scores, labels).item(), rel=1e-4)
    assert result.accuracy == (scores.argmax(1) == labels).double().mean().item()
    assert result.top_accuracy == (scores.topk(2).indices == labels[:, None]).any(1).double().mean().item()
