"""Saliency: the largest magnitude over the channels, and its picture."""

from __future__ import annotations

import io

import numpy as np
from PIL import Image

from gradcli.inspection.gradients.collection import collect_gradients
from gradcli.inspection.gradients.saliency import SHORTEST_SIDE, collect_saliency, saliency_picture
from gradcli.training.passes import PassSettings, prepare


def test_saliency_is_the_largest_magnitude_of_a_pixels_gradient() -> None:
    settings = PassSettings(shape=(2, 3, 32, 40), mode="eval")
    gradients = collect_saliency(prepare(settings))
    assert list(gradients.arrays) == ["saliency"]
    by_channel = np.abs(collect_gradients(prepare(settings), wrt_input=True).arrays["input"])
    expected = np.maximum(np.maximum(by_channel[:, 0], by_channel[:, 1]), by_channel[:, 2])
    np.testing.assert_allclose(gradients.arrays["saliency"], expected, rtol=1e-4)


def opened(content: bytes) -> np.ndarray:
    return np.asarray(Image.open(io.BytesIO(content)).convert("RGB")).astype(int)


def test_a_picture_shows_the_image_and_where_it_matters() -> None:
    image = np.zeros((1, 3, 80, 80), np.float32)
    image[:, :, 40:] = 5
    saliency = np.zeros((1, 80, 80), np.float32)
    saliency[0, :, :20] = 1
    picture = opened(saliency_picture(image, saliency))
    assert picture.shape == (SHORTEST_SIDE, 2 * SHORTEST_SIDE + 8, 3)
    assert picture[10, 10].tolist() == [0, 0, 0]
    assert picture[150, 10].tolist() == [255, 255, 255]
    over = picture[:, SHORTEST_SIDE + 8 :]
    assert over[10, 10].tolist() == over[150, 10].tolist() == [200, 0, 0]
    assert over[150, 100].tolist() == [255, 255, 255]
    assert len(set(over[10, 100].tolist())) == 1  # grey where nothing matters


def test_several_images_share_a_sheet_and_flat_ones_are_drawn_too() -> None:
    flat = opened(saliency_picture(np.ones((5, 3, 200, 100), np.float32), np.zeros((5, 200, 100), np.float32)))
    assert flat.shape == (2 * 200 * 2 + 16 + 0, 3 * (2 * 200 + 8) + 2 * 16, 3)
