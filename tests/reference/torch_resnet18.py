"""ResNet-18 in PyTorch, the reference that parity tests and benchmarks compare with.

Same modules, names, order of construction and initialisation as torchvision's resnet18 (He et al. 2015,
"Deep Residual Learning for Image Recognition"), so that a state dict moves between the two unchanged.
Only parity tests and benchmarks import this module, since it imports PyTorch.
"""

from __future__ import annotations

import torch
from torch import Tensor, nn


def conv3x3(in_channels: int, out_channels: int, stride: int = 1) -> nn.Conv2d:
    """A 3x3 convolution that keeps height and width, but for its stride."""
    return nn.Conv2d(in_channels, out_channels, kernel_size=3, stride=stride, padding=1, bias=False)


class BasicBlock(nn.Module):
    """Two 3x3 convolutions beside a shortcut: the input, projected by a 1x1 convolution if shapes change."""

    def __init__(self, in_channels: int, channels: int, stride: int, downsample: nn.Module | None) -> None:
        super().__init__()
        self.conv1 = conv3x3(in_channels, channels, stride)
        self.bn1 = nn.BatchNorm2d(channels)
        self.relu = nn.ReLU(inplace=True)
        self.conv2 = conv3x3(channels, channels)
        self.bn2 = nn.BatchNorm2d(channels)
        self.downsample = downsample

    def forward(self, input: Tensor) -> Tensor:
        """From (N, in_channels, H, W) to (N, channels, H / stride, W / stride)."""
        shortcut = input if self.downsample is None else self.downsample(input)
        hidden = self.relu(self.bn1(self.conv1(input)))
        output: Tensor = self.relu(self.bn2(self.conv2(hidden)) + shortcut)
        return output


def residual_layer(in_channels: int, channels: int, stride: int) -> nn.Sequential:
    """Two blocks, of which the first may change the number of channels and the resolution."""
    downsample = None
    if stride != 1 or in_channels != channels:
        # Built before the block, as in torchvision: the order decides which random numbers a weight gets.
        downsample = nn.Sequential(
            nn.Conv2d(in_channels, channels, kernel_size=1, stride=stride, bias=False),
            nn.BatchNorm2d(channels),
        )
    return nn.Sequential(
        BasicBlock(in_channels, channels, stride, downsample),
        BasicBlock(channels, channels, 1, None),
    )


class ResNet(nn.Module):
    """ResNet-18: a 7x7 convolution, a max pool, four residual layers, an average pool and a linear head."""

    def __init__(self, num_classes: int = 1000) -> None:
        super().__init__()
        self.conv1 = nn.Conv2d(3, 64, kernel_size=7, stride=2, padding=3, bias=False)
        self.bn1 = nn.BatchNorm2d(64)
        self.relu = nn.ReLU(inplace=True)
        self.maxpool = nn.MaxPool2d(kernel_size=3, stride=2, padding=1)
        self.layer1 = residual_layer(64, 64, stride=1)
        self.layer2 = residual_layer(64, 128, stride=2)
        self.layer3 = residual_layer(128, 256, stride=2)
        self.layer4 = residual_layer(256, 512, stride=2)
        self.avgpool = nn.AdaptiveAvgPool2d((1, 1))
        self.fc = nn.Linear(512, num_classes)
        for module in self.modules():
            if isinstance(module, nn.Conv2d):
                nn.init.kaiming_normal_(module.weight, mode="fan_out", nonlinearity="relu")

    def forward(self, input: Tensor) -> Tensor:
        """Logits of shape (N, num_classes) for images of shape (N, 3, H, W)."""
        hidden = self.maxpool(self.relu(self.bn1(self.conv1(input))))
        hidden = self.layer4(self.layer3(self.layer2(self.layer1(hidden))))
        logits: Tensor = self.fc(torch.flatten(self.avgpool(hidden), 1))
        return logits


def resnet18(num_classes: int = 1000) -> ResNet:
    """A freshly initialised ResNet-18; `torch.manual_seed` before the call decides its weights."""
    return ResNet(num_classes)


@torch.no_grad()
def randomize_batch_norm(model: nn.Module, seed: int) -> None:
    """Give every batch norm of `model` non-trivial running statistics and affine parameters.

    Fresh ones (mean 0, variance 1, weight 1, bias 0) hide a wrong formula. All are drawn anew, in place and
    in their own dtype, from a generator seeded with `seed`. Variances and weights stay within [0.5, 1.5], so
    that activations neither vanish nor blow up through 18 layers.
    """
    generator = torch.Generator().manual_seed(seed)
    for module in model.modules():
        if isinstance(module, nn.BatchNorm2d):
            assert module.running_mean is not None
            assert module.running_var is not None
            assert module.num_batches_tracked is not None
            module.weight.uniform_(0.5, 1.5, generator=generator)
            module.bias.normal_(0.0, 0.2, generator=generator)
            module.running_mean.normal_(0.0, 0.2, generator=generator)
            module.running_var.uniform_(0.5, 1.5, generator=generator)
            module.num_batches_tracked.random_(1, 1000, generator=generator)
