"""A model cut in two where training begins: stages that stay as they are, and the rest."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

import numpy as np

from gradcli.autograd import Tensor, no_grad
from gradcli.models.stages import Stage, run_stages, split_into_blocks
from gradcli.nn import BatchNorm2d

if TYPE_CHECKING:
    from gradcli.models import ResNet


class CutModel:
    """A model's stages in two parts: `rest(prefix(images))` is what the model computes.

    Both parts are made of the model's own modules, in the modes that those have. `stage` is the name of the first stage
    of the rest.
    """

    def __init__(self, model: ResNet, prefix: Sequence[Stage], rest: Sequence[Stage]) -> None:
        self.model = model
        self.stage = rest[0].name
        self._prefix = list(prefix)
        self._rest = list(rest)

    @no_grad()
    def prefix(self, images: Tensor) -> Any:
        """The features (N, …) of images (N, 3, H, W), without a graph: backward through `rest` ends at them."""
        return run_stages(self._prefix, images)

    def rest(self, features: Tensor) -> Any:
        """Class scores (N, num_classes) of features."""
        return run_stages(self._rest, features)

    def feature_shape(self, image_size: tuple[int, int]) -> tuple[int, ...]:
        """The shape of the features of one image of (height, width) pixels, found out with a batch of none."""
        return tuple(self.prefix(Tensor(np.zeros((0, 3, *image_size), np.float32))).shape[1:])

    def prefix_state(self) -> dict[str, np.ndarray[Any, Any]]:
        """The parameters and buffers that features depend on, by their names in the model."""
        return {name: tensor.array for stage in self._prefix for name, tensor in stage.named_state()}


def cut_model(model: ResNet) -> CutModel | None:
    """Cut the model before the first stage that a training step changes, as parameters and modes are now.

    A stage stays as it is if its parameters are frozen and its batch norms use their running statistics. Blocks are
    stages of their own, and the classifier always belongs to the rest. None if the first stage changes already.
    """
    stages = split_into_blocks(model.stages())
    count = next((position for position, stage in enumerate(stages[:-1]) if not _stays(stage)), len(stages) - 1)
    return CutModel(model, stages[:count], stages[count:]) if count else None


def cut_before_classifier(model: ResNet) -> CutModel:
    """Put the model into evaluation mode and cut it before its classifier, whatever trains."""
    model.eval()
    stages = split_into_blocks(model.stages())
    return CutModel(model, stages[:-1], stages[-1:])


def _stays(stage: Stage) -> bool:
    return not any(parameter.requires_grad for _, parameter in stage.named_parameters()) and not any(
        isinstance(module, BatchNorm2d) and module.training for _, module in stage.named_modules()
    )
