"""Training worker for gradcli.

python -m workers.gradcli --mode step --side 64 --batch 8 --weights resnet18.safetensors --threads 2 --kernels fast
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import gradcli
from gradcli import Tensor, nn, optim
from gradcli.models import ResNet, resnet18
from workers.training_case import (
    FEATURES,
    HEAD_CLASSES,
    LEARNING_RATE,
    LOSS_SCALE,
    MOMENTUM,
    TrainingCase,
    argument_parser,
    case_of,
    head_state,
)
from workers.turns import serve_turns


def make_run(case: TrainingCase, model: ResNet) -> Callable[[], Tensor]:
    """A function that takes one step, or one pass, of `case` with `model` and returns what was predicted."""
    images = gradcli.from_numpy(case.images())
    if case.mode == "step":
        labels = gradcli.from_numpy(case.labels())
        return make_step(model.train(), images, lambda prediction: (prediction - labels).sum() * LOSS_SCALE)
    model.eval()
    if case.mode == "frozen-step":
        classes = gradcli.from_numpy(case.class_indices())
        model.requires_grad_(False)
        model.fc = nn.Linear(FEATURES, HEAD_CLASSES)
        model.fc.load_state_dict({name: gradcli.from_numpy(array) for name, array in head_state().items()})
        return make_step(model, images, lambda prediction: nn.functional.cross_entropy(prediction, classes))
    if case.mode == "features":
        model.fc = nn.Identity()  # type: ignore[assignment]

    @gradcli.no_grad()
    def run() -> Tensor:
        output: Tensor = model(images)
        return output

    return run


def make_step(model: ResNet, images: Tensor, loss_of: Callable[[Any], Any]) -> Callable[[], Tensor]:
    """A function that takes one training step and returns the prediction."""
    optimizer = optim.SGD(model.parameters(), lr=LEARNING_RATE, momentum=MOMENTUM)

    def run() -> Tensor:
        optimizer.zero_grad()
        prediction: Tensor = model(images)
        loss_of(prediction).backward()
        optimizer.step()
        return prediction.detach()

    return run


def main() -> None:
    """Build the model once, then take turns."""
    parser = argument_parser()
    parser.add_argument("--kernels", choices=("exact", "fast"), required=True)
    arguments = parser.parse_args()
    gradcli.set_num_threads(arguments.threads)
    gradcli.set_kernels(arguments.kernels)
    model = resnet18(weights=arguments.weights)
    serve_turns(f"gradcli {gradcli.__version__}", make_run(case_of(arguments), model))


if __name__ == "__main__":
    main()
