"""Augmentation: presets and settings, their stored form, and what an augmented image depends on."""

from __future__ import annotations

import hashlib
import json
from typing import Any

import numpy as np
import pytest
from PIL import Image

from gradcli.data.augmentation import AUGMENTATIONS, Augmentation
from gradcli.data.preprocessing import Preprocessing, preprocess_arrays
from gradcli.data.random_numbers import ImageRandomNumbers
from gradcli.data.transforms import ColorJitter, RandomHorizontalFlip, RandomResizedCrop
from gradcli.errors import UsageError

EVERYTHING = Augmentation.named("standard", brightness=0.4, contrast=0.4, saturation=0.4, hue=0.1)
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


@pytest.mark.parametrize("shape", [(20, 30, 3), (8, 8), (1, 1, 3)])
@pytest.mark.parametrize("augmentation", [*AUGMENTATIONS.values(), EVERYTHING])
def test_results_are_network_inputs(augmentation: Augmentation, shape: tuple[int, ...]) -> None:
    result = augmentation.apply(random_pixels(*shape), Preprocessing(size=(6, 9), resize=9), seed=1, view=2, index=3)
    assert result.dtype == np.float32
    assert result.shape == (3, 6, 9)
    assert np.isfinite(result).all()


def test_transforms_follow_one_another_in_the_order_of_the_fields() -> None:
    image = Image.fromarray(random_pixels(20, 30, 3))
    numbers = ImageRandomNumbers(5, 6, 7)
    expected = RandomResizedCrop()(image, PREPROCESSING, numbers)
    expected = RandomHorizontalFlip()(expected, numbers)
    expected = ColorJitter(0.4, 0.4, 0.4, 0.1)(expected, numbers)
    actual = EVERYTHING.apply_to_pixels(image, PREPROCESSING, seed=5, view=6, index=7)
    np.testing.assert_array_equal(actual, np.asarray(expected))


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
    pixels = AUGMENTATIONS["standard"].apply_to_pixels(image, nearest, seed=0, view=0, index=0)
    assert hashlib.sha256(pixels.tobytes()).hexdigest()[:16] == "c26ac2d84db7ec40"


@pytest.mark.parametrize(
    ("name", "settings", "expected"),
    [
        ("none", {}, Augmentation()),
        ("standard", {}, Augmentation(RandomResizedCrop((0.08, 1.0), (3 / 4, 4 / 3)), RandomHorizontalFlip(0.5))),
        ("standard", {"horizontal_flip": 0.0}, Augmentation(RandomResizedCrop())),
        ("standard", {"crop_ratio": (1.0, 1.0)}, Augmentation(RandomResizedCrop(ratio=(1, 1)), RandomHorizontalFlip())),
        ("none", {"crop_scale": (0.5, 1.0)}, Augmentation(RandomResizedCrop(scale=(0.5, 1.0)))),
        ("none", {"hue": 0.1, "contrast": 0.2}, Augmentation(color_jitter=ColorJitter(contrast=0.2, hue=0.1))),
        ("none", {"brightness": 0.0, "horizontal_flip": 0.0}, Augmentation()),
    ],
)
def test_presets_with_settings(name: str, settings: dict[str, Any], expected: Augmentation) -> None:
    assert Augmentation.named(name, **settings) == expected


def test_light_is_milder_than_standard() -> None:
    light, standard = (AUGMENTATIONS[name].random_resized_crop for name in ("light", "standard"))
    assert light is not None
    assert standard is not None
    assert light.scale[0] > 0.5 > standard.scale[0]


def test_only_no_transform_is_false() -> None:
    assert not Augmentation()
    assert all(AUGMENTATIONS[name] for name in ("light", "standard"))
    assert Augmentation(color_jitter=ColorJitter(hue=0.1))


@pytest.mark.parametrize("augmentation", [*AUGMENTATIONS.values(), EVERYTHING])
def test_dictionary_survives_json(augmentation: Augmentation) -> None:
    values = json.loads(json.dumps(augmentation.to_dict()))
    assert Augmentation.from_dict(values, "run/config.toml") == augmentation


@pytest.mark.parametrize(
    ("values", "message"),
    [
        ([1], r"run: augmentation holds \[1\]; expected some of random_resized_crop, horizontal_flip, color_jitter"),
        ({"mixup": {}}, "run: augmentation holds mixup; expected some of"),
        ({"horizontal_flip": 0.5}, "run: augmentation horizontal_flip is 0.5; expected probability"),
        ({"random_resized_crop": {"scale": [0.1, 1.0]}}, "random_resized_crop is .*; expected scale, ratio"),
        ({"horizontal_flip": {"probability": 2}}, "run: augmentation horizontal flip 2: expected a probability"),
        ({"color_jitter": {"brightness": "a", "contrast": 0, "saturation": 0, "hue": 0}}, "brightness a: expected"),
    ],
)
def test_stored_values_that_make_no_sense_name_the_file(values: Any, message: str) -> None:
    with pytest.raises(UsageError, match=message):
        Augmentation.from_dict(values, "run")


def test_unknown_preset_lists_the_known_ones() -> None:
    with pytest.raises(UsageError, match="augmentation 'heavy': expected one of none, light, standard"):
        Augmentation.named("heavy")
