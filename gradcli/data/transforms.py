"""The random transforms of augmentation, with torchvision's names, parameters and formulas.

A transform is a frozen dataclass that refuses senseless parameters with a UsageError and is called
with a Pillow image of mode L or RGB and the image's random numbers. Each draws only what it needs,
so one that is left out changes nothing for the others before it.
"""

from __future__ import annotations

import dataclasses
import math
from typing import TYPE_CHECKING

import numpy as np

from gradcli.data.preprocessing import Preprocessing
from gradcli.data.random_numbers import ImageRandomNumbers
from gradcli.errors import UsageError

if TYPE_CHECKING:
    from PIL.Image import Image

_CROP_TRIES = 10
LARGEST_HUE = 0.5


@dataclasses.dataclass(frozen=True)
class RandomResizedCrop:
    """Crop a random part of the image and resize it to the network's input size.

    The part's area is a random share of the image's within `scale`, its ratio of width to height
    lies within `ratio` and is drawn evenly on a logarithmic scale. Where ten draws don't fit into
    the image, the largest centre crop with a ratio within `ratio` is taken.
    """

    scale: tuple[float, float] = (0.08, 1.0)
    ratio: tuple[float, float] = (3 / 4, 4 / 3)

    def __post_init__(self) -> None:
        if not _is_range(self.scale, 0, 1) or self.scale[0] == 0:
            raise UsageError(
                f"augmentation crop scale {self.scale}: expected two numbers in order, above 0 and at most 1"
            )
        if not _is_range(self.ratio, 0, math.inf) or self.ratio[0] == 0:
            raise UsageError(f"augmentation crop ratio {self.ratio}: expected two numbers in order, above 0")

    def __call__(self, image: Image, preprocessing: Preprocessing, numbers: ImageRandomNumbers) -> Image:
        from PIL.Image import Resampling

        left, top, width, height = self.box(image.width, image.height, numbers)
        # Resize's own box would take pixels from outside the crop into account at its border.
        cropped = image.crop((left, top, left + width, top + height))
        target_height, target_width = preprocessing.size
        return cropped.resize((target_width, target_height), Resampling[preprocessing.interpolation.upper()])

    def box(self, width: int, height: int, numbers: ImageRandomNumbers) -> tuple[int, int, int, int]:
        """Left, top, width and height in pixels of the crop of an image of this size."""
        low, high = math.log(self.ratio[0]), math.log(self.ratio[1])
        for _ in range(_CROP_TRIES):
            area = width * height * numbers.uniform(*self.scale)
            ratio = math.exp(numbers.uniform(low, high))
            crop_width, crop_height = round(math.sqrt(area * ratio)), round(math.sqrt(area / ratio))
            if 0 < crop_width <= width and 0 < crop_height <= height:
                top = numbers.below(height - crop_height + 1)
                left = numbers.below(width - crop_width + 1)
                return left, top, crop_width, crop_height
        crop_width, crop_height = width, height
        if width / height < self.ratio[0]:
            crop_height = max(1, round(width / self.ratio[0]))
        elif width / height > self.ratio[1]:
            crop_width = max(1, round(height * self.ratio[1]))
        return (width - crop_width) // 2, (height - crop_height) // 2, crop_width, crop_height


@dataclasses.dataclass(frozen=True)
class RandomHorizontalFlip:
    """Swap left and right with the given probability."""

    probability: float = 0.5

    def __post_init__(self) -> None:
        if not _is_number(self.probability) or not 0 <= self.probability <= 1:
            raise UsageError(f"augmentation horizontal flip {self.probability}: expected a probability from 0 to 1")

    def __call__(self, image: Image, numbers: ImageRandomNumbers) -> Image:
        from PIL.Image import Transpose

        return image.transpose(Transpose.FLIP_LEFT_RIGHT) if numbers.chance(self.probability) else image


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
            value = getattr(self, name)
            if not _is_number(value) or value < 0:
                raise UsageError(f"augmentation {name} {value}: expected a number from 0")
        if not _is_number(self.hue) or not 0 <= self.hue <= LARGEST_HUE:
            raise UsageError(f"augmentation hue {self.hue}: expected a number from 0 to {LARGEST_HUE}")

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


def _is_number(value: object) -> bool:
    return isinstance(value, int | float) and not isinstance(value, bool) and math.isfinite(value)


def _is_range(values: object, low: float, high: float) -> bool:
    """Whether these are two numbers, the smaller first, from low to high."""
    if not isinstance(values, tuple) or len(values) != 2 or not all(_is_number(value) for value in values):
        return False
    first, second = values
    return bool(low <= first <= second <= high)
