"""Transparent images on a background. Wherever nothing else is said, that is white.

torchvision drops the opacity, which shows whatever colour the editor left underneath.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

if TYPE_CHECKING:
    from PIL.Image import Image


def over(image: Image, background: Image) -> Image:
    """A transparent image on an RGB one of its size, as RGB: opacity * image + (1 - opacity) * background.

    The image has Pillow's mode RGBA, or RGBa, where its colours are multiplied by their opacity.
    """
    covered = background.copy()
    covered.paste(image, (0, 0), image)
    return covered


def over_white(image: Image) -> Image:
    """A transparent image on white, as `over` puts it there."""
    from PIL import Image as PillowImage

    return over(image, PillowImage.new("RGB", image.size, "white"))


def pixels_over_white(pixels: NDArray[Any]) -> NDArray[Any]:
    """Transparent images of shape (N, H, W, 4), uint8 or float32 in 0..1, on white: (N, H, W, 3) of that dtype.

    uint8 gives the bits of `over_white`.
    """
    if pixels.dtype == np.uint8:
        from PIL import Image as PillowImage

        count, height, width, _ = pixels.shape
        stacked = np.ascontiguousarray(pixels).reshape(count * height, width, 4)
        covered = np.asarray(over_white(PillowImage.fromarray(stacked))) if count else stacked[..., :3]
        return covered.reshape(count, height, width, 3)
    opacity = pixels[..., 3:]
    shown: NDArray[Any] = pixels[..., :3] * opacity + (1 - opacity)
    return shown
