"""Random transforms against the formulas written out a second time, and the parameters they refuse."""

from __future__ import annotations

import colorsys
import math
from collections.abc import Iterator
from typing import Any

import numpy as np
import pytest
from PIL import Image

from gradcli.data.preprocessing import Preprocessing
from gradcli.data.random_numbers import ImageRandomNumbers
from gradcli.data.transforms import ColorJitter, RandomHorizontalFlip, RandomResizedCrop, turn_hue
from gradcli.errors import UsageError


class GivenNumbers(ImageRandomNumbers):
    """Draws shares of each range from a list instead of at random."""

    def __init__(self, *shares: float) -> None:
        self._shares: Iterator[float] = iter(shares)

    def uniform(self, low: float, high: float) -> float:
        return low + (high - low) * next(self._shares)

    def below(self, count: int) -> int:
        return int(count * next(self._shares))

    def permutation(self, count: int) -> list[int]:
        return list(range(count))


def random_image(height: int = 20, width: int = 30, seed: int = 0) -> Image.Image:
    return Image.fromarray(np.random.default_rng(seed).integers(0, 256, (height, width, 3), dtype=np.uint8))


@pytest.mark.parametrize(("width", "height"), [(640, 480), (28, 28), (3, 200), (1, 1)])
def test_crops_lie_within_the_image_and_the_ranges(width: int, height: int) -> None:
    crop = RandomResizedCrop(scale=(0.3, 0.6), ratio=(0.8, 1.25))
    for index in range(200):
        left, top, crop_width, crop_height = crop.box(width, height, ImageRandomNumbers(0, 0, index))
        assert 0 <= left <= left + crop_width <= width
        assert 0 <= top <= top + crop_height <= height
        assert crop_width > 0
        assert crop_height > 0
        if min(width, height) >= 28:
            rounding = 1.2 if width == 28 else 1.02
            assert 0.3 / rounding <= crop_width * crop_height / (width * height) <= 0.6 * rounding
            assert 0.8 / rounding <= crop_width / crop_height <= 1.25 * rounding


def test_area_is_drawn_evenly_and_ratio_evenly_on_a_logarithmic_scale() -> None:
    crop = RandomResizedCrop(scale=(0.1, 0.3), ratio=(0.5, 2.0))
    boxes = np.array([crop.box(4000, 4000, ImageRandomNumbers(1, 0, index))[2:] for index in range(2000)])
    area, ratio = boxes.prod(axis=1) / 16e6, np.log(boxes[:, 0] / boxes[:, 1])
    np.testing.assert_allclose(np.quantile(area, [0, 0.25, 0.5, 0.75, 1]), [0.1, 0.15, 0.2, 0.25, 0.3], atol=0.01)
    expected = math.log(2) * np.array([-1, -0.5, 0, 0.5, 1])
    np.testing.assert_allclose(np.quantile(ratio, [0, 0.25, 0.5, 0.75, 1]), expected, atol=0.06)


def test_box_follows_from_area_ratio_top_and_left_in_this_order() -> None:
    crop = RandomResizedCrop(scale=(0.0625, 0.25), ratio=(0.25, 1.0))
    # area 0.25 of 40x80, ratio 0.5: 20x40, then the last of 41 rows and the middle of 21 columns
    assert crop.box(40, 80, GivenNumbers(1.0, 0.5, 0.999, 0.5)) == (10, 40, 20, 40)


@pytest.mark.parametrize(
    ("width", "height", "expected"),
    [(10, 1000, (0, 493, 10, 13)), (1000, 10, (493, 0, 13, 10)), (1, 200, (0, 99, 1, 1)), (40, 40, (0, 0, 40, 40))],
)
def test_what_never_fits_falls_back_to_the_largest_centre_crop(
    width: int, height: int, expected: tuple[int, int, int, int]
) -> None:
    # the full area at a ratio beside the image's own sticks out of the image in all ten tries
    ratio = (0.75, 4 / 3) if width != height else (0.5, 2.0)
    numbers = GivenNumbers(*[1.0, 1.0] * 10)
    assert RandomResizedCrop(scale=(0.5, 1.0), ratio=ratio).box(width, height, numbers) == expected


@pytest.mark.parametrize("interpolation", ["bilinear", "bicubic", "nearest"])
def test_crop_is_cut_out_before_it_is_resized(interpolation: str) -> None:
    image = random_image()
    preprocessing = Preprocessing(size=(9, 12), resize=None, interpolation=interpolation)
    crop = RandomResizedCrop()
    left, top, width, height = crop.box(30, 20, ImageRandomNumbers(0, 0, 6))
    cut = Image.fromarray(np.asarray(image)[top : top + height, left : left + width])
    expected = cut.resize((12, 9), Image.Resampling[interpolation.upper()])
    actual = crop(image, preprocessing, ImageRandomNumbers(0, 0, 6))
    np.testing.assert_array_equal(np.asarray(actual), np.asarray(expected))


def test_flip_swaps_left_and_right_half_of_the_time() -> None:
    image = random_image(4, 5)
    flips = 0
    for index in range(400):
        pixels = np.asarray(RandomHorizontalFlip()(image, ImageRandomNumbers(0, 0, index)))
        flipped = np.array_equal(pixels, np.asarray(image)[:, ::-1])
        assert flipped or np.array_equal(pixels, np.asarray(image))
        flips += flipped
    assert 160 < flips < 240


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


@pytest.mark.parametrize(
    ("transform", "parameters", "message"),
    [
        (RandomResizedCrop, {"scale": (0.0, 1.0)}, r"crop scale \(0.0, 1.0\): expected two numbers in order, above 0"),
        (RandomResizedCrop, {"scale": (0.5, 1.5)}, "crop scale"),
        (RandomResizedCrop, {"scale": (0.9, 0.5)}, "crop scale"),
        (RandomResizedCrop, {"scale": 0.5}, "crop scale 0.5"),
        (RandomResizedCrop, {"ratio": (0.0, 1.0)}, r"crop ratio \(0.0, 1.0\): expected two numbers in order, above 0"),
        (RandomResizedCrop, {"ratio": (1.0, math.inf)}, "crop ratio"),
        (RandomResizedCrop, {"ratio": (2.0, 1.0)}, "crop ratio"),
        (RandomHorizontalFlip, {"probability": 1.1}, "horizontal flip 1.1: expected a probability from 0 to 1"),
        (RandomHorizontalFlip, {"probability": None}, "horizontal flip None"),
        (ColorJitter, {"brightness": -0.1}, "brightness -0.1: expected a number from 0"),
        (ColorJitter, {"contrast": math.nan}, "contrast nan"),
        (ColorJitter, {"saturation": True}, "saturation True"),
        (ColorJitter, {"hue": 0.6}, "hue 0.6: expected a number from 0 to 0.5"),
    ],
)
def test_senseless_parameters_are_refused(transform: type, parameters: dict[str, Any], message: str) -> None:
    with pytest.raises(UsageError, match=message):
        transform(**parameters)
