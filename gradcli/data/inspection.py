"""What a data set holds, image by image: counts, sizes, modes, and what is wrong with it."""

from __future__ import annotations

import hashlib
import warnings
from collections import Counter
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from typing import Final, NamedTuple

import numpy as np

from gradcli.data.dataset import ArrayDataset, Dataset, FileDataset
from gradcli.data.images import decode_image
from gradcli.errors import DataError
from gradcli.kernels.threads import get_num_threads

_IMAGES_PER_TASK: Final = 16


@dataclass(frozen=True, kw_only=True)
class ClassCounts:
    """How many images a class has in each split; None for a split that the data hasn't."""

    name: str
    train: int
    validation: int | None
    test: int | None


@dataclass(frozen=True, kw_only=True)
class ImageSize:
    """A size in pixels, upright, and how many images have it."""

    width: int
    height: int
    images: int


@dataclass(frozen=True, kw_only=True)
class UnreadableImage:
    """An image that can't be decoded, and why."""

    path: str
    split: str
    reason: str


@dataclass(frozen=True, kw_only=True)
class FoundImage:
    """One of several images that are the same."""

    path: str
    split: str
    class_name: str


@dataclass(frozen=True, kw_only=True)
class Duplicates:
    """Images with the same bytes: of files the files', else the pixels'."""

    images: tuple[FoundImage, ...]
    across_splits: bool
    """Whether one is trained on and another one validates or tests."""
    across_classes: bool
    """Whether they have different labels."""


@dataclass(frozen=True, kw_only=True)
class DatasetReport:
    """What `inspect_dataset` finds.

    `splits` counts the images of each split, `modes` those of each of Pillow's modes (`L` is grey; files' are those
    they are stored in). The sizes are None if no image can be decoded. `imbalance` is the largest class of the
    training part over its smallest, None if that is empty.
    """

    source: str
    splits: dict[str, int]
    classes: tuple[ClassCounts, ...]
    imbalance: float | None
    distinct_sizes: int
    most_common_size: ImageSize | None
    smallest_size: ImageSize | None
    largest_size: ImageSize | None
    modes: dict[str, int]
    unreadable: tuple[UnreadableImage, ...]
    duplicates: tuple[Duplicates, ...]
    fingerprint: str

    @property
    def images(self) -> int:
        """How many images there are in all splits."""
        return sum(self.splits.values())


class _ImageFacts(NamedTuple):
    """What one image comes to; `reason` is set if it can't be decoded, and the rest then means nothing."""

    digest: bytes = b""
    size: tuple[int, int] = (0, 0)
    mode: str = ""
    reason: str | None = None


def inspect_dataset(dataset: Dataset, on_images: Callable[[int], None] = lambda count: None) -> DatasetReport:
    """Decode every image of all splits, in gradcli's number of threads, and report what the data set holds.

    `on_images` is called in the caller's thread each time some more images were looked at, with their number. An image
    that can't be decoded is part of the report and no error.
    """
    splits = dataset.splits()
    unreadable: list[UnreadableImage] = []
    sizes: Counter[tuple[int, int]] = Counter()
    modes: Counter[str] = Counter()
    places: dict[bytes, list[tuple[str, int]]] = {}
    for split, part in splits.items():
        index = 0
        for facts_of_some in _facts(part):
            for facts in facts_of_some:
                if facts.reason is not None:
                    unreadable.append(UnreadableImage(path=part.name(index), split=split, reason=facts.reason))
                else:
                    sizes[facts.size] += 1
                    modes[facts.mode] += 1
                    places.setdefault(facts.digest, []).append((split, index))
                index += 1
            on_images(len(facts_of_some))
    counts = {split: np.bincount(part.labels, minlength=len(dataset.classes)) for split, part in splits.items()}
    smallest = int(counts["train"].min())
    by_area = sorted(sizes, key=lambda size: (size[0] * size[1], size))
    return DatasetReport(
        source=dataset.source,
        splits={split: len(part) for split, part in splits.items()},
        classes=tuple(
            ClassCounts(
                name=name,
                train=int(counts["train"][label]),
                validation=int(counts["validation"][label]) if "validation" in counts else None,
                test=int(counts["test"][label]) if "test" in counts else None,
            )
            for label, name in enumerate(dataset.classes)
        ),
        imbalance=int(counts["train"].max()) / smallest if smallest else None,
        distinct_sizes=len(sizes),
        most_common_size=_size(max(by_area, key=lambda size: sizes[size]), sizes) if by_area else None,
        smallest_size=_size(by_area[0], sizes) if by_area else None,
        largest_size=_size(by_area[-1], sizes) if by_area else None,
        modes=dict(modes.most_common()),
        unreadable=tuple(unreadable),
        duplicates=tuple(_duplicates(found, splits) for found in places.values() if len(found) > 1),
        fingerprint=dataset.fingerprint(),
    )


def _size(size: tuple[int, int], sizes: Counter[tuple[int, int]]) -> ImageSize:
    return ImageSize(width=size[0], height=size[1], images=sizes[size])


def _duplicates(found: list[tuple[str, int]], splits: dict[str, Dataset]) -> Duplicates:
    images = tuple(
        FoundImage(
            path=splits[split].name(index),
            split=split,
            class_name=splits[split].classes[splits[split].labels[index]],
        )
        for split, index in found
    )
    return Duplicates(
        images=images,
        across_splits=len({image.split for image in images}) > 1,
        across_classes=len({image.class_name for image in images}) > 1,
    )


def _facts(dataset: Dataset) -> Iterator[list[_ImageFacts]]:
    """The facts of all images in order, some at a time."""
    if isinstance(dataset, ArrayDataset):
        facts_of = _array_facts(dataset)
    elif isinstance(dataset, FileDataset):
        facts_of = _file_facts(dataset)
    else:
        raise TypeError(f"a {type(dataset).__name__} can't be inspected; inspect the data set it is a part of")

    def task(start: int) -> list[_ImageFacts]:
        return [facts_of(index) for index in range(start, min(start + _IMAGES_PER_TASK, len(dataset)))]

    executor = ThreadPoolExecutor(get_num_threads())
    try:
        # Here and not in the threads, which would restore each other's filters.
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # Pillow warns of odd metadata in files it decodes well
            yield from executor.map(task, range(0, len(dataset), _IMAGES_PER_TASK))
    finally:
        executor.shutdown(cancel_futures=True)


def _array_facts(dataset: ArrayDataset) -> Callable[[int], _ImageFacts]:
    height, width = dataset.pixels.shape[1:3]
    mode = {(): "L", (3,): "RGB", (4,): "RGBA"}[dataset.pixels.shape[3:]]

    def facts(index: int) -> _ImageFacts:
        content = np.ascontiguousarray(dataset.pixels[index])
        return _ImageFacts(hashlib.sha256(content.data).digest(), (width, height), mode)

    return facts


def _file_facts(dataset: FileDataset) -> Callable[[int], _ImageFacts]:
    from PIL import Image

    def facts(index: int) -> _ImageFacts:
        path = dataset.name(index)
        try:
            size = decode_image(path).size
            with Image.open(path) as image:
                mode = image.mode
            with open(path, "rb") as stream:
                return _ImageFacts(hashlib.file_digest(stream, "sha256").digest(), size, mode)
        except DataError as error:
            return _ImageFacts(reason=str(error).removeprefix(f"{path}: "))
        except OSError as error:  # it was there a moment ago
            return _ImageFacts(reason=error.strerror or str(error))

    return facts
