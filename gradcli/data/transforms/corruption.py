"""Transforms that take something away from the image: noise over it, a part of it covered."""

from __future__ import annotations

import dataclasses
from typing import TYPE_CHECKING

import numpy as np

from gradcli.data.random_numbers import ImageRandomNumbers
from gradcli.data.transforms.parameters import check_number, check_probability

if TYPE_CHECKING:
    from PIL.Image import Image


@dataclasses.dataclass(frozen=True)
class GaussianNoise:
    """Add normal noise to each level of each pixel by itself; results outside of the range are cut off.

    Its standard deviation, as a share of the full range, is the same for all of an image and drawn from 0 to `sigma`.
    """

    sigma: float = 0.1

    def __post_init__(self) -> None:
        check_number("noise", self.sigma, 0, 1)

    def __call__(self, image: Image, numbers: ImageRandomNumbers) -> Image:
        from PIL import Image as PillowImage

        sigma = numbers.uniform(0.0, self.sigma)
        pixels = np.asarray(image)
        levels = numbers.normals(pixels.size).reshape(pixels.shape)
        levels *= np.float32(255 * sigma)
        levels += pixels
        levels += np.float32(0.5)  # to the nearest whole number, as the fraction is cut off
        np.clip(levels, 0, 255, out=levels)
        return PillowImage.fromarray(levels.astype(np.uint8))


@dataclasses.dataclass(frozen=True)
class RandomErasing:
    """Cover a rectangle with one random colour, with the given probability.

    Its width and height are random shares, from 0 to `largest`, of the image's. Its centre lies anywhere in the image;
    what would stick out is cut off. (torchvision's has its area and ratio given and lies in the image as a whole.)
    """

    probability: float = 0.5
    largest: float = 0.44

    def __post_init__(self) -> None:
        check_probability("erase", self.probability)
        check_number("erase largest", self.largest, 0, 1)

    def __call__(self, image: Image, numbers: ImageRandomNumbers) -> Image:
        if not numbers.chance(self.probability):
            return image
        box = self.box(image.width, image.height, numbers)
        colour = numbers.random_bytes(len(image.getbands())).tolist()
        covered = image.copy()
        covered.paste(colour[0] if len(colour) == 1 else tuple(colour), box)
        return covered

    def box(self, width: int, height: int, numbers: ImageRandomNumbers) -> tuple[int, int, int, int]:
        """Left, top, right and bottom in pixels of the rectangle in an image of this size; it may be empty."""
        half_width = width * numbers.uniform(0.0, self.largest) / 2
        half_height = height * numbers.uniform(0.0, self.largest) / 2
        x, y = numbers.uniform(0.0, width), numbers.uniform(0.0, height)
        left, right = max(0, round(x - half_width)), min(width, round(x + half_width))
        top, bottom = max(0, round(y - half_height)), min(height, round(y + half_height))
        return left, top, right, bottom
