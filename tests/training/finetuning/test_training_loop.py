"""Steps of a run: accumulation, class weights, clipping, unreadable images, and numbers that are not finite."""

from __future__ import annotations

from collections.abc import Generator, Mapping
from typing import Any

import numpy as np
import pytest

import gradcli
from gradcli import nn
from gradcli.autograd import Tensor
from gradcli.errors import DivergedError
from gradcli.optim import SGD
from gradcli.training.finetuning.batch_source import Batch
from gradcli.training.finetuning.data import balanced_class_weights
from gradcli.training.finetuning.gradient_log import GradientLog, LogInterval
from gradcli.training.finetuning.records import Tally
from gradcli.training.finetuning.settings import FinetuneSettings
from gradcli.training.finetuning.training_loop import TrainingLoop
from gradcli.training.optimizers import SGDSettings
from gradcli.training.schedules import ScheduleSettings, build_scheduler

FEATURES, CLASSES, IMAGES = 6, 4, 20


class Rows:
    """A source of batches of the rows of an array; those `missing` can't be read."""

    inputs = "rows"
    skipped: dict[str, str]

    def __init__(self, model: nn.Module, rows: np.ndarray[Any, Any], labels: np.ndarray[Any, Any]) -> None:
        self.predict = model
        self.skipped = {}
        self.rows = rows
        self.labels = labels
        self.missing: set[int] = set()

    def training(self, batches: Any, epoch: int, first: int = 0) -> Generator[Batch]:
        for positions in batches[first:]:
            kept = np.array([place for place in positions if place not in self.missing], int)
            yield Batch(self.rows[kept], self.labels[kept], (32, 32))

    def validation(self, batches: Any) -> Generator[Batch]:
        yield from self.training(batches, 0)


def rows_and_labels() -> tuple[np.ndarray[Any, Any], np.ndarray[Any, Any]]:
    numbers = np.random.default_rng(0)
    labels = np.sort(numbers.integers(0, CLASSES, IMAGES) * (numbers.random(IMAGES) < 0.7))
    return numbers.standard_normal((IMAGES, FEATURES)).astype(np.float32), labels


def model_of_rows() -> nn.Module:
    gradcli.manual_seed(3)
    return nn.Sequential(nn.Linear(FEATURES, 5), nn.ReLU(), nn.Linear(5, CLASSES))


class Loop:
    """A loop over a small model that trains on rows, with what belongs to it."""

    def __init__(self, *, weighted: bool = False, model: nn.Module | None = None, **settings: Any) -> None:
        self.model = model or model_of_rows()
        self.source = Rows(self.model, *rows_and_labels())
        self.settings = FinetuneSettings(data="rows", **{"optimizer": SGDSettings(lr=0.1), **settings})
        self.optimizer = SGD(self.model.parameters(), **vars(self.settings.optimizer))
        self.tally = Tally()
        self.scheduler = build_scheduler(self.settings.schedule, self.optimizer, 2, 5)
        weights = balanced_class_weights(self.source.labels, CLASSES) if weighted else None
        model_as_any: Any = self.model
        self.logged: list[Mapping[str, Any]] = []
        log = GradientLog(self.model, LogInterval(1), 5, self.logged.append)
        self.loop = TrainingLoop(self.settings, model_as_any, self.source, self.optimizer, self.scheduler, weights, log)
        self.steps: list[tuple[int, float]] = []

    def train(self, batches: list[Any], steps_done: int = 0) -> dict[str, np.ndarray[Any, Any]]:
        positions = [np.asarray(batch) for batch in batches]
        self.loop.train(
            1, positions, steps_done, self.tally, lambda tally: None, lambda step, lr: self.steps.append((step, lr))
        )
        return {name: parameter.array.copy() for name, parameter in self.model.named_parameters()}


@pytest.mark.parametrize("smoothing", [0.0, 0.2])
@pytest.mark.parametrize("weighted", [False, True])
@pytest.mark.parametrize(
    ("small", "accumulate", "large"),
    [
        ([range(4), range(4, 8), range(8, 16)], 3, [range(16)]),
        ([range(4), range(4, 8), range(8, 10)], 2, [range(8), range(8, 10)]),
        ([range(1), range(1, 9), range(9, 12), range(12, 20)], 2, [range(9), range(9, 20)]),
    ],
    ids=["one group", "a last group that is short", "batches of unequal sizes"],
)
def test_accumulated_batches_are_one_large_batch(
    small: list[range], accumulate: int, large: list[range], weighted: bool, smoothing: float
) -> None:
    several = Loop(weighted=weighted, accumulate=accumulate, label_smoothing=smoothing)
    one = Loop(weighted=weighted, label_smoothing=smoothing)
    parameters, expected = several.train([*small]), one.train([*large])
    for name, array in expected.items():
        np.testing.assert_allclose(parameters[name], array, rtol=1e-5, atol=1e-7, err_msg=name)
    assert several.tally.mean_loss == pytest.approx(one.tally.mean_loss, rel=1e-5)
    assert several.tally.images == one.tally.images
    assert [step for step, _ in several.steps] == list(range(1, len(large) + 1))


def test_the_mean_loss_of_an_epoch_is_over_all_images_and_their_weights() -> None:
    still = {"optimizer": SGDSettings(lr=0.0)}
    parts, whole = Loop(weighted=True, **still), Loop(weighted=True, **still)
    parts.train([range(3), range(3, 20)])
    whole.train([range(20)])
    assert parts.tally.mean_loss == pytest.approx(whole.tally.mean_loss, rel=1e-6)
    assert parts.tally.accuracy == whole.tally.accuracy


@pytest.mark.parametrize("weighted", [False, True])
def test_logged_losses_are_the_means_over_each_steps_images(weighted: bool) -> None:
    loop = Loop(weighted=weighted, accumulate=2, optimizer=SGDSettings(lr=0.0))
    loop.source.missing = {1, 17}
    loop.train([range(3), range(3, 9), range(9, 16), range(16, 20)])
    rows, labels = rows_and_labels()
    first, first_bias, last, last_bias = (each.array.astype(np.float64) for each in loop.model.parameters())
    scores = np.maximum(rows @ first.T + first_bias, 0) @ last.T + last_bias
    losses = np.log(np.exp(scores).sum(axis=1)) - scores[np.arange(IMAGES), labels]
    weights = (balanced_class_weights(labels, CLASSES) if weighted else np.ones(CLASSES))[labels]
    weights[[1, 17]] = 0
    expected = [np.average(losses[part], weights=weights[part]) for part in (slice(0, 9), slice(9, 20))]
    assert [record["loss"] for record in loop.logged] == pytest.approx(expected, rel=1e-6)


@pytest.mark.parity
@pytest.mark.parametrize("smoothing", [0.0, 0.1])
@pytest.mark.parametrize("clip_norm", [None, 0.5])
def test_weighted_steps_are_pytorchs(smoothing: float, clip_norm: float | None) -> None:
    torch = pytest.importorskip("torch")
    ours = Loop(
        weighted=True,
        label_smoothing=smoothing,
        clip_norm=clip_norm,
        optimizer=SGDSettings(lr=0.3, momentum=0.9, weight_decay=0.01),
        schedule=ScheduleSettings(name="cosine"),
    )
    model = torch.nn.Sequential(torch.nn.Linear(FEATURES, 5), torch.nn.ReLU(), torch.nn.Linear(5, CLASSES))
    model.load_state_dict({name: torch.tensor(each.array.copy()) for name, each in ours.model.named_parameters()})
    optimizer = torch.optim.SGD(model.parameters(), lr=0.3, momentum=0.9, weight_decay=0.01)
    schedule = torch.optim.lr_scheduler.CosineAnnealingLR(optimizer, 9)
    rows, labels = rows_and_labels()
    counts = np.bincount(labels, minlength=CLASSES)
    weight = torch.tensor(IMAGES / (np.count_nonzero(counts) * np.maximum(counts, 1)), dtype=torch.float32)
    loss_of = torch.nn.CrossEntropyLoss(weight=weight, label_smoothing=smoothing)
    batches = [np.arange(start, start + 4) for start in range(0, IMAGES, 4)]
    for batch in batches:
        optimizer.zero_grad()
        loss_of(model(torch.tensor(rows[batch])), torch.tensor(labels[batch])).backward()
        if clip_norm is not None:
            torch.nn.utils.clip_grad_norm_(model.parameters(), clip_norm)
        optimizer.step()
        schedule.step()
    found = ours.train([*batches])
    for name, parameter in model.named_parameters():
        np.testing.assert_allclose(found[name], parameter.detach().numpy(), rtol=1e-4, atol=1e-6, err_msg=name)


def test_balanced_weights_make_classes_equal_and_images_one_on_average() -> None:
    labels = np.array([0] * 6 + [2] * 2)
    weights = balanced_class_weights(labels, 4)
    np.testing.assert_allclose(weights, [8 / 12, 1, 2, 1])
    assert weights[labels].mean() == 1.0


def test_training_goes_on_at_a_step() -> None:
    batches = [range(start, start + 4) for start in range(0, IMAGES, 4)]
    whole, parts = (
        Loop(accumulate=2, schedule=ScheduleSettings(name="cosine")),
        Loop(accumulate=2, schedule=ScheduleSettings(name="cosine")),
    )
    expected = whole.train([*batches])

    class StopError(Exception):
        pass

    def stop(step: int, lr: float) -> None:
        raise StopError

    with pytest.raises(StopError):
        parts.loop.train(1, [np.asarray(batch) for batch in batches], 0, parts.tally, lambda tally: None, stop)
    found = parts.train([*batches], steps_done=1)
    assert [step for step, _ in parts.steps] == [2, 3]
    assert parts.steps == whole.steps[1:]
    assert parts.tally == whole.tally
    for name, array in expected.items():
        assert found[name].tobytes() == array.tobytes()


def test_images_that_cannot_be_read_are_left_out_of_loss_and_steps() -> None:
    batches = [range(4), range(4, 8), range(8, 12), range(12, 16)]
    some, none = Loop(), Loop()
    # Of one batch half is there, of one nothing, and of one a single image.
    some.source.missing = {0, 1, 4, 5, 6, 7, 8, 9, 10}
    found, expected = some.train([*batches]), none.train([[2, 3], range(12, 16)])
    for name, array in expected.items():
        np.testing.assert_array_equal(found[name], array)
    assert some.tally == none.tally
    assert [step for step, _ in some.steps] == [1, 2, 3, 4]


def test_validation_is_plain_cross_entropy() -> None:
    loop = Loop(weighted=True, label_smoothing=0.5)
    seen: list[int] = []
    parts = [np.arange(7), np.arange(7, IMAGES)]
    tally = loop.loop.validate(parts, 1, lambda tally: seen.append(tally.images))
    scores = loop.model(Tensor(loop.source.rows)).array.astype(np.float64)
    log_probabilities = scores - np.log(np.exp(scores).sum(axis=1, keepdims=True))
    assert tally.mean_loss == pytest.approx(-log_probabilities[np.arange(IMAGES), loop.source.labels].mean(), rel=1e-6)
    assert seen == [7, IMAGES]
    assert not loop.model.training


def large_gradients() -> nn.Module:
    """A model whose scores and loss are small, while the gradient of its first weight is beyond float32."""
    model = nn.Sequential(nn.Linear(FEATURES, 5), nn.Linear(5, CLASSES))
    parameters = dict(model.named_parameters())
    parameters["0.weight"].array[...] = 0.0
    parameters["0.bias"].array[...] = 0.0
    parameters["1.weight"].array[...] = np.random.default_rng(1).random((CLASSES, 5)) * 1e20
    return model


@pytest.mark.parametrize(
    ("clip_norm", "message"),
    [
        (
            1.0,
            r"the gradient of 0\.weight is not finite in epoch 1, batch 1, at learning rate 0\.1; try a smaller --lr",
        ),
        (
            None,
            r"the loss is nan in epoch 1, batch 2, at learning rate 0\.1, first in the output of 0; try a smaller --lr",
        ),
    ],
    ids=["all gradients are read to be clipped", "the next loss tells"],
)
def test_a_gradient_that_is_not_finite(clip_norm: float | None, message: str) -> None:
    loop = Loop(model=large_gradients(), clip_norm=clip_norm)
    loop.source.rows *= 1e20
    with quietly(), pytest.raises(DivergedError, match=message):
        loop.train([range(4), range(4, 8)])


def quietly() -> np.errstate:
    """As a run trains: without NumPy's warnings."""
    return np.errstate(over="ignore", invalid="ignore")


def test_a_bias_gradient_that_is_not_finite_stops_before_the_step() -> None:
    model = large_gradients()
    dict(model.named_parameters())["0.weight"].array[...] = 1e20
    loop = Loop(model=nn.Sequential(nn.Linear(FEATURES, FEATURES), model))
    for name in ("0.weight", "0.bias"):
        dict(loop.model.named_parameters())[name].array[...] = 0.0
    before = {name: parameter.array.copy() for name, parameter in loop.model.named_parameters()}
    with quietly(), pytest.raises(DivergedError, match=r"the gradient of 0\.(weight|bias) is not finite in epoch 1"):
        loop.train([range(4)])
    for name, parameter in loop.model.named_parameters():
        np.testing.assert_array_equal(parameter.array, before[name])


def test_a_loss_that_is_not_finite_names_the_layer() -> None:
    loop = Loop()
    dict(loop.model.named_parameters())["0.bias"].array[1] = np.inf
    message = (
        r"the loss is nan in epoch 1, batch 1, at learning rate 0\.1, first in the output of 0; try a smaller --lr"
    )
    with quietly(), pytest.raises(DivergedError, match=message):
        loop.train([range(4)])
    with quietly(), pytest.raises(DivergedError, match=r"validation loss is nan after epoch 1, at .* output of 0; "):
        loop.loop.validate([np.arange(4)], 1, lambda tally: None)


def test_inputs_that_are_not_finite_are_named() -> None:
    loop = Loop()
    loop.source.rows[2, 3] = np.nan
    with quietly(), pytest.raises(DivergedError, match=", first in the rows; take other weights, or --kernels exact"):
        loop.train([range(4)])
