"""The random transforms of augmentation, with torchvision's names, and its parameters and formulas where it has them.

A transform is a frozen dataclass that refuses senseless parameters with a UsageError and is called with a Pillow image
of mode L or RGB and the image's random numbers; those of `geometry` and `background` take transparent images too. Each
draws only what it needs, so one that is left out changes nothing for the others before it. Lengths are shares of the
image's sides, so that the same random numbers give the same picture at any size.
"""

from gradcli.data.transforms.background import RandomBackground
from gradcli.data.transforms.color import (
    ColorJitter,
    RandomChannelGain,
    RandomGrayscale,
    RandomInvert,
    turn_hue,
)
from gradcli.data.transforms.corruption import GaussianNoise, RandomErasing
from gradcli.data.transforms.geometry import RandomAffine, RandomHorizontalFlip, RandomResizedCrop

__all__ = [
    "ColorJitter",
    "GaussianNoise",
    "RandomAffine",
    "RandomBackground",
    "RandomChannelGain",
    "RandomErasing",
    "RandomGrayscale",
    "RandomHorizontalFlip",
    "RandomInvert",
    "RandomResizedCrop",
    "turn_hue",
]
