"""ResNet-18 (He et al., "Deep Residual Learning for Image Recognition", 2015), as torchvision builds it.

Names, shapes and order of parameters and buffers are torchvision's, and so are the initial values for a seed.
"""

from __future__ import annotations

from typing import Any, ClassVar

from gradcli import nn
from gradcli.autograd import Tensor
from gradcli.deferred import puts_off
from gradcli.models.stages import Stage, run_stages
from gradcli.nn import init
from gradcli.nn.inference import conv_bn, conv_bn_relu, conv_bn_relu_pool


def _conv3x3(in_planes: int, out_planes: int, stride: int = 1) -> nn.Conv2d:
    return nn.Conv2d(in_planes, out_planes, kernel_size=3, stride=stride, padding=1, bias=False)


class BasicBlock(nn.Module):
    """Two 3x3 convolutions and the shortcut past them; `downsample` fits the shortcut to another size."""

    def __init__(self, inplanes: int, planes: int, stride: int = 1, downsample: nn.Module | None = None) -> None:
        super().__init__()
        self.conv1 = _conv3x3(inplanes, planes, stride)
        self.bn1 = nn.BatchNorm2d(planes)
        self.relu = nn.ReLU(inplace=True)
        self.conv2 = _conv3x3(planes, planes)
        self.bn2 = nn.BatchNorm2d(planes)
        self.downsample = downsample
        self.stride = stride

    @puts_off
    def forward(self, x: Tensor) -> Any:
        shortcut = x if self.downsample is None else conv_bn(self.downsample, x)
        out = conv_bn_relu(self.conv1, self.bn1, self.relu, x)
        return conv_bn_relu(self.conv2, self.bn2, self.relu, out, shortcut)


class ResNet(nn.Module):
    """A stem, four stages of residual blocks that double the channels and halve the map, and a linear classifier."""

    classifier_name: ClassVar[str] = "fc"

    def __init__(self, blocks: tuple[int, int, int, int], num_classes: int = 1000) -> None:
        super().__init__()
        # The layers' own initial values would be drawn over below; drawn they must be, for the numbers after them.
        with init.values_discarded():
            self.conv1 = nn.Conv2d(3, 64, kernel_size=7, stride=2, padding=3, bias=False)
            self.bn1 = nn.BatchNorm2d(64)
            self.relu = nn.ReLU(inplace=True)
            self.maxpool = nn.MaxPool2d(kernel_size=3, stride=2, padding=1)
            self.layer1 = _stage(64, 64, blocks[0], stride=1)
            self.layer2 = _stage(64, 128, blocks[1], stride=2)
            self.layer3 = _stage(128, 256, blocks[2], stride=2)
            self.layer4 = _stage(256, 512, blocks[3], stride=2)
        self.avgpool = nn.AdaptiveAvgPool2d((1, 1))
        self.fc = nn.Linear(512, num_classes)
        for module in self.modules():
            if isinstance(module, nn.Conv2d):
                init.kaiming_normal_(module.weight, mode="fan_out", nonlinearity="relu")

    def forward(self, x: Tensor) -> Any:
        """Class scores (N, num_classes) of images (N, 3, H, W)."""
        return run_stages(self.stages(), x)

    def stages(self) -> list[Stage]:
        """What a pass goes through, in order."""
        stem = {"conv1": self.conv1, "bn1": self.bn1, "relu": self.relu, "maxpool": self.maxpool}
        return [
            Stage("stem", stem, self._stem),
            Stage("layer1", {"layer1": self.layer1}, self.layer1),
            Stage("layer2", {"layer2": self.layer2}, self.layer2),
            Stage("layer3", {"layer3": self.layer3}, self.layer3),
            Stage("layer4", {"layer4": self.layer4}, self.layer4),
            Stage("avgpool", {"avgpool": self.avgpool}, self._pooled),
            Stage("fc", {"fc": self.fc}, self.fc),
        ]

    def _stem(self, x: Tensor) -> Any:
        return conv_bn_relu_pool(self.conv1, self.bn1, self.relu, self.maxpool, x)

    def _pooled(self, x: Tensor) -> Any:
        return self.avgpool(x).flatten(1)


def _stage(inplanes: int, planes: int, blocks: int, stride: int) -> nn.Sequential:
    downsample = None
    if stride != 1 or inplanes != planes:
        downsample = nn.Sequential(
            nn.Conv2d(inplanes, planes, kernel_size=1, stride=stride, bias=False), nn.BatchNorm2d(planes)
        )
    first = BasicBlock(inplanes, planes, stride, downsample)
    return nn.Sequential(first, *(BasicBlock(planes, planes) for _ in range(1, blocks)))


def build_resnet18(num_classes: int = 1000) -> ResNet:
    """A ResNet-18 whose values are drawn from the default generator, as torchvision draws them."""
    return ResNet((2, 2, 2, 2), num_classes)
