"""How many multiply-adds one image costs in each mode, counted for direct convolution.

python -m workers.multiply_adds SIDE...

prints a JSON object: side, then mode. The counts are the work that the layers ask for, whatever algorithm does it.
"""

from __future__ import annotations

import json
import sys

from gradcli.inspection.summary import summarize
from gradcli.models import resnet18
from workers.training_case import FEATURES, HEAD_CLASSES


def multiply_adds_by_mode(side: int) -> dict[str, int]:
    """Multiply-adds of convolutions and linear layers for one image of `side` x `side` pixels, by mode."""
    layers = {layer.name: layer.multiply_adds for layer in summarize(resnet18(), (1, 3, side, side)).layers}
    forward = sum(layers.values())
    backbone = forward - layers["fc"]
    head = FEATURES * HEAD_CLASSES
    return {
        # The input's gradient and the weight's gradient cost as much as the forward pass; nobody asks for the images'.
        "step": 3 * forward - layers["conv1"],
        # The new head has a forward pass and a weight gradient; its input needs none.
        "frozen-step": backbone + 2 * head,
        "eval": forward,
        "features": backbone,
    }


if __name__ == "__main__":
    print(json.dumps({side: multiply_adds_by_mode(int(side)) for side in sys.argv[1:]}))
