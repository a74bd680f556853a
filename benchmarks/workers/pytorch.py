"""Training worker for PyTorch, in its default layout or channels-last.

python -m workers.pytorch --mode step --side 64 --batch 8 --weights resnet18.pth --threads 2 [--channels-last]
"""

from __future__ import annotations

from collections.abc import Callable

import torch
from reference.torch_resnet18 import ResNet, resnet18
from torch import Tensor, nn

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


def make_run(case: TrainingCase, model: ResNet, memory_format: torch.memory_format) -> Callable[[], Tensor]:
    """A function that takes one step, or one pass, of `case` with `model` and returns what was predicted."""
    images = torch.from_numpy(case.images()).contiguous(memory_format=memory_format)
    if case.mode == "step":
        labels = torch.from_numpy(case.labels())
        return make_step(model.train(), images, lambda prediction: (prediction - labels).sum() * LOSS_SCALE)
    model.eval()
    if case.mode == "frozen-step":
        classes = torch.from_numpy(case.class_indices())
        model.requires_grad_(False)
        model.fc = nn.Linear(FEATURES, HEAD_CLASSES)
        model.fc.load_state_dict({name: torch.from_numpy(array) for name, array in head_state().items()})
        return make_step(model, images, lambda prediction: nn.functional.cross_entropy(prediction, classes))
    if case.mode == "features":
        model.fc = nn.Identity()  # type: ignore[assignment]

    @torch.no_grad()
    def run() -> Tensor:
        output: Tensor = model(images)
        return output

    return run


def make_step(model: ResNet, images: Tensor, loss_of: Callable[[Tensor], Tensor]) -> Callable[[], Tensor]:
    """A function that takes one training step and returns the prediction."""
    optimizer = torch.optim.SGD(model.parameters(), lr=LEARNING_RATE, momentum=MOMENTUM)

    def run() -> Tensor:
        optimizer.zero_grad()
        prediction: Tensor = model(images)
        loss_of(prediction).backward()  # type: ignore[no-untyped-call]
        optimizer.step()
        return prediction.detach()

    return run


def main() -> None:
    """Build the model once, then take turns."""
    parser = argument_parser()
    parser.add_argument("--channels-last", action="store_true")
    arguments = parser.parse_args()
    torch.set_num_threads(arguments.threads)
    memory_format = torch.channels_last if arguments.channels_last else torch.contiguous_format
    model = resnet18()
    model.load_state_dict(torch.load(arguments.weights, weights_only=True))
    model = model.to(memory_format=memory_format)  # type: ignore[call-overload]  # missing from its stubs
    serve_turns(f"PyTorch {torch.__version__}", make_run(case_of(arguments), model, memory_format))


if __name__ == "__main__":
    main()
