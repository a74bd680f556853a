"""Preprocessing: geometry and numbers against independent computations, and its stored form."""

from __future__ import annotations

import json
from typing import Any

import numpy as np
import pytest
from PIL import Image

from gradcli.data.preprocessing import (
    INTERPOLATIONS,
    Preprocessing,
    normalise,
    normalise_channels_last,
    preprocess_arrays,
    resize_and_crop,
)
from gradcli.data.transparency import pixels_over_white
from gradcli.errors import UsageError, WeightsError

MEAN = np.array([0.485, 0.456, 0.406])
STD = np.array([0.229, 0.224, 0.225])


def triangle_weights(source: int, target: int) -> np.ndarray:
    """Rows of antialiased bilinear weights: triangles as wide as the shrinking factor, normalised."""
    scale = source / target
    support = max(scale, 1.0)
    centres = (np.arange(target) + 0.5) * scale
    distance = np.abs((np.arange(source) + 0.5)[None, :] - centres[:, None]) / support
    weights = np.maximum(0, 1 - distance)
    return weights / weights.sum(axis=1, keepdims=True)


def random_image(height: int, width: int, seed: int = 0) -> np.ndarray:
    return np.random.default_rng(seed).integers(0, 256, (height, width, 3), dtype=np.uint8)


@pytest.mark.parametrize(("height", "width"), [(40, 60), (61, 37), (50, 50), (9, 20)])
def test_resize_is_antialiased_bilinear_to_the_shorter_side_with_a_centre_crop(height: int, width: int) -> None:
    pixels = random_image(height, width)
    preprocessing = Preprocessing(size=(14, 14), resize=16)
    new_height, new_width = (16, 16 * width // height) if height <= width else (16 * height // width, 16)
    rows, columns = triangle_weights(height, new_height), triangle_weights(width, new_width)
    resized = np.einsum("ih,hwc,jw->ijc", rows, pixels.astype(float), columns)
    top, left = round((new_height - 14) / 2), round((new_width - 14) / 2)
    expected = resized[top : top + 14, left : left + 14]
    actual = np.asarray(resize_and_crop(Image.fromarray(pixels), preprocessing), dtype=float)
    assert actual.shape == (14, 14, 3)
    assert np.abs(actual - expected).max() <= 1.01  # Pillow rounds to whole levels after each axis


@pytest.mark.parametrize(
    ("resized", "crop", "offset"),
    [(5, 2, 2), (7, 2, 2), (9, 2, 4), (6, 2, 2)],
    ids=["1.5", "2.5", "3.5", "2"],
)
def test_crop_offset_is_rounded_half_to_even(resized: int, crop: int, offset: int) -> None:
    row = np.arange(resized * resized, dtype=np.uint8).reshape(resized, resized)
    cropped = np.asarray(resize_and_crop(Image.fromarray(row), Preprocessing((crop, crop), resize=resized)))
    np.testing.assert_array_equal(cropped, row[offset : offset + crop, offset : offset + crop])


@pytest.mark.parametrize(
    ("height", "width", "expected"),
    [(480, 640, (256, 341)), (640, 480, (341, 256)), (256, 256, (256, 256)), (3, 1000, (256, 85333))],
)
def test_resized_size_truncates_the_longer_side(height: int, width: int, expected: tuple[int, int]) -> None:
    assert Preprocessing().resized_size(height, width) == expected


def test_resized_size_is_the_size_when_resizing_straight() -> None:
    assert Preprocessing.straight(32).resized_size(8, 5) == (32, 32)


def test_normalise_scales_bytes_and_standardises_each_channel() -> None:
    pixels = np.random.default_rng(1).integers(0, 256, (2, 3, 4, 5), dtype=np.uint8)
    expected = (pixels / 255 - MEAN[:, None, None]) / STD[:, None, None]
    actual = normalise(pixels, Preprocessing())
    assert actual.dtype == np.float32
    assert actual.flags.c_contiguous
    np.testing.assert_allclose(actual, expected, rtol=1e-5, atol=1e-6)


def test_normalise_leaves_its_input_alone() -> None:
    images = np.full((1, 3, 2, 2), 0.5, dtype=np.float32)
    normalise(images, Preprocessing())
    assert (images == 0.5).all()


@pytest.mark.parametrize("interpolation", INTERPOLATIONS)
@pytest.mark.parametrize(
    ("height", "width", "size", "resize"),
    [(28, 28, (32, 32), None), (20, 31, (8, 6), 9), (8, 5, (64, 64), None), (33, 20, (20, 17), 24), (7, 9, (7, 9), 9)],
)
def test_preprocess_arrays_treats_bytes_as_image_files_with_these_pixels(
    height: int, width: int, size: tuple[int, int], resize: int | None, interpolation: str, monkeypatch
) -> None:
    monkeypatch.setattr("gradcli.data.preprocessing._PIXELS_AT_ONCE", 3 * 64 * 64)  # stacks of 3 and more
    pixels = np.stack([random_image(height, width, seed) for seed in range(7)])
    preprocessing = Preprocessing(size=size, resize=resize, interpolation=interpolation)
    expected = [np.asarray(resize_and_crop(Image.fromarray(image), preprocessing)) for image in pixels]
    np.testing.assert_array_equal(
        preprocess_arrays(pixels, preprocessing),
        normalise(np.stack(expected).transpose(0, 3, 1, 2), preprocessing),  # (N, H, W, 3) -> (N, 3, H, W)
    )
    grey = pixels[..., 0]
    expected = [np.asarray(resize_and_crop(Image.fromarray(image), preprocessing)) for image in grey]
    np.testing.assert_array_equal(
        preprocess_arrays(grey, preprocessing),
        normalise_channels_last(np.stack(expected), preprocessing),
    )


@pytest.mark.parametrize("channels", [(), (3,)])
def test_preprocess_arrays_resizes_each_float_image_by_itself(channels: tuple[int, ...], monkeypatch) -> None:
    images = np.random.default_rng(6).random((5, 9, 12, *channels), dtype=np.float32)
    preprocessing = Preprocessing(size=(7, 6), resize=8)
    together = preprocess_arrays(images, preprocessing)
    monkeypatch.setattr("gradcli.data.preprocessing._PIXELS_AT_ONCE", 1)
    alone = np.concatenate([preprocess_arrays(image[None], preprocessing) for image in images])
    np.testing.assert_array_equal(together, alone)


def test_preprocess_arrays_of_the_size_wanted_leaves_its_input_alone() -> None:
    pixels = np.stack([random_image(6, 6, seed) for seed in range(2)])
    before = pixels.copy()
    result = preprocess_arrays(pixels, Preprocessing.straight(6))
    np.testing.assert_array_equal(result, normalise(before.transpose(0, 3, 1, 2), Preprocessing()))  # -> (N, 3, H, W)
    np.testing.assert_array_equal(pixels, before)


def test_preprocess_arrays_of_no_images() -> None:
    assert preprocess_arrays(np.empty((0, 8, 8), np.uint8), Preprocessing.straight(32)).shape == (0, 3, 32, 32)


def test_normalise_channels_last_repeats_grey() -> None:
    grey = np.random.default_rng(7).integers(0, 256, (2, 4, 5), dtype=np.uint8)
    expected = normalise_channels_last(np.repeat(grey[..., None], 3, axis=3), Preprocessing())
    np.testing.assert_array_equal(normalise_channels_last(grey, Preprocessing()), expected)


@pytest.mark.parametrize("dtype", [np.uint8, np.float32])
def test_preprocess_arrays_repeats_grey_to_three_channels(dtype: type) -> None:
    grey = np.random.default_rng(2).integers(0, 2, (4, 8, 8)).astype(dtype)
    rgb = np.repeat(grey[..., None], 3, axis=3)
    preprocessing = Preprocessing.straight(16)
    result = preprocess_arrays(grey, preprocessing)
    assert result.shape == (4, 3, 16, 16)
    np.testing.assert_array_equal(result, preprocess_arrays(rgb, preprocessing))


@pytest.mark.parametrize("dtype", [np.uint8, np.float32])
def test_preprocess_arrays_shows_transparent_images_over_white(dtype: type) -> None:
    pixels = np.random.default_rng(4).integers(0, 256, (3, 9, 8, 4), dtype=np.uint8)
    images = pixels if dtype == np.uint8 else (pixels / 255).astype(np.float32)
    preprocessing = Preprocessing.straight(16)
    opaque = preprocess_arrays(pixels_over_white(images), preprocessing)
    np.testing.assert_array_equal(preprocess_arrays(images, preprocessing), opaque)
    assert opaque.shape == (3, 3, 16, 16)


def test_preprocess_arrays_resizes_floats_without_rounding() -> None:
    grey = np.random.default_rng(3).random((2, 6, 6), dtype=np.float32)
    preprocessing = Preprocessing(size=(13, 13), resize=None, mean=(0, 0, 0), std=(1, 1, 1))
    weights = triangle_weights(6, 13)
    expected = np.einsum("ih,nhw,jw->nij", weights, grey, weights)
    np.testing.assert_allclose(preprocess_arrays(grey, preprocessing)[:, 1], expected, atol=1e-6)


def test_imagenet_keeps_its_margin_at_other_sizes() -> None:
    assert Preprocessing.imagenet() == Preprocessing(size=(224, 224), resize=256)
    assert Preprocessing.imagenet(64) == Preprocessing(size=(64, 64), resize=73)
    assert Preprocessing.imagenet().with_size(96, 128) == Preprocessing(size=(96, 128), resize=146)
    assert Preprocessing.straight(32).with_size(48, 40) == Preprocessing(size=(48, 40), resize=None)


@pytest.mark.parametrize(
    ("height", "width", "expected"),
    [
        (8, 8, Preprocessing.straight(32)),
        (32, 33, Preprocessing.straight(64)),
        (64, 65, Preprocessing.imagenet()),
    ],
)
def test_default_for_array_images_depends_on_their_size(height: int, width: int, expected: Preprocessing) -> None:
    assert Preprocessing.for_array_images(height, width) == expected


@pytest.mark.parametrize(
    "preprocessing", [Preprocessing(), Preprocessing.straight(32), Preprocessing(interpolation="bicubic")]
)
def test_dictionary_survives_json(preprocessing: Preprocessing) -> None:
    values = json.loads(json.dumps(preprocessing.to_dict()))
    assert Preprocessing.from_dict(values, "weights.safetensors") == preprocessing


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"size": (0, 4)}, r"preprocessing size \(0, 4\): expected \(height, width\), both 1 to 8192"),
        ({"size": (4.0, 4)}, "preprocessing size"),
        ({"resize": 100}, "preprocessing resize 100: expected at least the larger side"),
        ({"mean": (0.5, 0.5)}, "preprocessing mean .* expected three finite numbers"),
        ({"mean": (0.5, float("nan"), 0.5)}, "preprocessing mean .* expected three finite numbers"),
        ({"std": (1.0, 0.0, 1.0)}, "preprocessing std .* expected three numbers above 0"),
        ({"interpolation": "cubic"}, "interpolation 'cubic': expected one of nearest, box, bilinear"),
    ],
)
def test_impossible_values_are_refused(changes: dict[str, Any], message: str) -> None:
    with pytest.raises(UsageError, match=message):
        Preprocessing(**changes)


@pytest.mark.parametrize(
    ("values", "message"),
    [
        ({"size": [224, 224]}, "w.safetensors: preprocessing holds size; expected the fields size, resize"),
        ([1, 2], r"w.safetensors: preprocessing holds \[1, 2\]; expected the fields"),
        ({**Preprocessing().to_dict(), "crop": 1}, "crop; expected the fields"),
        ({**Preprocessing().to_dict(), "size": [0, 1]}, "w.safetensors: preprocessing size"),
        ({**Preprocessing().to_dict(), "std": None}, "w.safetensors: "),
    ],
)
def test_stored_values_that_do_not_fit_name_the_file(values: Any, message: str) -> None:
    with pytest.raises(WeightsError, match=message):
        Preprocessing.from_dict(values, "w.safetensors")


@pytest.mark.parity
def test_normalise_matches_pytorch_bit_for_bit() -> None:
    torch = pytest.importorskip("torch")
    pixels = np.random.default_rng(4).integers(0, 256, (2, 3, 9, 7), dtype=np.uint8)
    images = torch.from_numpy(pixels).to(torch.float32).div(255)
    mean, std = (torch.tensor(values, dtype=torch.float32)[:, None, None] for values in (MEAN, STD))
    np.testing.assert_array_equal(normalise(pixels, Preprocessing()), images.sub(mean).div(std).numpy())


@pytest.mark.parity
@pytest.mark.parametrize(("height", "width", "size"), [(50, 70, 32), (8, 8, 32)])
def test_straight_resize_matches_pytorch_antialiased_interpolation(height: int, width: int, size: int) -> None:
    torch = pytest.importorskip("torch")
    grey = np.random.default_rng(5).random((2, height, width), dtype=np.float32)
    preprocessing = Preprocessing(size=(size, size), resize=None, mean=(0, 0, 0), std=(1, 1, 1))
    expected = torch.nn.functional.interpolate(
        torch.from_numpy(grey)[:, None],
        size=(size, size),
        mode="bilinear",
        antialias=True,
        align_corners=False,
    )
    np.testing.assert_allclose(preprocess_arrays(grey, preprocessing)[:, :1], expected.numpy(), atol=1e-5)
