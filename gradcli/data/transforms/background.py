"""The transform that puts transparent images on random backgrounds."""

from __future__ import annotations

import dataclasses
from typing import TYPE_CHECKING

from gradcli.data.random_numbers import ImageRandomNumbers
from gradcli.data.transforms.parameters import check_probability
from gradcli.data.transparency import over, over_white
from gradcli.errors import UsageError

if TYPE_CHECKING:
    from PIL.Image import Image

_GRID = 4


@dataclasses.dataclass(frozen=True)
class RandomBackground:
    """Put a transparent image on a random background with the given probability, else on white.

    A share `smooth` of the backgrounds runs between 4x4 random colours, enlarged bilinearly; a share `plain` has one
    random colour; the rest is black or white, half of it each. The result is RGB. Images without transparency stay.
    """

    probability: float = 1.0
    smooth: float = 0.5
    plain: float = 0.3

    def __post_init__(self) -> None:
        check_probability("background", self.probability)
        check_probability("background smooth", self.smooth)
        check_probability("background plain", self.plain)
        if self.smooth + self.plain > 1:
            raise UsageError(
                f"augmentation background smooth {self.smooth} and plain {self.plain}: "
                "expected shares of at most 1 together"
            )

    def __call__(self, image: Image, numbers: ImageRandomNumbers) -> Image:
        if image.mode not in ("RGBA", "RGBa"):
            return image
        if not numbers.chance(self.probability):
            return over_white(image)
        return over(image, self.background(image.width, image.height, numbers))

    def background(self, width: int, height: int, numbers: ImageRandomNumbers) -> Image:
        """A random background of mode RGB and this size in pixels."""
        from PIL import Image as PillowImage
        from PIL.Image import Resampling

        kind = numbers.uniform(0.0, 1.0)
        if kind < self.smooth:
            colours = PillowImage.fromarray(numbers.random_bytes(3 * _GRID * _GRID).reshape(_GRID, _GRID, 3))
            return colours.resize((width, height), Resampling.BILINEAR)
        if kind < self.smooth + self.plain:
            red, green, blue = numbers.random_bytes(3).tolist()
            return PillowImage.new("RGB", (width, height), (red, green, blue))
        return PillowImage.new("RGB", (width, height), "white" if numbers.chance(0.5) else "black")
