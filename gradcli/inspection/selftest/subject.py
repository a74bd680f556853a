"""The model and batch that a self-test is about, and passes through it."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray

from gradcli.autograd import Tensor
from gradcli.inspection.differences.vector_difference import joined, vector_difference
from gradcli.models import ResNet
from gradcli.nn import BatchNorm2d
from gradcli.nn.functional import cross_entropy
from gradcli.training.batch_norms import small_batches_explained
from gradcli.training.losses import sum_difference

Gradients = Mapping[str, NDArray[Any]]


@dataclass(frozen=True, kw_only=True)
class Subject:
    """A model with images (N, 3, H, W), labels for every score (N, classes), and a class for each image (N,)."""

    model: ResNet
    data: Tensor
    labels: Tensor
    classes: Tensor

    @contextmanager
    def restored(self) -> Iterator[None]:
        """Statistics may move and parameters freeze within; afterwards all is as before, without gradients."""
        buffers = {name: buffer.array.copy() for name, buffer in self.model.named_buffers()}
        trainable = {name: parameter.requires_grad for name, parameter in self.model.named_parameters()}
        mode = self.model.training
        try:
            yield
        finally:
            for name, buffer in self.model.named_buffers():
                buffer.array[...] = buffers[name]
            for name, parameter in self.model.named_parameters():
                parameter.requires_grad = trainable[name]
            self.model.zero_grad()
            self.model.train(mode)

    def gradients(self, *, mode: Literal["train", "eval"] = "train", labels: Tensor | None = None) -> Gradients:
        """The gradients of `(prediction - labels).sum()`, with other labels if given."""
        target = self.labels if labels is None else labels
        return self._gradients(lambda scores: sum_difference(scores, target), mode, slice(None))

    def cross_entropy_gradients(
        self, *, mode: Literal["train", "eval"] = "train", images: slice = slice(None), add: bool = False
    ) -> Gradients:
        """The gradients of the cross-entropy, summed over the images of the slice, added to those there with `add`."""
        classes = Tensor(self.classes.array[images])
        return self._gradients(lambda scores: cross_entropy(scores, classes, reduction="sum"), mode, images, add)

    def _gradients(
        self, loss: Callable[[Any], Any], mode: Literal["train", "eval"], images: slice, add: bool = False
    ) -> Gradients:
        self.model.train(mode == "train")
        if not add:
            self.model.zero_grad()
        data = Tensor(self.data.array[images])
        with small_batches_explained(data.shape, "use larger images (above 32 pixels)"):
            scores = self.model(data)
        loss(scores).backward()
        return {
            name: parameter.grad.array
            for name, parameter in self.model.named_parameters()
            if parameter.grad is not None
        }

    def statistics(self) -> dict[str, tuple[NDArray[Any], ...]]:
        """Copies of the running statistics of each batch norm, by its name."""
        return {
            name: tuple(buffer.array.copy() for _, buffer in module.named_buffers())
            for name, module in self.model.named_modules()
            if isinstance(module, BatchNorm2d)
        }


def differing(a: Gradients, b: Gradients) -> int:
    """How many gradients differ in any bit, or are on one side only; NaN differ from everything."""
    common = a.keys() & b.keys()
    return len(a.keys() ^ b.keys()) + sum(not np.array_equal(a[name], b[name]) for name in common)


def relative_difference(a: Gradients, b: Gradients) -> float:
    """|a - b| / |b| of all gradients as one vector, in double precision."""
    parts = []
    for name, expected in b.items():
        first, second = (array.astype(np.float64).ravel() for array in (a[name], expected))
        parts.append(vector_difference(first, second, first - second))
    return joined(parts).relative
