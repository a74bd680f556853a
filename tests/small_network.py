"""A narrow network with the stages of a ResNet, in a pass of its own: fast enough for hundreds of passes in a test."""

from __future__ import annotations

from typing import Any

import numpy as np

from gradcli import nn
from gradcli.autograd import Tensor
from gradcli.models import LoadedModel
from gradcli.models.stages import Stage, run_stages
from gradcli.training.passes import Pass, PassSettings


class SmallNetwork(nn.Module):
    """Convolution, batch norm, ReLU, max pooling and a linear classifier."""

    classifier_name = "fc"

    def __init__(self) -> None:
        super().__init__()
        self.conv1 = nn.Conv2d(3, 4, kernel_size=3, padding=1, bias=False)
        self.bn1 = nn.BatchNorm2d(4)
        self.relu = nn.ReLU(inplace=True)
        self.maxpool = nn.MaxPool2d(2)
        self.fc = nn.Linear(4 * 3 * 3, 5)

    def forward(self, x: Tensor) -> Any:
        return run_stages(self.stages(), x)

    def stages(self) -> list[Stage]:
        stem = {"conv1": self.conv1, "bn1": self.bn1, "relu": self.relu, "maxpool": self.maxpool}
        return [
            Stage("stem", stem, lambda x: self.maxpool(self.relu(self.bn1(self.conv1(x)))).flatten(1)),
            Stage("fc", {"fc": self.fc}, self.fc),
        ]


def small_pass(**settings: Any) -> Pass:
    """A pass of two images of 6x6 through the small network, with values from a generator of its own."""
    generator = np.random.default_rng(4)
    model: Any = SmallNetwork()
    for parameter in model.parameters():
        parameter.array[...] = generator.normal(0.2, 0.5, parameter.shape)
    data = Tensor(generator.normal(size=(2, 3, 6, 6)).astype(np.float32))
    return Pass(PassSettings(**settings), LoadedModel(model, "small"), data, ["one", "two"])
