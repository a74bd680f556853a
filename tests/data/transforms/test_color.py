"""Transforms of colours against their formulas written out a second time, and the parameters they refuse."""

from __future__ import annotations

import colorsys
import math
from typing import Any

import numpy as np
import pytest
from given_numbers import GivenNumbers
from PIL import Image

from gradcli.data.random_numbers import ImageRandomNumbers
from gradcli.data.transforms import ColorJitter, RandomChannelGain, RandomGrayscale, RandomInvert, turn_hue
from gradcli.errors import UsageError


def random_image(height: int = 20, width: int = 30, seed: int = 0) -> Image.Image:
    return Image.fromarray(np.random.default_rng(seed).integers(0, 256, (height, width, 3), dtype=np.uint8))


def blend(first: np.ndarray, second: np.ndarray | float, factor: float) -> np.ndarray:
    return np.clip(second + factor * (first - second), 0, 255)


def grey_of(pixels: np.ndarray) -> np.ndarray:
    return np.rint(pixels @ np.array([0.299, 0.587, 0.114]))


@pytest.mark.parametrize(("share", "factor"), [(0.0, 0.6), (1.0, 1.4)])
@pytest.mark.parametrize("name", ["brightness", "contrast", "saturation"])
def test_jitter_blends_with_black_mean_or_grey(name: str, share: float, factor: float) -> None:
    image = random_image()
    pixels = np.asarray(image, dtype=float)
    grey = grey_of(pixels)
    other = {"brightness": 0.0, "contrast": round(grey.mean()), "saturation": grey[..., None]}[name]
    actual = np.asarray(ColorJitter(**{name: 0.4})(image, GivenNumbers(share)), dtype=float)
    assert np.abs(actual - blend(pixels, other, factor)).max() <= 1.01  # whole levels; the grey is rounded too


@pytest.mark.parametrize("turn", [-0.5, -0.1, 0.0, 0.25, 0.5])
def test_hue_is_turned_on_the_circle(turn: float) -> None:
    colours = [(255, 0, 0), (0, 255, 0), (0, 0, 255), (255, 255, 0), (200, 100, 50), (90, 90, 90)]
    image = Image.fromarray(np.array([colours], dtype=np.uint8))
    actual = np.asarray(turn_hue(image, turn), dtype=float)[0]
    for colour, turned in zip(colours, actual, strict=True):
        hue, saturation, value = colorsys.rgb_to_hsv(*(level / 255 for level in colour))
        expected = colorsys.hsv_to_rgb((hue + turn) % 1.0, saturation, value)
        # hues have 256 steps, of which one moves a level by up to 6 * 255 / 256
        assert np.abs(turned - 255 * np.array(expected)).max() <= 14


def test_jitter_applies_its_factors_in_random_order() -> None:
    image = random_image()
    jitter = ColorJitter(brightness=0.5, contrast=0.5, saturation=0.5, hue=0.2)
    results = set()
    for order in ([0, 1, 2, 3], [3, 2, 1, 0], [1, 0, 3, 2]):
        numbers = GivenNumbers(0.1, 0.9, 0.8, 0.3)
        numbers.permutation = lambda count, order=order: order  # type: ignore[method-assign, misc]
        results.add(np.asarray(jitter(image, numbers)).tobytes())
    assert len(results) == 3


def test_jitter_of_a_grey_image_is_that_of_its_three_equal_channels() -> None:
    grey = random_image().convert("L")
    jitter = ColorJitter(brightness=0.5, contrast=0.5, saturation=0.5, hue=0.5)
    for index in range(20):
        single = jitter(grey, ImageRandomNumbers(0, 0, index))
        triple = jitter(grey.convert("RGB"), ImageRandomNumbers(0, 0, index))
        assert single.mode == "L"
        np.testing.assert_array_equal(np.asarray(triple), np.asarray(single)[..., None].repeat(3, axis=2))


def test_jitter_without_factors_leaves_the_image_alone() -> None:
    image = random_image()
    assert ColorJitter()(image, ImageRandomNumbers(0, 0, 0)) is image


def test_channel_gain_multiplies_and_adds_to_each_channel() -> None:
    image = random_image()
    transform = RandomChannelGain(gain=0.4, offset=0.2)
    result = transform(image, GivenNumbers(0.0, 0.5, 1.0, 0.0, 0.75, 1.0))
    expected = np.asarray(image) * np.array([0.6, 1.4, 1.2]) + 255 * np.array([0.0, -0.2, 0.2])
    assert np.abs(np.asarray(result) - np.clip(expected, 0, 255)).max() <= 0.5 + 1e-3


def test_channel_gain_of_a_grey_image_is_that_of_its_one_channel() -> None:
    image = random_image().convert("L")
    result = RandomChannelGain(gain=0.4, offset=0.2)(image, GivenNumbers(1.0, 0.0))
    assert result.mode == "L"
    assert np.abs(np.asarray(result) - np.clip(1.4 * np.asarray(image) - 51, 0, 255)).max() <= 0.5


@pytest.mark.parametrize("mode", ["L", "RGB"])
def test_grayscale_leaves_the_brightness(mode: str) -> None:
    image = random_image().convert(mode)
    result = RandomGrayscale(probability=1.0)(image, ImageRandomNumbers(0, 0, 0))
    assert result.mode == mode
    expected = np.asarray(image) if mode == "L" else grey_of(np.asarray(image))[..., None].repeat(3, axis=2)
    assert np.abs(np.asarray(result).astype(float) - expected).max() <= 1


@pytest.mark.parametrize("mode", ["L", "RGB"])
def test_invert_is_the_rest_to_white(mode: str) -> None:
    image = random_image().convert(mode)
    result = RandomInvert(probability=1.0)(image, ImageRandomNumbers(0, 0, 0))
    assert result.mode == mode
    np.testing.assert_array_equal(np.asarray(result), 255 - np.asarray(image))


@pytest.mark.parametrize("transform", [RandomGrayscale(probability=0.3), RandomInvert(probability=0.3)])
def test_as_many_images_are_changed_as_the_probability_says(transform: RandomGrayscale | RandomInvert) -> None:
    image = random_image()
    changed = sum(transform(image, ImageRandomNumbers(0, 0, index)) is not image for index in range(1000))
    assert 250 < changed < 350


@pytest.mark.parametrize(
    ("transform", "parameters", "message"),
    [
        (ColorJitter, {"brightness": -0.1}, "brightness -0.1: expected a number from 0$"),
        (ColorJitter, {"contrast": math.nan}, "contrast nan"),
        (ColorJitter, {"saturation": True}, "saturation True"),
        (ColorJitter, {"hue": 0.6}, "hue 0.6: expected a number from 0 to 0.5"),
        (RandomChannelGain, {"gain": 1.5}, "augmentation channel gain 1.5: expected a number from 0 to 1"),
        (RandomChannelGain, {"offset": -0.5}, "channel offset -0.5: expected a number from 0 to 1"),
        (RandomGrayscale, {"probability": 1.5}, "grayscale 1.5: expected a probability from 0 to 1"),
        (RandomInvert, {"probability": "often"}, "invert often: expected a probability from 0 to 1"),
    ],
)
def test_senseless_parameters_are_refused(transform: type, parameters: dict[str, Any], message: str) -> None:
    with pytest.raises(UsageError, match=message):
        transform(**parameters)
