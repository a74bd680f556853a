"""Batches of images, decoded, augmented and preprocessed by worker threads ahead of the caller."""

from __future__ import annotations

import logging
import time
from collections import defaultdict, deque
from collections.abc import Generator, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from gradcli.data.augmentation import Augmentation
from gradcli.data.dataset import Dataset
from gradcli.data.images import check_aspect
from gradcli.data.preprocessing import Preprocessing, normalise_channels_last
from gradcli.errors import DataError
from gradcli.kernels import memory
from gradcli.kernels.threads import get_num_threads

logger = logging.getLogger(__name__)

_BATCHES_AHEAD = 2
_PIECE_SECONDS = 0.02  # what a worker is handed at a time: short enough to stop at, long beside the handing over
_FIRST_PIECE = 16  # images, while nothing is known of how long they take


@dataclass(frozen=True)
class Batch:
    """Some images of a data set: (n, 3, H, W) float32, with their labels and positions in it, int64 of shape (n,)."""

    images: NDArray[np.float32]
    labels: NDArray[np.int64]
    indices: NDArray[np.int64]

    def __len__(self) -> int:
        return len(self.indices)


class Loader:
    """Loads batches of a data set in worker threads, two batches ahead of the caller.

    What a batch holds depends on the data, the augmentation, the seed and the view alone, not on
    `workers`: None stands for as many as there are compute threads, and with 0 the caller loads each
    batch itself when it asks for it. Pillow and NumPy let other threads run while they decode,
    resize and compute.

    An image that can't be read is left out of its batch and from then on; `skipped` tells its name
    and the reason, and it is logged once. With `strict` it is a DataError instead, which reaches the
    caller in the place of the image's batch, as any other exception of a worker does.
    """

    def __init__(
        self,
        dataset: Dataset,
        *,
        workers: int | None = None,
        augmentation: Augmentation | None = None,
        seed: int = 0,
        strict: bool = False,
    ) -> None:
        if workers is not None and workers < 0:
            raise ValueError(f"workers {workers}: expected 0 or more")
        self.dataset = dataset
        self.workers = get_num_threads() if workers is None else workers
        self.augmentation = augmentation or None  # one without transforms is none
        self.seed = seed
        self.strict = strict
        self.skipped: dict[str, str] = {}
        self._unreadable: defaultdict[tuple[int, int], set[int]] = defaultdict(set)  # by the size asked for
        self._seconds_per_image: float | None = None

    def batches(
        self,
        batches: Sequence[NDArray[np.int64]],
        view: int = 0,
        preprocessings: Sequence[Preprocessing] | None = None,
    ) -> Generator[Batch, None, None]:
        """The batches of these positions in the data set, one for each, in this order.

        `view` tells one augmented copy of the data from the next: the epoch, say. `preprocessings`,
        one for each batch, take the place of the data set's own. A batch is empty if none of its
        images can be read. The threads end with the generator: when it is exhausted, raises or is
        closed. Who may leave it early holds it in `contextlib.closing`.
        """
        datasets = [self.dataset] * len(batches)
        if preprocessings is not None:
            under = {each: self.dataset.with_preprocessing(each) for each in set(preprocessings)}
            datasets = [under[each] for each in preprocessings]
        if self.workers == 0:
            for indices, dataset in zip(batches, datasets, strict=True):
                pieces = self._pieces(indices, dataset)
                yield self._batch([self._part(piece, dataset, view) for piece in pieces], dataset)
            return
        executor = ThreadPoolExecutor(self.workers, thread_name_prefix="gradcli-loader")
        ahead: deque[tuple[list[Future[_Part]], Dataset]] = deque()
        try:
            for indices, dataset in zip(batches, datasets, strict=True):
                parts = [executor.submit(self._part, piece, dataset, view) for piece in self._pieces(indices, dataset)]
                ahead.append((parts, dataset))
                if len(ahead) > _BATCHES_AHEAD:
                    yield self._finished(*ahead.popleft())
            while ahead:
                yield self._finished(*ahead.popleft())
        finally:
            executor.shutdown(cancel_futures=True)

    def _pieces(self, indices: NDArray[np.int64], dataset: Dataset) -> list[NDArray[np.int64]]:
        """A batch in pieces that workers take one by one, without the images known to be unreadable."""
        unreadable = self._unreadable[dataset.preprocessing.size]
        if unreadable:
            indices = indices[[int(index) not in unreadable for index in indices]]
        size = _FIRST_PIECE if self._seconds_per_image is None else int(_PIECE_SECONDS / self._seconds_per_image)
        return [indices[start : start + max(1, size)] for start in range(0, len(indices), max(1, size))]

    def _part(self, indices: NDArray[np.int64], dataset: Dataset, view: int) -> _Part:
        """Load a piece of a batch; runs in a worker."""
        start = time.perf_counter()
        part = self._readable(indices, dataset, view)
        self._seconds_per_image = (time.perf_counter() - start) / len(indices)
        return part

    def _readable(self, indices: NDArray[np.int64], dataset: Dataset, view: int) -> _Part:
        try:
            return _Part(self._images(indices, dataset, view), indices, {})
        except DataError:
            if self.strict:
                raise
        images, failures = [], {}
        for index in indices:
            try:
                images.append(self._images(index[None], dataset, view))
            except DataError as error:
                failures[int(index)] = str(error)
        readable = np.array([int(index) not in failures for index in indices])
        return _Part(_concatenated(images, dataset), indices[readable], failures)

    def _images(self, indices: NDArray[np.int64], dataset: Dataset, view: int) -> NDArray[np.float32]:
        if self.augmentation is None:
            return dataset.images(indices)
        preprocessing = dataset.preprocessing
        pixels = []
        for index in map(int, indices):
            image = dataset.image(index)
            if self.augmentation.random_resized_crop is None:
                check_aspect(image, preprocessing, dataset.name(index))
            pixels.append(
                self.augmentation.apply_to_pixels(image, preprocessing, seed=self.seed, view=view, index=index)
            )
        if len({image.ndim for image in pixels}) > 1:  # grey ones among coloured ones
            pixels = [image if image.ndim == 3 else np.repeat(image[..., None], 3, axis=2) for image in pixels]
        return normalise_channels_last(np.stack(pixels), preprocessing)

    def _finished(self, parts: list[Future[_Part]], dataset: Dataset) -> Batch:
        return self._batch([part.result() for part in parts], dataset)

    def _batch(self, parts: list[_Part], dataset: Dataset) -> Batch:
        """Put a batch together from its parts, in order, and note the images left out; runs in the caller."""
        for index, message in ((index, message) for part in parts for index, message in part.failures.items()):
            self._unreadable[dataset.preprocessing.size].add(index)
            name = dataset.name(index)
            if name not in self.skipped:
                self.skipped[name] = message.removeprefix(f"{name}: ")
                logger.warning("%s; left out", message.replace("\n", r"\n"))  # a file's name may hold line breaks
        indices = np.concatenate([np.empty(0, dtype=np.int64), *(part.indices for part in parts)])
        return Batch(_concatenated([part.images for part in parts], dataset), dataset.labels[indices], indices)


@dataclass(frozen=True)
class _Part:
    """A piece of a batch without its unreadable images, which are told by position with what was wrong."""

    images: NDArray[np.float32]
    indices: NDArray[np.int64]
    failures: dict[int, str]


def _concatenated(images: list[NDArray[np.float32]], dataset: Dataset) -> NDArray[np.float32]:
    if len(images) == 1:
        return images[0]
    # Memory that is used again, batch after batch: to touch fresh memory takes several times what the copy does.
    batch = memory.empty((sum(map(len, images)), 3, *dataset.preprocessing.size), np.float32)
    return np.concatenate(images, out=batch) if images else batch
