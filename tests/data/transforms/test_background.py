"""Random backgrounds: their kinds and shares, and what transparent images look like on them."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from given_numbers import GivenNumbers
from PIL import Image

from gradcli.data.random_numbers import ImageRandomNumbers
from gradcli.data.transforms import RandomBackground
from gradcli.errors import UsageError

PIXELS = np.random.default_rng(0).integers(0, 256, (20, 30, 4), dtype=np.uint8)


def test_smooth_background_is_interpolated_between_sixteen_colours() -> None:
    background = RandomBackground().background(12, 8, GivenNumbers(0.49))
    colours = (np.arange(1, 49) * 5 % 256).reshape(4, 4, 3)
    expected = np.zeros((8, 12, 3))
    for row in range(8):
        for column in range(12):
            y, x = np.clip(((row + 0.5) / 2 - 0.5, (column + 0.5) / 3 - 0.5), 0, 3)  # in steps of the grid
            top, left = min(int(y), 2), min(int(x), 2)
            upper, lower = (
                colours[i, left] * (left + 1 - x) + colours[i, left + 1] * (x - left) for i in (top, top + 1)
            )
            expected[row, column] = upper * (top + 1 - y) + lower * (y - top)
    assert (background.mode, background.size) == ("RGB", (12, 8))
    assert np.abs(np.asarray(background) - expected).max() <= 1.01  # rounded along each axis


@pytest.mark.parametrize(
    ("shares", "colour"),
    [((0.5,), (5, 10, 15)), ((0.79,), (5, 10, 15)), ((0.81, 0.4), (255,) * 3), ((0.81, 0.6), (0,) * 3)],
)
def test_other_backgrounds_have_one_colour(shares: tuple[float, ...], colour: tuple[int, ...]) -> None:
    background = RandomBackground().background(6, 4, GivenNumbers(*shares))
    np.testing.assert_array_equal(np.asarray(background), np.broadcast_to(np.uint8(colour), (4, 6, 3)))


def test_kinds_have_their_shares() -> None:
    kinds = {"smooth": 0, "plain": 0, "black": 0, "white": 0}
    for index in range(1000):
        pixels = np.asarray(RandomBackground().background(4, 4, ImageRandomNumbers(0, 0, index)))
        one_colour = (pixels == pixels[0, 0]).all()
        extreme = {0: "black", 255: "white"}.get(pixels[0, 0, 0]) if len(set(pixels[0, 0].tolist())) == 1 else None
        kinds["smooth" if not one_colour else extreme or "plain"] += 1
    assert {kind: round(count / 1000, 1) for kind, count in kinds.items()} == {
        "smooth": 0.5,
        "plain": 0.3,
        "black": 0.1,
        "white": 0.1,
    }


@pytest.mark.parametrize("mode", ["RGBA", "RGBa"])
def test_opacity_mixes_the_image_with_its_background(mode: str) -> None:
    image = Image.fromarray(PIXELS).convert(mode)
    result = RandomBackground(smooth=0.0, plain=1.0)(image, GivenNumbers(0.0, 0.5))
    opacity = PIXELS[..., 3:] / 255
    expected = PIXELS[..., :3] * opacity + np.array([5, 10, 15]) * (1 - opacity)
    assert result.mode == "RGB"
    assert np.abs(np.asarray(result) - expected).max() <= 1


@pytest.mark.parametrize("mode", ["RGBA", "RGBa"])
def test_the_others_are_on_white(mode: str) -> None:
    image = Image.fromarray(PIXELS).convert(mode)
    transform = RandomBackground(probability=0.25, smooth=0.0, plain=0.0)
    results = [np.asarray(transform(image, ImageRandomNumbers(0, 0, index))) for index in range(400)]
    on_black = sum(bool((result[PIXELS[..., 3] == 0] == 0).all()) for result in results)
    assert 30 < on_black < 70  # half of a quarter; the other half is white too
    opacity = PIXELS[..., 3:] / 255
    expected = PIXELS[..., :3] * opacity + 255 * (1 - opacity)
    white = RandomBackground(probability=0.0)(image, ImageRandomNumbers(0, 0, 0))
    assert np.abs(np.asarray(white) - expected).max() <= 1


@pytest.mark.parametrize("mode", ["L", "RGB"])
def test_images_without_transparency_stay(mode: str) -> None:
    image = Image.fromarray(PIXELS).convert(mode)
    assert RandomBackground()(image, GivenNumbers()) is image


def test_one_pixel_has_a_background() -> None:
    image = Image.new("RGBA", (1, 1))
    colours = {RandomBackground()(image, ImageRandomNumbers(0, 0, index)).getpixel((0, 0)) for index in range(20)}
    assert len(colours) > 10


@pytest.mark.parametrize(
    ("parameters", "message"),
    [
        ({"probability": 1.5}, "augmentation background 1.5: expected a probability from 0 to 1"),
        ({"smooth": -0.1}, "background smooth -0.1: expected a probability"),
        ({"plain": 2}, "background plain 2: expected a probability"),
        ({"smooth": 0.75, "plain": 0.5}, "smooth 0.75 and plain 0.5: expected shares of at most 1 together"),
    ],
)
def test_senseless_parameters_are_refused(parameters: dict[str, Any], message: str) -> None:
    with pytest.raises(UsageError, match=message):
        RandomBackground(**parameters)
