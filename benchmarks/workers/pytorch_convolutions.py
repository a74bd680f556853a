"""Convolution worker for PyTorch, in its default layout and channels-last.

python -m workers.pytorch_convolutions --threads 2 --rounds 10
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import torch

from workers.convolution_case import Convolution, Task, argument_parser, serve_convolutions

LAYOUTS = {"PyTorch": torch.contiguous_format, "PyTorch channels-last": torch.channels_last}


def tasks_of(convolution: Convolution) -> Mapping[str, Task]:
    """A task for each layout: what its autograd calls."""
    stride, padding = [convolution.stride] * 2, [convolution.padding] * 2
    shapes = (
        (convolution.batch, convolution.channels, convolution.side, convolution.side),
        (convolution.out_channels, convolution.channels, convolution.kernel, convolution.kernel),
        (convolution.batch, convolution.out_channels, convolution.out_side, convolution.out_side),
    )

    def task(layout: torch.memory_format) -> Task:
        images, filters, grad = (torch.randn(shape).contiguous(memory_format=layout) for shape in shapes)
        wanted = [convolution.needs_image_gradient, True, False]

        def forward() -> Any:
            return torch.nn.functional.conv2d(images, filters, None, stride, padding)

        def gradients(_: Any) -> Any:
            return torch.ops.aten.convolution_backward(
                grad, images, filters, None, stride, padding, [1, 1], False, [0, 0], 1, wanted
            )

        return Task(forward, gradients)

    return {name: task(layout) for name, layout in LAYOUTS.items()}


def main() -> None:
    """Measure what is asked for."""
    arguments = argument_parser().parse_args()
    torch.set_num_threads(arguments.threads)
    serve_convolutions(f"PyTorch {torch.__version__}", tasks_of, arguments.rounds)


if __name__ == "__main__":
    main()
