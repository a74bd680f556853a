"""The tutorial's training step as a plain PyTorch script: what `gradcli step` is measured against.

    python benchmarks/pytorch_step.py WEIGHTS.pth

Builds a ResNet-18, loads WEIGHTS, runs one forward and backward pass of `(prediction - labels).sum()` on a
random 1x3x64x64 image, takes one SGD step and prints the loss as JSON. The model comes from the tests'
reference, which spares the script torchvision's import.
"""

from __future__ import annotations

import json
import sys
from pathlib import Path

import torch

sys.path.insert(0, str(Path(__file__).resolve().parents[1] / "tests"))
from reference.torch_resnet18 import resnet18


def main(weights: str) -> None:
    """Take the step and print its loss."""
    torch.manual_seed(0)
    model = resnet18()
    model.load_state_dict(torch.load(weights, weights_only=True))
    optimizer = torch.optim.SGD(model.parameters(), lr=1e-2, momentum=0.9)
    data = torch.rand(1, 3, 64, 64)
    labels = torch.rand(1, 1000)
    loss = (model(data) - labels).sum()
    loss.backward()
    optimizer.step()
    print(json.dumps({"step": 1, "loss": loss.item()}))


if __name__ == "__main__":
    if len(sys.argv) != 2:
        sys.exit("usage: python benchmarks/pytorch_step.py WEIGHTS.pth")
    main(sys.argv[1])
