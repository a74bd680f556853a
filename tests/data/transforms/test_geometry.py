"""Transforms that move pixels against their formulas written out a second time, and the parameters they refuse."""

from __future__ import annotations

import math
from typing import Any

import numpy as np
import pytest
from given_numbers import GivenNumbers
from PIL import Image

from gradcli.data.preprocessing import Preprocessing
from gradcli.data.random_numbers import ImageRandomNumbers
from gradcli.data.transforms import RandomAffine, RandomHorizontalFlip, RandomResizedCrop
from gradcli.errors import UsageError


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


def map_forward(width: int, height: int, angle: float, zoom: float, stretch: float, shift: tuple[float, float]) -> Any:
    """Where points of the image go, step by step: stretch, enlarge, turn clockwise about the centre, shift."""

    def where(point: tuple[float, float]) -> tuple[float, float]:
        x, y = point[0] - width / 2, point[1] - height / 2
        x, y = x * math.sqrt(stretch) * zoom, y / math.sqrt(stretch) * zoom
        length, direction = math.hypot(x, y), math.atan2(y, x) + math.radians(angle)
        return (
            length * math.cos(direction) + width / 2 + shift[0] * width,
            length * math.sin(direction) + height / 2 + shift[1] * height,
        )

    return where


@pytest.mark.parametrize(
    ("shares", "angle", "zoom", "stretch", "shift"),
    [
        ((0.5, 0.0, 0.5, 0.5, 0.5, 0.5, 0.5), 0.0, 1.0, 1.0, (0.0, 0.0)),
        ((1.0, 0.0, 0.9, 0.5, 0.5, 0.5, 0.5), 30.0, 1.0, 1.0, (0.0, 0.0)),
        ((1.0, 0.7, 0.75, 0.5, 0.5, 0.5, 0.5), 120.0, 1.0, 1.0, (0.0, 0.0)),
        ((0.5, 0.0, 0.5, 1.0, 0.25, 0.5, 0.5), 0.0, 1.0, 1.0, (0.2, -0.1)),
        ((0.5, 0.0, 0.5, 0.5, 0.5, 1.0, 0.5), 0.0, 2.0, 1.0, (0.0, 0.0)),
        ((0.5, 0.0, 0.5, 0.5, 0.5, 0.75, 0.0), 0.0, math.sqrt(2), 1 / 3, (0.0, 0.0)),
        ((0.0, 0.0, 0.5, 0.0, 1.0, 0.0, 1.0), -30.0, 0.5, 3.0, (-0.2, 0.2)),
    ],
)
def test_affine_matrix_leads_back_to_where_a_point_came_from(
    shares: tuple[float, ...], angle: float, zoom: float, stretch: float, shift: tuple[float, float]
) -> None:
    affine = RandomAffine(degrees=30.0, upright=0.6, translate=0.2, scale=(0.5, 2.0), stretch=3.0)
    a, b, c, d, e, f = affine.matrix(30, 20, GivenNumbers(*shares))
    where = map_forward(30, 20, angle, zoom, stretch, shift)
    for point in [(0.0, 0.0), (30.0, 0.0), (12.5, 19.5), (15.0, 10.0)]:
        x, y = where(point)
        assert (a * x + b * y + c, d * x + e * y + f) == pytest.approx(point, abs=1e-9)


def interpolated(pixels: np.ndarray, matrix: tuple[float, ...]) -> np.ndarray:
    """Bilinear samples where the matrix leads from each pixel's centre; 0 outside of the image."""
    height, width = pixels.shape[:2]
    result = np.zeros(pixels.shape)
    a, b, c, d, e, f = matrix
    for row in range(height):
        for column in range(width):
            x, y = a * (column + 0.5) + b * (row + 0.5) + c, d * (column + 0.5) + e * (row + 0.5) + f
            if 0 <= x < width and 0 <= y < height:
                left, top = math.floor(x - 0.5), math.floor(y - 0.5)
                right_weight, lower_weight = x - 0.5 - left, y - 0.5 - top
                for i, row_weight in ((top, 1 - lower_weight), (top + 1, lower_weight)):
                    for j, weight in ((left, 1 - right_weight), (left + 1, right_weight)):
                        near = pixels[min(max(i, 0), height - 1), min(max(j, 0), width - 1)]
                        result[row, column] += row_weight * weight * near
    return result


STRONG = RandomAffine(degrees=40.0, upright=0.5, translate=0.2, scale=(0.6, 1.5), stretch=1.5)


@pytest.mark.parametrize("mode", ["L", "RGB", "RGBA"])
def test_affine_resamples_bilinearly_in_one_go(mode: str) -> None:
    pixels = np.random.default_rng(3).integers(0, 256, (14, 18, 4), dtype=np.uint8)
    image = Image.fromarray(pixels).convert(mode)
    source = np.asarray(image.convert("RGBa") if mode == "RGBA" else image, dtype=float)
    for index in range(4):
        result = STRONG(image, ImageRandomNumbers(0, 0, index))
        assert (result.mode, result.size) == ("RGBa" if mode == "RGBA" else mode, (18, 14))
        matrix = STRONG.matrix(18, 14, ImageRandomNumbers(0, 0, index))
        assert np.abs(np.asarray(result) - interpolated(source, matrix)).max() <= 1  # whole levels


def test_affine_keeps_hidden_colours_out_of_edges() -> None:
    pixels = np.zeros((16, 16, 4), dtype=np.uint8)  # black where nothing can be seen
    pixels[4:12, 4:12] = 255
    turned = np.asarray(
        RandomAffine(degrees=45.0)(Image.fromarray(pixels), GivenNumbers(0.9, 0, 0.5, 0.5, 0.5, 0.5, 0.5))
    )
    partly = (turned[..., 3] > 0) & (turned[..., 3] < 255)
    assert partly.any()
    np.testing.assert_array_equal(turned[..., 0], turned[..., 3])  # white at any opacity


def test_affine_draws_evenly_and_factors_evenly_on_a_logarithmic_scale() -> None:
    affine = RandomAffine(degrees=30.0, translate=0.1, scale=(0.5, 2.0), stretch=1.5)
    matrices = np.array([affine.matrix(1, 1, ImageRandomNumbers(2, 0, index)) for index in range(2000)])
    a, b, c, d, e, f = matrices.T
    inverses = np.linalg.inv(np.stack([np.stack([a, b], 1), np.stack([d, e], 1)], 1))  # (2000, 2, 2)
    lengths = np.hypot(inverses[:, 0], inverses[:, 1])  # of the images of both axes
    drawn = {
        "angle": (np.degrees(np.arctan2(inverses[:, 1, 0], inverses[:, 0, 0])), 30.0),
        "zoom": (np.log2(lengths.prod(axis=1)) / 2, 1.0),
        "stretch": (np.log(lengths[:, 0] / lengths[:, 1]), math.log(1.5)),
        "shift": (np.einsum("nij,nj->ni", inverses, np.stack([0.5 - c, 0.5 - f], 1))[:, 0] - 0.5, 0.1),
    }
    for values, largest in drawn.values():
        quantiles = np.quantile(values, [0, 0.25, 0.5, 0.75, 1])
        np.testing.assert_allclose(quantiles, largest * np.array([-1, -0.5, 0, 0.5, 1]), atol=0.06 * largest)


def test_affine_turns_the_share_that_need_not_be_upright_by_any_angle() -> None:
    affine = RandomAffine(degrees=20.0, upright=0.75)
    matrices = [affine.matrix(9, 9, ImageRandomNumbers(0, 0, index)) for index in range(2000)]
    angles = np.array([math.degrees(math.atan2(matrix[1], matrix[0])) for matrix in matrices])
    # a ninth of those turned by any angle are within 20 degrees as well
    assert np.mean(np.abs(angles) > 20) == pytest.approx(0.25 * 8 / 9, abs=0.03)
    assert np.abs(angles).max() > 170


def test_affine_without_parameters_changes_nothing() -> None:
    image = random_image()
    result = RandomAffine()(image, ImageRandomNumbers(0, 0, 0))
    np.testing.assert_array_equal(np.asarray(result), np.asarray(image))


@pytest.mark.parametrize("mode", ["L", "RGB", "RGBA"])
def test_one_pixel_can_be_turned(mode: str) -> None:
    image = Image.new(mode, (1, 1), "white")
    for index in range(20):
        assert STRONG(image, ImageRandomNumbers(0, 0, index)).size == (1, 1)


def test_affine_matrix_is_pinned() -> None:
    """Runs are resumed, and repeated from their recipes, across versions."""
    affine = RandomAffine(degrees=20.0, upright=0.9, translate=0.1, scale=(0.625, 1.18), stretch=1.65)
    matrices = [affine.matrix(64, 64, ImageRandomNumbers(0, 1, index)) for index in (0, 7)]
    assert matrices == [
        pytest.approx((0.999205301, 0.285176059, -9.140536741, -0.313801682, 1.099504304, 5.567609726), abs=1e-8),
        pytest.approx((1.164451203, 0.180033621, -4.678929798, -0.188430751, 1.218763547, 1.450759257), abs=1e-8),
    ]


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
        (RandomAffine, {"degrees": 181}, "augmentation degrees 181: expected a number from 0 to 180"),
        (RandomAffine, {"degrees": -1.0}, "degrees -1.0"),
        (RandomAffine, {"upright": 2}, "upright 2: expected a probability from 0 to 1"),
        (RandomAffine, {"translate": 1.5}, "translate 1.5: expected a number from 0 to 1"),
        (RandomAffine, {"scale": (0.0, 1.0)}, r"zoom \(0.0, 1.0\): expected two numbers in order, from 0.01 to 100"),
        (RandomAffine, {"scale": (1.2, 0.8)}, "zoom"),
        (RandomAffine, {"scale": 1.0}, "zoom 1.0"),
        (RandomAffine, {"stretch": 0.5}, "stretch 0.5: expected a number from 1 to 100"),
        (RandomAffine, {"stretch": math.nan}, "stretch nan"),
        (RandomHorizontalFlip, {"probability": 1.1}, "horizontal flip 1.1: expected a probability from 0 to 1"),
        (RandomHorizontalFlip, {"probability": None}, "horizontal flip None"),
    ],
)
def test_senseless_parameters_are_refused(transform: type, parameters: dict[str, Any], message: str) -> None:
    with pytest.raises(UsageError, match=message):
        transform(**parameters)
