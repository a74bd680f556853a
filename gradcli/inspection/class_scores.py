"""The scores that a model gives the images of a data set, batch by batch, as it is used: in evaluation mode."""

from __future__ import annotations

from collections.abc import Generator, Sequence
from contextlib import closing

import numpy as np
from numpy.typing import NDArray

from gradcli.autograd import Tensor, no_grad
from gradcli.data.loader import Batch, Loader
from gradcli.errors import DivergedError
from gradcli.kernels.policy import Kernels, using_kernels
from gradcli.models import LoadedModel
from gradcli.training.passes import overflow_allowed, reason_for_non_finite


def class_scores(
    loaded: LoadedModel,
    loader: Loader,
    batches: Sequence[NDArray[np.int64]],
    *,
    kernels: Kernels = "fast",
    fill_to: int = 0,
) -> Generator[tuple[Batch, NDArray[np.float32]]]:
    """The batches of these positions in the loader's data set, and their scores (n, classes).

    The model is put into evaluation mode. A batch has fewer images than were asked for where some can't be read, none
    if that goes for all. With `fill_to`, batches of fewer images are computed as ones of so many, which makes an
    image's scores independent of how many came along with it. DivergedError names the first image with a score that is
    not finite.
    """
    loaded.model.eval()
    with closing(loader.batches(batches)) as loaded_batches:
        for batch in loaded_batches:
            count = len(batch)
            if count == 0:
                yield batch, np.empty((0, loaded.num_classes), np.float32)
                continue
            images = batch.images
            if count < fill_to:
                images = images[np.minimum(np.arange(fill_to), count - 1)]  # the last one again and again
            with no_grad(), overflow_allowed(), using_kernels(kernels):
                scores = loaded.model(Tensor(images)).array[:count]
            wrong = np.flatnonzero(~np.isfinite(scores).all(axis=1))
            if wrong.size:
                name = loader.dataset.name(int(batch.indices[wrong[0]]))
                raise DivergedError(f"the prediction for {name} is not finite: {reason_for_non_finite(loaded)}")
            yield batch, scores
