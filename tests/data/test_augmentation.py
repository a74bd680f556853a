"""Augmentation: presets and settings, their stored form, and what an augmented image depends on."""

from __future__ import annotations

import dataclasses
import hashlib
import json
from typing import Any

import numpy as np
import pytest
from PIL import Image

from gradcli.data.augmentation import AUGMENTATION_SETTINGS, AUGMENTATIONS, Augmentation
from gradcli.data.preprocessing import Preprocessing, preprocess_arrays
from gradcli.data.random_numbers import ImageRandomNumbers
from gradcli.data.transforms import (
    ColorJitter,
    GaussianNoise,
    RandomAffine,
    RandomBackground,
    RandomChannelGain,
    RandomErasing,
    RandomGrayscale,
    RandomHorizontalFlip,
    RandomInvert,
    RandomResizedCrop,
)
from gradcli.data.transparency import over_white, pixels_over_white
from gradcli.errors import UsageError

JITTERED = Augmentation.named("standard", brightness=0.4, contrast=0.4, saturation=0.4, hue=0.1)
EVERYTHING = Augmentation.named(
    "strong",
    crop_scale=(0.5, 1.0),
    brightness=0.4,
    contrast=0.4,
    saturation=0.4,
    hue=0.1,
    grayscale=1.0,
    invert=1.0,
    erase=1.0,
)
PREPROCESSING = Preprocessing.straight(16)


def random_pixels(*shape: int, seed: int = 0) -> np.ndarray:
    return np.random.default_rng(seed).integers(0, 256, shape, dtype=np.uint8)


def test_without_transforms_an_image_is_only_preprocessed() -> None:
    preprocessing = Preprocessing(size=(12, 10), resize=14)
    for pixels in (random_pixels(20, 30, 3), random_pixels(20, 30)):
        actual = Augmentation().apply(pixels, preprocessing, seed=0, view=0, index=0)
        np.testing.assert_array_equal(actual, preprocess_arrays(pixels[None], preprocessing)[0])


def test_flip_without_crop_keeps_the_geometry_of_the_preprocessing() -> None:
    preprocessing = Preprocessing(size=(12, 10), resize=14)
    pixels = random_pixels(20, 30, 3)
    flip = Augmentation(horizontal_flip=RandomHorizontalFlip(probability=1.0))
    expected = preprocess_arrays(pixels[None], preprocessing)[0][:, :, ::-1]
    np.testing.assert_array_equal(flip.apply(pixels, preprocessing, seed=0, view=0, index=0), expected)


@pytest.mark.parametrize("shape", [(20, 30, 3), (20, 30, 4), (8, 8), (1, 1), (1, 1, 3), (1, 1, 4)])
@pytest.mark.parametrize("augmentation", [*AUGMENTATIONS.values(), JITTERED, EVERYTHING])
def test_results_are_network_inputs(augmentation: Augmentation, shape: tuple[int, ...]) -> None:
    result = augmentation.apply(random_pixels(*shape), Preprocessing(size=(6, 9), resize=9), seed=1, view=2, index=3)
    assert result.dtype == np.float32
    assert result.shape == (3, 6, 9)
    assert np.isfinite(result).all()


def test_transforms_follow_one_another_in_the_order_of_the_fields() -> None:
    image = Image.fromarray(random_pixels(20, 30, 4))
    for index in range(5):
        numbers = ImageRandomNumbers(5, 6, index)
        expected = RandomResizedCrop(scale=(0.5, 1.0))(image, PREPROCESSING, numbers)
        expected = RandomAffine(degrees=20.0, upright=0.9, translate=0.1, scale=(0.625, 1.18), stretch=1.65)(
            expected, numbers
        )
        expected = RandomHorizontalFlip()(expected, numbers)
        expected = RandomBackground()(expected, numbers)
        expected = ColorJitter(0.4, 0.4, 0.4, 0.1)(expected, numbers)
        expected = RandomChannelGain(gain=0.4, offset=0.15)(expected, numbers)
        expected = RandomGrayscale(1.0)(expected, numbers)
        expected = RandomInvert(1.0)(expected, numbers)
        expected = GaussianNoise(0.08)(expected, numbers)
        expected = RandomErasing(1.0)(expected, numbers)
        actual = EVERYTHING.apply_to_pixels(image, PREPROCESSING, seed=5, view=6, index=index)
        np.testing.assert_array_equal(actual, np.asarray(expected))


@pytest.mark.parametrize("augmentation", [AUGMENTATIONS["none"], AUGMENTATIONS["standard"], JITTERED])
def test_transparent_images_are_augmented_over_white(augmentation: Augmentation) -> None:
    pixels = random_pixels(20, 30, 4)
    for index in range(5):
        place = {"seed": 0, "view": 0, "index": index}
        expected = augmentation.apply(pixels_over_white(pixels[None])[0], PREPROCESSING, **place)
        np.testing.assert_array_equal(augmentation.apply(pixels, PREPROCESSING, **place), expected)


def test_what_an_affine_map_uncovers_is_white_around_transparent_images_without_a_background() -> None:
    affine = RandomAffine(scale=(0.5, 0.5))
    smaller = Augmentation(affine=affine, color_jitter=ColorJitter(brightness=0.5))
    image = Image.fromarray(random_pixels(16, 16, 4))
    numbers = ImageRandomNumbers(0, 0, 0)
    expected = ColorJitter(brightness=0.5)(over_white(affine(image, numbers)), numbers)
    actual = smaller.apply_to_pixels(image, PREPROCESSING, seed=0, view=0, index=0)
    np.testing.assert_array_equal(actual, np.asarray(expected))
    without_jitter = Augmentation(affine=affine).apply_to_pixels(image, PREPROCESSING, seed=0, view=0, index=0)
    assert (without_jitter[:3] == 255).all()


def test_a_later_transform_leaves_the_random_numbers_of_those_before_it() -> None:
    pixels = random_pixels(20, 30, 3)
    for index in range(10):
        place = {"seed": 0, "view": 0, "index": index}
        turned = Augmentation.named("standard", hue=1e-9).apply(pixels, PREPROCESSING, **place)
        plain = AUGMENTATIONS["standard"].apply(pixels, PREPROCESSING, **place)
        np.testing.assert_allclose(turned, plain, atol=0.15)  # HSV and back costs some levels


def test_result_depends_on_seed_view_and_index_alone() -> None:
    pixels = random_pixels(20, 30, 3)
    places = [(0, 0, 0), (1, 0, 0), (0, 1, 0), (0, 0, 1)]

    def augmented(seed: int, view: int, index: int) -> bytes:
        return EVERYTHING.apply(pixels, PREPROCESSING, seed=seed, view=view, index=index).tobytes()

    first = [augmented(*place) for place in places]
    assert len(set(first)) == len(places)
    assert [augmented(*place) for place in reversed(places)] == first[::-1]


def test_geometry_and_factors_are_pinned() -> None:
    """Runs are resumed, and features cached, across versions: the same numbers have to give the same crops."""
    boxes = [RandomResizedCrop().box(640, 480, ImageRandomNumbers(0, 1, index)) for index in range(3)]
    assert boxes == [(213, 111, 287, 291), (221, 36, 370, 342), (52, 23, 405, 431)]
    nearest = Preprocessing(size=(8, 8), resize=None, interpolation="nearest")
    image = np.arange(81, dtype=np.uint8).reshape(9, 9)
    for name, expected in (("light", "f905c093fa5c56d7"), ("standard", "c26ac2d84db7ec40")):
        pixels = AUGMENTATIONS[name].apply_to_pixels(image, nearest, seed=0, view=0, index=0)
        assert hashlib.sha256(pixels.tobytes()).hexdigest()[:16] == expected
    coloured = random_pixels(20, 30, 3)
    jittered = [JITTERED.apply_to_pixels(coloured, nearest, seed=0, view=0, index=index) for index in range(5)]
    assert [pixels.mean() for pixels in jittered] == pytest.approx([73.3, 156.6, 136.8, 98.1, 99.9], abs=0.5)


def test_strong_is_pinned() -> None:
    """Whatever is drawn otherwise changes the mean of some image by more than Pillow's rounding can."""
    pixels = random_pixels(20, 30, 4)
    pixels[:6] = 0
    strong = [
        AUGMENTATIONS["strong"].apply_to_pixels(pixels, PREPROCESSING, seed=0, view=1, index=i) for i in range(12)
    ]
    assert [image.mean() for image in strong] == pytest.approx(
        [120.8, 122.1, 119.3, 138.2, 103.7, 126.7, 100.2, 80.0, 133.9, 74.6, 140.9, 128.6], abs=0.5
    )


@pytest.mark.parametrize(
    ("name", "settings", "expected"),
    [
        ("none", {}, Augmentation()),
        (
            "standard",
            {},
            Augmentation(
                random_resized_crop=RandomResizedCrop((0.08, 1.0), (3 / 4, 4 / 3)),
                horizontal_flip=RandomHorizontalFlip(0.5),
            ),
        ),
        ("standard", {"horizontal_flip": 0.0}, Augmentation(random_resized_crop=RandomResizedCrop())),
        (
            "standard",
            {"crop_ratio": (1.0, 1.0)},
            Augmentation(random_resized_crop=RandomResizedCrop(ratio=(1, 1)), horizontal_flip=RandomHorizontalFlip()),
        ),
        (
            "none",
            {"crop_scale": (0.5, 1.0)},
            Augmentation(random_resized_crop=RandomResizedCrop(scale=(0.5, 1.0))),
        ),
        ("none", {"hue": 0.1, "contrast": 0.2}, Augmentation(color_jitter=ColorJitter(contrast=0.2, hue=0.1))),
        ("none", {"brightness": 0.0, "horizontal_flip": 0.0}, Augmentation()),
        (
            "none",
            {"degrees": 10.0, "upright": None, "zoom": (0.9, 1.1)},
            Augmentation(affine=RandomAffine(degrees=10.0, scale=(0.9, 1.1))),
        ),
        (
            "none",
            {"translate": 0.1, "stretch": 1.2, "upright": 0.5},
            Augmentation(affine=RandomAffine(upright=0.5, translate=0.1, stretch=1.2)),
        ),
        (
            "none",
            {"background": 0.5, "noise": 0.2, "erase": 0.25},
            Augmentation(
                background=RandomBackground(0.5), noise=GaussianNoise(0.2), erasing=RandomErasing(probability=0.25)
            ),
        ),
        (
            "none",
            {"channel_gain": 0.2, "channel_offset": 0.1, "grayscale": 0.5, "invert": 0.5},
            Augmentation(
                channel_gain=RandomChannelGain(0.2, 0.1), grayscale=RandomGrayscale(0.5), invert=RandomInvert(0.5)
            ),
        ),
        (
            "strong",
            {
                "degrees": 0.0,
                "upright": 1.0,
                "translate": 0.0,
                "zoom": (1.0, 1.0),
                "stretch": 1.0,
                "horizontal_flip": 0.0,
                "background": 0.0,
                "channel_gain": 0.0,
                "channel_offset": 0.0,
                "grayscale": 0.0,
                "invert": 0.0,
                "noise": 0.0,
                "erase": 0.0,
            },
            Augmentation(),
        ),
    ],
)
def test_presets_with_settings(name: str, settings: dict[str, Any], expected: Augmentation) -> None:
    assert Augmentation.named(name, **settings) == expected


def test_light_is_milder_than_standard() -> None:
    light, standard = (AUGMENTATIONS[name].random_resized_crop for name in ("light", "standard"))
    assert light is not None
    assert standard is not None
    assert light.scale[0] > 0.5 > standard.scale[0]


def test_every_parameter_of_a_preset_can_be_set_or_its_transform_be_left_out() -> None:
    reached = {transform for transform, _ in AUGMENTATION_SETTINGS.values()}
    assert reached == {field.name for field in dataclasses.fields(Augmentation)}
    for setting, (transform, parameter) in AUGMENTATION_SETTINGS.items():
        value = (0.5, 0.75) if setting in ("crop_scale", "crop_ratio", "zoom") else 0.5 if setting != "stretch" else 1.5
        changed = Augmentation.named("none", **{setting: value})
        assert changed.to_dict()[transform][parameter] == (list(value) if isinstance(value, tuple) else value)


def test_only_no_transform_is_false() -> None:
    assert not Augmentation()
    assert all(AUGMENTATIONS[name] for name in ("light", "standard", "strong"))
    assert Augmentation(color_jitter=ColorJitter(hue=0.1))


@pytest.mark.parametrize("augmentation", [*AUGMENTATIONS.values(), JITTERED, EVERYTHING])
def test_dictionary_survives_json(augmentation: Augmentation) -> None:
    values = json.loads(json.dumps(augmentation.to_dict()))
    assert Augmentation.from_dict(values, "run/config.toml") == augmentation


@pytest.mark.parametrize(
    ("values", "message"),
    [
        ([1], r"run: augmentation holds \[1\]; expected some of random_resized_crop, affine, horizontal_flip, back"),
        ({"mixup": {}}, "run: augmentation holds mixup; expected some of"),
        ({"horizontal_flip": 0.5}, "run: augmentation horizontal_flip is 0.5; expected probability"),
        ({"random_resized_crop": {"scale": [0.1, 1.0]}}, "random_resized_crop is .*; expected scale, ratio"),
        ({"horizontal_flip": {"probability": 2}}, "run: augmentation horizontal flip 2: expected a probability"),
        ({"color_jitter": {"brightness": "a", "contrast": 0, "saturation": 0, "hue": 0}}, "brightness a: expected"),
        (
            {"affine": {"degrees": 5}},
            "run: augmentation affine is .*; expected degrees, upright, translate, scale, str",
        ),
        ({"noise": {"sigma": -1}}, "run: augmentation noise -1: expected a number from 0 to 1"),
    ],
)
def test_stored_values_that_make_no_sense_name_the_file(values: Any, message: str) -> None:
    with pytest.raises(UsageError, match=message):
        Augmentation.from_dict(values, "run")


def test_unknown_preset_lists_the_known_ones() -> None:
    with pytest.raises(UsageError, match="augmentation 'heavy': expected one of none, light, standard, strong"):
        Augmentation.named("heavy")
