"""The step or pass that a training worker measures: once for both, as gradcli and PyTorch have the same names."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from workers.training_case import (
    FEATURES,
    HEAD_CLASSES,
    LEARNING_RATE,
    LOSS_SCALE,
    MOMENTUM,
    TrainingCase,
    head_state,
)


def make_run(library: Any, case: TrainingCase, model: Any, images: Any) -> Callable[[], Any]:
    """A function that takes one step, or one pass, of `case` with `model` and returns what was predicted.

    `library` is the module gradcli or torch; `model` and `images`, a batch of those of `case`, are of its types.
    """
    if case.mode == "step":
        labels = library.from_numpy(case.labels())
        return make_step(library, model.train(), images, lambda prediction: (prediction - labels).sum() * LOSS_SCALE)
    model.eval()
    if case.mode == "frozen-step":
        classes = library.from_numpy(case.class_indices())
        model.requires_grad_(False)
        model.fc = library.nn.Linear(FEATURES, HEAD_CLASSES)
        model.fc.load_state_dict({name: library.from_numpy(array) for name, array in head_state().items()})
        return make_step(
            library, model, images, lambda prediction: library.nn.functional.cross_entropy(prediction, classes)
        )
    if case.mode == "features":
        model.fc = library.nn.Identity()

    def run() -> Any:
        with library.no_grad():
            return model(images)

    return run


def make_step(library: Any, model: Any, images: Any, loss_of: Callable[[Any], Any]) -> Callable[[], Any]:
    """A function that takes one training step and returns the prediction."""
    optimizer = library.optim.SGD(model.parameters(), lr=LEARNING_RATE, momentum=MOMENTUM)

    def run() -> Any:
        optimizer.zero_grad()
        prediction = model(images)
        loss_of(prediction).backward()
        optimizer.step()
        return prediction.detach()

    return run
