"""Transforms that change colours, each pixel by itself: jitter, gain of each channel, grey, negative."""

from __future__ import annotations

import dataclasses
from typing import TYPE_CHECKING

import numpy as np

from gradcli.data.random_numbers import ImageRandomNumbers
from gradcli.data.transforms.parameters import check_number, check_probability

if TYPE_CHECKING:
    from PIL.Image import Image

LARGEST_HUE = 0.5


@dataclasses.dataclass(frozen=True)
class ColorJitter:
    """Change brightness, contrast, saturation and hue by random factors, in a random order.

    The factors of the first three are drawn from 1 - value (at least 0) to 1 + value and blend the
    image with black, with its mean grey, and with its grey version. The hue is turned by a share of
    the full circle from -hue to hue, in whole steps of 1/255. Grey images have neither saturation nor hue.
    """

    brightness: float = 0.0
    contrast: float = 0.0
    saturation: float = 0.0
    hue: float = 0.0

    def __post_init__(self) -> None:
        for name in ("brightness", "contrast", "saturation"):
            check_number(name, getattr(self, name), 0)
        check_number("hue", self.hue, 0, LARGEST_HUE)

    def __call__(self, image: Image, numbers: ImageRandomNumbers) -> Image:
        from PIL import ImageEnhance

        order = numbers.permutation(4)
        factors = [
            numbers.uniform(max(0.0, 1 - value), 1 + value) if value else None
            for value in (self.brightness, self.contrast, self.saturation)
        ]
        turn = numbers.uniform(-self.hue, self.hue) if self.hue else None
        for number in order:
            if number == 3:
                image = image if turn is None else turn_hue(image, turn)
                continue
            factor = factors[number]
            if factor is not None and not (number == 2 and image.mode == "L"):
                enhancer = (ImageEnhance.Brightness, ImageEnhance.Contrast, ImageEnhance.Color)[number]
                image = enhancer(image).enhance(factor)
        return image


def turn_hue(image: Image, turn: float) -> Image:
    """Turn the hue of an RGB image by a share of the full circle, from -0.5 to 0.5; a grey image stays.

    Pillow's HSV has hues of 0 to 255, which wrap around; the turn is cut to whole steps of 1/255
    towards 0, as torchvision cuts it.
    """
    from PIL import Image as PillowImage

    if image.mode == "L":
        return image
    hue, saturation, value = image.convert("HSV").split()
    turned = np.asarray(hue) + np.uint8(int(turn * 255) % 256)  # uint8 wraps around
    return PillowImage.merge("HSV", (PillowImage.fromarray(turned), saturation, value)).convert("RGB")


@dataclasses.dataclass(frozen=True)
class RandomChannelGain:
    """Multiply each channel by a random factor and add a random offset to it, as light of another colour would.

    Factors are drawn from 1 - `gain` to 1 + `gain`, offsets from -`offset` to `offset` of the full range; results
    outside of that are cut off. A grey image has one channel.
    """

    gain: float = 0.0
    offset: float = 0.0

    def __post_init__(self) -> None:
        check_number("channel gain", self.gain, 0, 1)
        check_number("channel offset", self.offset, 0, 1)

    def __call__(self, image: Image, numbers: ImageRandomNumbers) -> Image:
        draws = [
            (numbers.uniform(1 - self.gain, 1 + self.gain), 255 * numbers.uniform(-self.offset, self.offset))
            for _ in image.getbands()
        ]
        if image.mode == "L":
            ((gain, offset),) = draws
            return image.point([min(255, max(0, round(gain * level + offset))) for level in range(256)])
        (red, add_red), (green, add_green), (blue, add_blue) = draws
        return image.convert("RGB", (red, 0, 0, add_red, 0, green, 0, add_green, 0, 0, blue, add_blue))


@dataclasses.dataclass(frozen=True)
class RandomGrayscale:
    """Take the colours away with the given probability; what is left is their brightness by ITU-R 601-2."""

    probability: float = 0.1

    def __post_init__(self) -> None:
        check_probability("grayscale", self.probability)

    def __call__(self, image: Image, numbers: ImageRandomNumbers) -> Image:
        return image.convert("L").convert(image.mode) if numbers.chance(self.probability) else image


@dataclasses.dataclass(frozen=True)
class RandomInvert:
    """Take the negative with the given probability: 255 less each level."""

    probability: float = 0.5

    def __post_init__(self) -> None:
        check_probability("invert", self.probability)

    def __call__(self, image: Image, numbers: ImageRandomNumbers) -> Image:
        from PIL import ImageChops

        return ImageChops.invert(image) if numbers.chance(self.probability) else image
