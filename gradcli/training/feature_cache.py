"""The features that the frozen part of a model gives for each image of a data set, computed once and kept."""

from __future__ import annotations

import hashlib
import json
import logging
import math
import shutil
from collections.abc import Callable, Generator, Mapping, Sequence
from contextlib import ExitStack, closing
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from gradcli import __version__
from gradcli.autograd import Tensor
from gradcli.data.loader import Loader
from gradcli.errors import DataError
from gradcli.hub.cache import home
from gradcli.kernels.policy import Kernels, using_kernels
from gradcli.training.feature_store import FeatureStore, MemoryStore, make_room, open_store
from gradcli.training.frozen_prefix import CutModel, cut_before_classifier
from gradcli.training.state_digests import combined_digest, tensor_digests

if TYPE_CHECKING:
    from gradcli.models import ResNet

logger = logging.getLogger(__name__)

DISK_LIMIT = 10 * 2**30
"""Bytes that all kept features may take."""
MEMORY_LIMIT = 2 * 2**30
"""Bytes that features may take that are not kept on disk."""

_PIXELS_PER_BATCH = 128 * 64 * 64  # measured: with more, a batch is hardly faster, and takes memory
_BATCH_SIZES = range(16, 257)


@dataclass(frozen=True)
class Features:
    """The features of a data set's images: of each, one for every view.

    `labels` (N,) are the data set's, `kept` the positions of the images that could be read, in order. `computed` is how
    many images' features were computed just now, over all views, and not found in the cache; `folders` is where they
    lie, a folder for each view, none where they are in memory only.
    """

    labels: NDArray[np.int64]
    kept: NDArray[np.int64]
    computed: int
    folders: tuple[Path, ...]
    _stored: tuple[NDArray[np.float32], ...]  # of each view, channels last
    _rows: NDArray[np.int64]  # where in these the images stand

    @property
    def views(self) -> int:
        """How many views of each image there are."""
        return len(self._stored)

    @property
    def shape(self) -> tuple[int, ...]:
        """The shape of the features of one image."""
        return _channels_first(self._stored[0][:0]).shape[1:]

    def __len__(self) -> int:
        return len(self._rows)

    def batch(self, positions: Sequence[int] | NDArray[np.int64], view: int = 0) -> NDArray[np.float32]:
        """The features (n, …) of the images at these positions in one view; those of an unreadable image are zeros.

        Maps of features (n, C, H, W) are channels last in memory.
        """
        return _channels_first(self._stored[view][self._rows[np.asarray(positions, np.int64)]])

    def subset(self, positions: NDArray[np.int64]) -> Features:
        """The features of the images at these positions, in that order."""
        kept = np.flatnonzero(np.isin(positions, self.kept))
        return replace(self, labels=self.labels[positions], kept=kept, _rows=self._rows[positions])


def features_folder() -> Path:
    """Where features are kept, in a folder each; it need not exist, and may be removed at any time."""
    return home() / "features"


def feature_batch_size(image_size: tuple[int, int]) -> int:
    """How many images of (height, width) pixels to compute features of at once: as many as is quick."""
    return min(max(_PIXELS_PER_BATCH // math.prod(image_size), _BATCH_SIZES.start), _BATCH_SIZES.stop - 1)


def cached_features(
    cut: CutModel,
    loader: Loader,
    *,
    views: int = 1,
    kernels: Kernels = "fast",
    keep: bool = True,
    limit: int | None = None,
    digests: Mapping[str, str] | None = None,
    on_batch: Callable[[int, int], None] = lambda done, total: None,
) -> Features | None:
    """The features of all images of the loader's data set, from the cache as far as they are there.

    With a loader that augments, `views` differently augmented ones of each image; otherwise there is one view. What the
    features depend on makes the key of the cache: the state of the prefix, the images, their preprocessing and
    augmentation, the kernels, the versions of gradcli and NumPy. `keep` off computes them all, in memory. None where
    they would take more than `limit` bytes, by default DISK_LIMIT on disk and MEMORY_LIMIT in memory; where the
    cache can't be written to, the log says so and memory is used. `digests` are those of the model's tensors, as far as
    they are known, by name, as `tensor_digests` gives them. `on_batch` is called with the numbers of images done
    and to do, over all views. An image that can't be read has no features, and is read again every time: the loader
    reports it, or refuses it. DataError where the data changed meanwhile, or no image can be read.

    An image's features don't depend on the images computed along with it nor on the number of threads, but by rounding
    on how many they are (5e-7 of the largest feature was found), and so, in the last batch, on the size of the data
    set. After an interruption the batches that were done are found in the cache.
    """
    dataset = loader.dataset
    views = views if loader.augmentation else 1
    row_shape = _channels_last(np.empty((0, *cut.feature_shape(dataset.preprocessing.size)), np.float32)).shape[1:]
    shape = (len(dataset), *row_shape)
    size = views * math.prod(shape) * np.dtype(np.float32).itemsize
    if limit is None:
        limit = DISK_LIMIT if keep else MEMORY_LIMIT
    if size > limit:
        return None
    state, description = _state_digest(cut, digests or {}), _description(cut, loader, kernels)
    progress = _Progress(views * len(dataset), on_batch)
    folders: list[Path] = []
    stored: list[NDArray[np.float32]] = []
    readable = np.ones(len(dataset), bool)
    for view in range(views):
        about = {**description, "view": view}
        key = hashlib.sha256((state + json.dumps(about, sort_keys=True)).encode()).hexdigest()
        with ExitStack() as stack:
            store: FeatureStore | MemoryStore = MemoryStore(shape)  # takes no memory before it is written to
            if keep:
                folder = features_folder() / key
                try:
                    make_room(features_folder(), size, limit, keep=folder)
                    store = stack.enter_context(
                        open_store(folder, shape, {"source": dataset.source, **about}, progress.tell)
                    )
                except (OSError, DataError) as error:
                    reason = f"{folder}: {error.strerror}" if isinstance(error, OSError) else error
                    logger.warning("features are not kept, but computed in memory: %s", reason)
                    if size > MEMORY_LIMIT:
                        return None
            _fill(store, cut, loader, view, kernels, progress)
            if store.folder is not None:
                folders.append(store.folder)
            stored.append(store.rows())
            readable[[row for block in store.blocks for row in block.empty]] = False
    if progress.computed and dataset.fingerprint() != description["data"]:
        for folder in folders:
            shutil.rmtree(folder, ignore_errors=True)
        raise DataError(f"{dataset.source}: changed while features of its images were computed; run again")
    if not readable.any():
        raise DataError(f"{dataset.source}: none of its {len(dataset)} images can be read")
    return Features(
        labels=dataset.labels,
        kept=np.flatnonzero(readable),
        computed=progress.computed,
        folders=tuple(folders),
        _stored=tuple(stored),
        _rows=np.arange(len(dataset)),
    )


def backbone_features(
    model: ResNet,
    loader: Loader,
    *,
    kernels: Kernels = "fast",
    keep: bool = True,
    on_batch: Callable[[int, int], None] = lambda done, total: None,
) -> Features:
    """The features that the model's classifier sees, of all images of the loader's data set, as `cached_features`.

    The model is put into evaluation mode. DataError for more images than there may be features of.
    """
    cut = cut_before_classifier(model)
    features = cached_features(cut, loader, kernels=kernels, keep=keep, on_batch=on_batch)
    if features is None:
        raise DataError(f"{loader.dataset.source}: the features of {len(loader.dataset)} images are too many to keep")
    return features


def computed_features(
    cut: CutModel, loader: Loader, batches: Sequence[NDArray[np.int64]], *, view: int = 0, kernels: Kernels = "fast"
) -> Generator[tuple[NDArray[np.int64], NDArray[np.float32]]]:
    """For each of the batches of positions: those whose images can be read, and their features (n, …).

    Where some can't, the batch is filled up, so that the others' features don't depend on that.
    """
    with closing(loader.batches(batches, view)) as loaded:
        for wanted, batch in zip(batches, loaded, strict=True):
            count = len(batch.indices)
            if count == 0:
                empty = (0, *cut.feature_shape(loader.dataset.preprocessing.size))
                yield batch.indices, np.empty(empty, np.float32)
                continue
            images = batch.images
            if count < len(wanted):
                images = images[np.minimum(np.arange(len(wanted)), count - 1)]  # the last one again and again
            with using_kernels(kernels):
                features = cut.prefix(Tensor(images)).array[:count]
            yield batch.indices, features


class _Progress:
    """Counts images done, and of these the ones whose features were computed and not found."""

    def __init__(self, total: int, on_batch: Callable[[int, int], None]) -> None:
        self.computed = 0
        self._done = 0
        self._total = total
        self._on_batch = on_batch

    def add(self, count: int, *, computed: bool) -> None:
        self._done += count
        self.computed += count if computed else 0
        if count:
            self.tell()

    def tell(self) -> None:
        """Say how far it is, also while another process computes; whoever is told may raise to end it."""
        self._on_batch(self._done, self._total)


def _fill(
    store: FeatureStore | MemoryStore,
    cut: CutModel,
    loader: Loader,
    view: int,
    kernels: Kernels,
    progress: _Progress,
) -> None:
    """Compute and write the blocks that are missing."""
    count, size = len(loader.dataset), feature_batch_size(loader.dataset.preprocessing.size)
    _forget_readable(store, loader, view)
    there = {(block.start, block.stop) for block in store.blocks}
    blocks = [(start, min(start + size, count)) for start in range(0, count, size)]
    missing = [block for block in blocks if block not in there]
    progress.add(sum(stop - start for start, stop in there), computed=False)
    results = computed_features(cut, loader, [np.arange(*block) for block in missing], view=view, kernels=kernels)
    with closing(results):
        for (start, stop), (readable, features) in zip(missing, results, strict=True):
            rows = np.zeros((stop - start, *store.shape[1:]), np.float32)
            rows[readable - start] = _channels_last(features)
            store.write(start, rows, tuple(sorted(set(range(start, stop)) - set(readable.tolist()))))
            progress.add(stop - start, computed=True)


def _forget_readable(store: FeatureStore | MemoryStore, loader: Loader, view: int) -> None:
    """Read the images again that could not be read when their blocks were computed; a block with one that can, goes."""
    suspects = np.array(sorted(row for block in store.blocks for row in block.empty), np.int64)
    if suspects.size:
        size = feature_batch_size(loader.dataset.preprocessing.size)
        batches = [suspects[start : start + size] for start in range(0, len(suspects), size)]
        readable = {int(row) for batch in loader.batches(batches, view) for row in batch.indices}
        store.forget([block for block in store.blocks if readable & set(block.empty)])


def _description(cut: CutModel, loader: Loader, kernels: Kernels) -> dict[str, Any]:
    """What features depend on, but for the prefix's numbers and the view, as values for JSON."""
    dataset, augmentation = loader.dataset, loader.augmentation
    return {
        "gradcli": __version__,
        "numpy": np.__version__,
        "images": len(dataset),
        "data": dataset.fingerprint(),
        "preprocessing": dataset.preprocessing.to_dict(),
        "augmentation": augmentation.to_dict() if augmentation else None,
        "seed": loader.seed if augmentation else None,
        "kernels": kernels,
        "batch_size": feature_batch_size(dataset.preprocessing.size),
        "stage": cut.stage,
    }


def _state_digest(cut: CutModel, known: Mapping[str, str]) -> str:
    state = cut.prefix_state()
    digests = {**known, **tensor_digests({name: array for name, array in state.items() if name not in known})}
    return combined_digest({f"{name} {state[name].dtype} {state[name].shape}": digests[name] for name in state})


def _channels_last(features: NDArray[np.float32]) -> NDArray[np.float32]:
    """Features as they are stored: the engine's memory order, so that nothing is moved on the way back."""
    return features.transpose(0, 2, 3, 1) if features.ndim == 4 else features  # (n, C, H, W) -> (n, H, W, C)


def _channels_first(rows: NDArray[np.float32]) -> NDArray[np.float32]:
    return rows.transpose(0, 3, 1, 2) if rows.ndim == 4 else rows  # (n, H, W, C) -> (n, C, H, W)
