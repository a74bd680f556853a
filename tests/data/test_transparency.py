"""Transparent images on backgrounds: the formula, and arrays like images."""

from __future__ import annotations

import numpy as np
import pytest
from PIL import Image

from gradcli.data.transparency import over, over_white, pixels_over_white

PIXELS = np.random.default_rng(0).integers(0, 256, (5, 6, 7, 4), dtype=np.uint8)


def expected(pixels: np.ndarray, background: np.ndarray | float) -> np.ndarray:
    opacity = pixels[..., 3:] / 255
    return pixels[..., :3] * opacity + background * (1 - opacity)


@pytest.mark.parametrize("mode", ["RGBA", "RGBa"])
def test_opacity_mixes_image_and_background(mode: str) -> None:
    ground = np.random.default_rng(1).integers(0, 256, (6, 7, 3), dtype=np.uint8)
    background = Image.fromarray(ground)
    result = over(Image.fromarray(PIXELS[0]).convert(mode), background)
    assert np.abs(np.asarray(result) - expected(PIXELS[0], ground)).max() <= 1
    np.testing.assert_array_equal(np.asarray(background), ground)


def test_every_level_at_every_opacity_over_white_is_what_pillows_own_composite_gives() -> None:
    levels, opacities = np.meshgrid(np.arange(256, dtype=np.uint8), np.arange(256, dtype=np.uint8))
    image = Image.fromarray(np.stack([levels, 255 - levels, levels, opacities], axis=2))
    white = Image.new("RGBA", image.size, "white")
    np.testing.assert_array_equal(over_white(image), Image.alpha_composite(white, image).convert("RGB"))


@pytest.mark.parametrize("layout", ["contiguous", "channels first"])
def test_arrays_are_shown_like_images(layout: str) -> None:
    pixels = PIXELS
    if layout == "channels first":
        pixels = np.ascontiguousarray(PIXELS.transpose(0, 3, 1, 2)).transpose(0, 2, 3, 1)
    shown = pixels_over_white(pixels)
    assert (shown.shape, shown.dtype) == ((5, 6, 7, 3), np.uint8)
    for image, result in zip(pixels, shown, strict=True):
        np.testing.assert_array_equal(result, np.asarray(over_white(Image.fromarray(np.ascontiguousarray(image)))))


def test_floats_are_not_rounded() -> None:
    shown = pixels_over_white((PIXELS / 255).astype(np.float32))
    assert shown.dtype == np.float32
    np.testing.assert_allclose(shown, expected(PIXELS, 255.0) / 255, atol=1e-6)


@pytest.mark.parametrize("dtype", [np.uint8, np.float32])
def test_no_images_stay_none(dtype: type) -> None:
    assert pixels_over_white(np.empty((0, 6, 7, 4), dtype)).shape == (0, 6, 7, 3)
