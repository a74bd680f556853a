"""How the batch norms of a model behave in a pass: mode, frozen statistics, batches too small for them."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING, Literal

from gradcli.errors import DataError
from gradcli.nn import BatchNorm2d

if TYPE_CHECKING:
    from gradcli.models import ResNet


def set_mode(model: ResNet, mode: Literal["train", "eval"] | None) -> None:
    """Put the model in training or evaluation mode.

    None is training with one exception: a batch norm whose own weight and bias are frozen uses its running
    statistics, so that a frozen layer does not change at all. `train` is PyTorch's meaning: the running statistics
    of frozen layers move too.
    """
    model.train(mode != "eval")
    if mode is None:
        for norm in _batch_norms(model):
            norm.training = _is_trainable(norm)


def moving_frozen_statistics(model: ResNet) -> int:
    """The number of batch norms that are frozen and whose running statistics move all the same."""
    return sum(norm.training and not _is_trainable(norm) for norm in _batch_norms(model))


def resting_frozen_statistics(model: ResNet) -> int:
    """The number of batch norms that are frozen and use and keep their running statistics in a model that trains."""
    return sum(not norm.training and not _is_trainable(norm) for norm in _batch_norms(model)) if model.training else 0


@contextmanager
def small_batches_explained(shape: tuple[int, ...], advice: str) -> Iterator[None]:
    """Turn batch norm's refusal of a batch (N, 3, H, W) with one value per channel into a DataError with `advice`."""
    try:
        yield
    except ValueError as error:
        if "more than 1 value per channel" not in str(error):
            raise
        count, _, height, width = shape
        raise DataError(
            f"a batch of {count} image of {height}x{width} leaves the last batch norms one value per channel, which "
            f"has no variance, in train mode; {advice}"
        ) from None


def _batch_norms(model: ResNet) -> list[BatchNorm2d]:
    return [module for module in model.modules() if isinstance(module, BatchNorm2d)]


def _is_trainable(norm: BatchNorm2d) -> bool:
    return any(parameter.requires_grad for parameter in norm.parameters())
