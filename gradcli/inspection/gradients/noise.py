"""How far the gradients of batches agree: mean, variance and signal-to-noise ratio over many of them, and cosines."""

from __future__ import annotations

import logging
import math
import time
from collections.abc import Callable, Sequence
from contextlib import closing
from dataclasses import dataclass, replace

import numpy as np

from gradcli.autograd import Tensor
from gradcli.data.batches import batch_indices, epoch_order
from gradcli.data.dataset import Dataset
from gradcli.data.loader import Loader
from gradcli.data.sources import open_dataset
from gradcli.errors import DataError
from gradcli.inspection.gradients.collection import collect_gradients
from gradcli.inspection.model_data import choose_split, match_classes
from gradcli.kernels.statistics import Array, sum_of_squares
from gradcli.models import LoadedModel, load_model
from gradcli.models.loading import replace_head
from gradcli.ops.random import manual_seed
from gradcli.training.batch_norms import resting_frozen_statistics, set_mode
from gradcli.training.finetuning.data import own_size_if_small
from gradcli.training.freezing import apply_freeze_rules
from gradcli.training.passes import Pass, PassSettings, check_finite_loss
from gradcli.training.preprocessing import weights_preprocessing

logger = logging.getLogger(__name__)


@dataclass(frozen=True, kw_only=True)
class GradientNoise:
    """A parameter's gradient g over n batches.

    `mean_norm` is the norm of the mean of g, `std_norm` the root of the sum of its elements' variances (of a sample,
    with n - 1), `variance` the mean of these variances. `signal_to_noise` is `mean_norm` / `std_norm`, of which pure
    noise has about 1 / sqrt(n); infinite where all batches agree, NaN where all are zero too. `cosine` is the mean
    cosine of one batch's gradient with the next one's, NaN where a batch's is zero.
    """

    name: str
    numel: int
    mean_norm: float
    std_norm: float
    variance: float
    signal_to_noise: float
    cosine: float


@dataclass(frozen=True, kw_only=True)
class NoiseOfBatches:
    """The noise of each parameter, and of all as one vector (`total`), over the batches."""

    parameters: list[GradientNoise]
    total: GradientNoise
    losses: list[float]
    """Of each batch."""
    cosines: list[float]
    """Of all parameters' gradients as one vector, of each batch but the first with the one before."""
    images: int
    skipped: dict[str, str]
    seconds: float


@dataclass(frozen=True, kw_only=True)
class BatchSource:
    """A model, and the labelled images of a data set in batches, to take its gradients of."""

    settings: PassSettings
    loaded: LoadedModel
    dataset: Dataset
    batches: list[Array]
    frozen_batch_norms: int


def open_batches(settings: PassSettings, data: str, *, batch_size: int, batches: int | None = None) -> BatchSource:
    """The first so many batches (all by default) of the training part of a data set, in an order drawn from the seed.

    Of weights for other classes, or that name none and have another number of outputs, the head is drawn anew, as
    finetuning starts. A last batch with fewer images is left out. DataError for data that has not as many batches, or
    only one.
    """
    manual_seed(settings.seed)
    loaded = load_model(settings.weights, verify=settings.verify)
    dataset, preprocessing = open_dataset(data), weights_preprocessing(loaded)
    count = len(dataset.classes)
    names_none = loaded.classes is None and loaded.num_classes != count
    if names_none or (loaded.classes is not None and not set(loaded.classes) & set(dataset.classes)):
        logger.info("%s: a new head for the %d classes of %s", loaded.weights, count, data)
        if names_none:
            loaded = load_model(settings.weights, count, verify=settings.verify)
        else:
            replace_head(loaded.model, count)
            if preprocessing is not None:
                preprocessing = own_size_if_small(preprocessing, dataset)
        loaded = replace(loaded, classes=list(dataset.classes))
    if preprocessing is not None:
        dataset = dataset.with_preprocessing(preprocessing)
    dataset = choose_split(match_classes(dataset, loaded), loaded, "train")[1]["train"]
    found = batch_indices(epoch_order(len(dataset), settings.seed, 0), batch_size, drop_last=True)
    if len(found) < max(2, batches or 0):
        raise DataError(
            f"{data}: its {len(dataset)} images make {len(found)} batches of {batch_size}; "
            f"expected at least {max(2, batches or 0)}: choose a smaller --batch-size or fewer --batches"
        )
    apply_freeze_rules(loaded.model, settings.freeze)
    set_mode(loaded.model, settings.mode)
    return BatchSource(
        settings=settings,
        loaded=loaded,
        dataset=dataset,
        batches=found[:batches],
        frozen_batch_norms=resting_frozen_statistics(loaded.model),
    )


def gradient_noise(
    source: BatchSource, patterns: Sequence[str] = (), *, on_batch: Callable[[], object] = lambda: None
) -> NoiseOfBatches:
    """The gradients of the parameters that any pattern matches, followed over the batches at constant weights.

    Memory does not grow with the number of batches: running sums (Welford, 1962) take the place of the gradients.
    DivergedError for a loss or gradient that is not finite, DataError where fewer than two batches can be read.
    """
    start = time.perf_counter()
    running: dict[str, _Running] = {}
    losses: list[float] = []
    cosines: list[float] = []
    images = 0
    loader = Loader(source.dataset)
    with closing(loader.batches(source.batches)) as batches:
        for batch in batches:
            if len(batch):
                run = Pass(source.settings, source.loaded, Tensor(batch.images), [], Tensor(batch.labels))
                source.loaded.model.zero_grad()
                gradients = collect_gradients(run, patterns)
                check_finite_loss(gradients.loss, run)
                gradients.check_finite()
                for name, array in gradients.arrays.items():
                    running.setdefault(name, _Running(array)).add(array)
                if losses:
                    cosines.append(_joint_cosine(list(running.values())))
                losses.append(gradients.loss)
                images += len(batch)
            on_batch()
    if len(losses) < 2:
        raise DataError(f"{source.dataset.source}: fewer than two of its batches can be read")
    parameters = [each.described(name) for name, each in running.items()]
    squares = {
        field: math.fsum(getattr(each, field) ** 2 for each in parameters) for field in ("mean_norm", "std_norm")
    }
    numel = sum(each.numel for each in parameters)
    total = _described("total", numel, squares["mean_norm"], squares["std_norm"], cosines)
    return NoiseOfBatches(
        parameters=parameters,
        total=total,
        losses=losses,
        cosines=cosines,
        images=images,
        skipped=loader.skipped,
        seconds=time.perf_counter() - start,
    )


class _Running:
    """Mean and sum of squared deviations of each element so far, in double precision, and the last gradient."""

    def __init__(self, array: Array) -> None:
        self.count = 0
        self.mean = np.zeros(array.shape, np.float64)
        self.deviations = np.zeros(array.shape, np.float64)
        self.cosines: list[float] = []
        self.last: Array | None = None
        self.square = 0.0
        self.products = (0.0, 0.0, 0.0)
        """Of the last gradient with the one before: the inner product, and the squares of the two."""

    def add(self, array: Array) -> None:
        self.count += 1
        square = sum_of_squares(array)
        if self.last is not None:
            product = float(np.einsum("i,i->", self.last.ravel(), array.ravel(), dtype=np.float64))
            self.products = product, self.square, square
            self.cosines.append(_cosine(*self.products))
        self.last, self.square = array, square
        difference = array - self.mean
        self.mean += difference / self.count
        difference *= array - self.mean
        self.deviations += difference

    def described(self, name: str) -> GradientNoise:
        return _described(
            name,
            self.mean.size,
            sum_of_squares(self.mean),
            float(self.deviations.sum()) / (self.count - 1),
            self.cosines,
        )


def _described(
    name: str, numel: int, square_of_mean: float, sum_of_variances: float, cosines: Sequence[float]
) -> GradientNoise:
    mean_norm, std_norm = math.sqrt(square_of_mean), math.sqrt(sum_of_variances)
    return GradientNoise(
        name=name,
        numel=numel,
        mean_norm=mean_norm,
        std_norm=std_norm,
        variance=sum_of_variances / numel,
        signal_to_noise=mean_norm / std_norm if std_norm else math.inf if mean_norm else math.nan,
        cosine=math.fsum(cosines) / len(cosines),
    )


def _joint_cosine(running: Sequence[_Running]) -> float:
    """The cosine of the last two gradients of all parameters together."""
    product, before, last = (math.fsum(column) for column in zip(*(each.products for each in running), strict=True))
    return _cosine(product, before, last)


def _cosine(product: float, square: float, other_square: float) -> float:
    return product / math.sqrt(square * other_square) if square and other_square else math.nan
