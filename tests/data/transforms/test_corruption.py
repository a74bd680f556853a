"""Noise and covered rectangles: their amounts and places, and the parameters they refuse."""

from __future__ import annotations

import math
from typing import Any

import numpy as np
import pytest
from given_numbers import GivenNumbers
from PIL import Image

from gradcli.data.random_numbers import ImageRandomNumbers
from gradcli.data.transforms import GaussianNoise, RandomErasing
from gradcli.errors import UsageError


def random_image(mode: str = "RGB") -> Image.Image:
    pixels = np.random.default_rng(0).integers(0, 256, (20, 30, 3), dtype=np.uint8)
    return Image.fromarray(pixels).convert(mode)


@pytest.mark.parametrize("mode", ["L", "RGB"])
def test_noise_is_a_random_multiple_of_normal_numbers(mode: str) -> None:
    image = random_image(mode)
    numbers = ImageRandomNumbers(0, 0, 3)
    sigma = 0.2 * numbers.uniform(0.0, 1.0)
    pixels = np.asarray(image).astype(float)
    expected = np.clip(pixels + 255 * sigma * numbers.normals(pixels.size).reshape(pixels.shape), 0, 255)
    result = GaussianNoise(sigma=0.2)(image, ImageRandomNumbers(0, 0, 3))
    assert result.mode == mode
    assert np.abs(np.asarray(result) - expected).max() <= 0.5 + 1e-3


def test_noise_has_its_standard_deviation_in_each_channel_by_itself() -> None:
    image = Image.new("RGB", (100, 100), (100, 120, 140))
    noise = np.asarray(GaussianNoise(sigma=0.1)(image, ImageRandomNumbers(1, 0, 0))) - np.array([100.0, 120.0, 140.0])
    sigma = 25.5 * ImageRandomNumbers(1, 0, 0).uniform(0.0, 1.0)
    assert sigma > 2
    np.testing.assert_allclose(noise.mean(axis=(0, 1)), 0, atol=0.05 * sigma)
    np.testing.assert_allclose(noise.std(axis=(0, 1)), sigma, rtol=0.05)
    correlations = np.corrcoef(noise.reshape(-1, 3).T)[np.triu_indices(3, 1)]
    assert np.abs(correlations).max() < 0.05


@pytest.mark.parametrize(
    ("shares", "box"),
    [
        ((1.0, 0.5, 0.5, 0.5), (12, 16, 28, 24)),  # 0.4 of 40 wide, 0.2 of 40 high, about the middle
        ((1.0, 1.0, 0.0, 1.0), (0, 32, 8, 40)),  # half of it outside on either side
        ((0.0, 0.0, 0.3, 0.3), (12, 12, 12, 12)),
    ],
)
def test_box_follows_from_width_height_and_centre(shares: tuple[float, ...], box: tuple[int, ...]) -> None:
    assert RandomErasing(largest=0.4).box(40, 40, GivenNumbers(*shares)) == box


@pytest.mark.parametrize("mode", ["L", "RGB"])
def test_only_the_box_is_covered_with_one_colour(mode: str) -> None:
    image = random_image(mode)
    before = np.asarray(image).copy()
    result = RandomErasing(probability=1.0, largest=0.5)(image, GivenNumbers(0.0, 0.8, 0.8, 0.5, 0.5))
    assert result.mode == mode
    expected = before.copy()
    expected[6:14, 9:21] = 5 if mode == "L" else (5, 10, 15)
    np.testing.assert_array_equal(np.asarray(result), expected)
    np.testing.assert_array_equal(np.asarray(image), before)


def test_as_many_images_are_covered_as_the_probability_says() -> None:
    image = random_image()
    covered = sum(RandomErasing(0.3)(image, ImageRandomNumbers(0, 0, index)) is not image for index in range(1000))
    assert 250 < covered < 350


@pytest.mark.parametrize(("width", "height"), [(64, 64), (30, 7), (1, 1)])
def test_boxes_lie_in_the_image_and_reach_all_of_it(width: int, height: int) -> None:
    hits = np.zeros((height, width), dtype=int)
    for index in range(1500):
        left, top, right, bottom = RandomErasing().box(width, height, ImageRandomNumbers(0, 0, index))
        assert 0 <= left <= right <= width
        assert 0 <= top <= bottom <= height
        assert right - left <= 0.44 * width + 1
        assert bottom - top <= 0.44 * height + 1
        hits[top:bottom, left:right] += 1
    assert hits.min() > 0


@pytest.mark.parametrize("transform", [GaussianNoise(), RandomErasing(probability=1.0, largest=1.0)])
@pytest.mark.parametrize("mode", ["L", "RGB"])
def test_one_pixel_will_do(transform: GaussianNoise | RandomErasing, mode: str) -> None:
    image = Image.new(mode, (1, 1), "grey")
    results = {np.asarray(transform(image, ImageRandomNumbers(0, 0, index))).tobytes() for index in range(30)}
    assert len(results) > 5


@pytest.mark.parametrize(
    ("transform", "parameters", "message"),
    [
        (GaussianNoise, {"sigma": -0.1}, "augmentation noise -0.1: expected a number from 0 to 1"),
        (GaussianNoise, {"sigma": math.nan}, "noise nan"),
        (RandomErasing, {"probability": 7}, "erase 7: expected a probability from 0 to 1"),
        (RandomErasing, {"largest": 1.1}, "erase largest 1.1: expected a number from 0 to 1"),
    ],
)
def test_senseless_parameters_are_refused(transform: type, parameters: dict[str, Any], message: str) -> None:
    with pytest.raises(UsageError, match=message):
        transform(**parameters)
