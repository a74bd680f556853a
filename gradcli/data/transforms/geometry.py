"""Transforms that move pixels: a random crop, a random affine map, a random flip. They take transparent images too."""

from __future__ import annotations

import dataclasses
import math
from typing import TYPE_CHECKING

from gradcli.data.preprocessing import Preprocessing
from gradcli.data.random_numbers import ImageRandomNumbers
from gradcli.data.transforms.parameters import check_number, check_probability, is_range
from gradcli.errors import UsageError

if TYPE_CHECKING:
    from PIL.Image import Image

_CROP_TRIES = 10
_LARGEST_FACTOR = 100.0


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
        if not is_range(self.scale, 0, 1) or self.scale[0] == 0:
            raise UsageError(
                f"augmentation crop scale {self.scale}: expected two numbers in order, above 0 and at most 1"
            )
        if not is_range(self.ratio, 0, math.inf) or self.ratio[0] == 0:
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
class RandomAffine:
    """Turn, enlarge or reduce, stretch and shift the image by random amounts, in one bilinear resampling.

    The image is stretched first: its width over its height changes by a factor from 1 / `stretch` to `stretch` at the
    same area. Then it is enlarged by a factor within `scale`, turned about its centre by an angle from -`degrees` to
    `degrees`, clockwise, and shifted by up to `translate` of its width and of its height. Both factors are drawn evenly
    on a logarithmic scale, all else evenly. `upright` is the share of images that are turned no further than that; the
    others are turned by up to 180 degrees more.

    What lies outside of the image is black, as with torchvision, or transparent: an RGBA image comes back in mode RGBa,
    where colours are multiplied by their opacity, so that its edges don't take on colours of what can't be seen.
    """

    degrees: float = 0.0
    upright: float = 1.0
    translate: float = 0.0
    scale: tuple[float, float] = (1.0, 1.0)
    stretch: float = 1.0

    def __post_init__(self) -> None:
        check_number("degrees", self.degrees, 0, 180)
        check_probability("upright", self.upright)
        check_number("translate", self.translate, 0, 1)
        if not is_range(self.scale, 1 / _LARGEST_FACTOR, _LARGEST_FACTOR):
            raise UsageError(
                f"augmentation zoom {self.scale}: expected two numbers in order, "
                f"from {1 / _LARGEST_FACTOR:g} to {_LARGEST_FACTOR:g}"
            )
        check_number("stretch", self.stretch, 1, _LARGEST_FACTOR)

    def __call__(self, image: Image, numbers: ImageRandomNumbers) -> Image:
        from PIL.Image import Resampling, Transform

        if image.mode == "RGBA":
            image = image.convert("RGBa")
        matrix = self.matrix(image.width, image.height, numbers)
        return image.transform(image.size, Transform.AFFINE, matrix, Resampling.BILINEAR)

    def matrix(
        self, width: int, height: int, numbers: ImageRandomNumbers
    ) -> tuple[float, float, float, float, float, float]:
        """The first two rows of the matrix that takes a point (x, y, 1) of the result to one of the image.

        Points are in pixels from the upper left corner, so the first pixel's centre is (0.5, 0.5).
        """
        angle = numbers.uniform(-self.degrees, self.degrees)
        upright = numbers.chance(self.upright)
        further = numbers.uniform(-180, 180)
        angle = math.radians(angle if upright else angle + further)
        right = width * (0.5 + numbers.uniform(-self.translate, self.translate))
        down = height * (0.5 + numbers.uniform(-self.translate, self.translate))
        zoom = math.exp(numbers.uniform(math.log(self.scale[0]), math.log(self.scale[1])))
        stretch = math.exp(numbers.uniform(-math.log(self.stretch), math.log(self.stretch)) / 2)
        # The way back: shift, turn by -angle, divide by the factor of each axis, and the centre is where it was.
        cosine, sine = math.cos(angle), math.sin(angle)
        a, b = cosine / (zoom * stretch), sine / (zoom * stretch)
        d, e = -sine * stretch / zoom, cosine * stretch / zoom
        return a, b, width / 2 - a * right - b * down, d, e, height / 2 - d * right - e * down


@dataclasses.dataclass(frozen=True)
class RandomHorizontalFlip:
    """Swap left and right with the given probability."""

    probability: float = 0.5

    def __post_init__(self) -> None:
        check_probability("horizontal flip", self.probability)

    def __call__(self, image: Image, numbers: ImageRandomNumbers) -> Image:
        from PIL.Image import Transpose

        return image.transpose(Transpose.FLIP_LEFT_RIGHT) if numbers.chance(self.probability) else image
