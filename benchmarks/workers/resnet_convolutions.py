"""The different convolutions of a ResNet-18, and which algorithms gradcli has for each.

python -m workers.resnet_convolutions SIDE:BATCH...

prints a JSON list: each with its fields (see `convolution_case.Convolution`), the names of the algorithms that support
it and, by kernels, of the chosen one.
"""

from __future__ import annotations

import json
import sys
from dataclasses import asdict
from typing import Any

from gradcli import no_grad, zeros
from gradcli.kernels.convolution_choice import choose_algorithm
from gradcli.models import resnet18
from gradcli.nn import Conv2d
from workers.convolution_case import Convolution
from workers.gradcli_convolutions import algorithm_name, geometry_of, supporting


def convolutions_of(side: int, batch: int) -> list[Convolution]:
    """The convolutions that a batch of square images meets, in the order of their first layers."""
    layers: dict[tuple[int, ...], list[str]] = {}
    model = resnet18().eval()
    for name, module in model.named_modules():
        if isinstance(module, Conv2d):

            def record(module: Any, args: tuple[Any, ...], result: Any, name: str = name) -> None:
                sizes = args[0].shape[3], module.in_channels, module.out_channels
                window = module.kernel_size[0], module.stride[0], module.padding[0]
                layers.setdefault((*sizes, *window), []).append(name)

            module.register_forward_hook(record)
    with no_grad():
        model(zeros(1, 3, side, side))
    return [Convolution(tuple(names), batch, *sizes) for sizes, names in layers.items()]


def main() -> None:
    """Print the list for the sizes on the command line."""
    described = []
    for side, batch in (map(int, text.split(":")) for text in sys.argv[1:]):
        for convolution in convolutions_of(side, batch):
            geometry = geometry_of(convolution)
            described.append(
                {
                    "size": f"{side}:{batch}",
                    "convolution": asdict(convolution),
                    "algorithms": [algorithm_name(each) for each in supporting(geometry)],
                    "chosen": {
                        "exact": algorithm_name(choose_algorithm(geometry, "exact")),
                        "fast": algorithm_name(choose_algorithm(geometry, "fast")),
                    },
                }
            )
    print(json.dumps(described))


if __name__ == "__main__":
    main()
