"""Saliency: how much each pixel of the images matters to the loss, as numbers and as a picture."""

from __future__ import annotations

import dataclasses
import io
import math

import numpy as np

from gradcli.inspection.gradients.collection import INPUT_NAME, Gradients, collect_gradients
from gradcli.kernels.statistics import Array
from gradcli.training.passes import Pass

SALIENCY_NAME = "saliency"

SHORTEST_SIDE = 160
"""Pixels: images with a shorter side are enlarged for the picture, by a whole number."""

_GAP = 8
_BRIGHTEST_SHARE = 0.99


def collect_saliency(run: Pass) -> Gradients:
    """The saliency (N, H, W), as the only array: of each pixel the largest magnitude of its channels' gradients.

    As Simonyan, Vedaldi and Zisserman define it ("Deep Inside Convolutional Networks", 2013), of the loss of the pass.
    The gradients of parameters are not computed.
    """
    for parameter in run.model.parameters():
        parameter.requires_grad = False
    gradients = collect_gradients(run, wrt_input=True)
    return dataclasses.replace(gradients, arrays={SALIENCY_NAME: saliency_of(gradients.arrays[INPUT_NAME])})


def saliency_of(input_gradient: Array) -> Array:
    """The saliency (N, H, W) of images from their gradient (N, C, H, W): the largest magnitude over the channels."""
    saliency: Array = np.abs(input_gradient).max(axis=1)  # (N, C, H, W) -> (N, H, W)
    return saliency


def saliency_picture(images: Array, saliency: Array) -> bytes:
    """A PNG file: for each of the images (N, 3, H, W) itself and, to its right, its saliency (N, H, W) in red over it.

    Several images are in rows from left to right, about as many rows as columns. Each image is drawn from its smallest
    number, black, to its largest; its saliency from 0 to the value that one pixel in a hundred exceeds.
    """
    from PIL import Image

    count, _, height, width = images.shape
    enlarged = max(1, math.ceil(SHORTEST_SIDE / min(height, width)))
    tile_height, tile_width = enlarged * height, 2 * enlarged * width + _GAP
    columns = math.ceil(math.sqrt(count * tile_height / tile_width))
    rows = math.ceil(count / columns)
    size = columns * (tile_width + 2 * _GAP) - 2 * _GAP, rows * (tile_height + 2 * _GAP) - 2 * _GAP
    sheet = Image.new("RGB", size, "white")
    for index, (image, values) in enumerate(zip(images, saliency, strict=True)):
        shown = Image.fromarray(_as_bytes(_scaled(image, image.min(), image.max()).transpose(1, 2, 0)))  # -> (H, W, C)
        mask = Image.fromarray(_as_bytes(_scaled(values, 0.0, np.quantile(values, _BRIGHTEST_SHARE))))
        faded = Image.blend(shown.convert("L").convert("RGB"), Image.new("RGB", shown.size, "white"), 0.5)
        over = Image.composite(Image.new("RGB", shown.size, (200, 0, 0)), faded, mask)
        row, column = divmod(index, columns)
        left, top = column * (tile_width + 2 * _GAP), row * (tile_height + 2 * _GAP)
        for picture in (shown, over):
            larger = picture.resize((enlarged * width, enlarged * height), Image.Resampling.NEAREST)
            sheet.paste(larger, (left, top))
            left += enlarged * width + _GAP
    file = io.BytesIO()
    sheet.save(file, "PNG")
    return file.getvalue()


def _scaled(values: Array, low: float, high: float) -> Array:
    """The values from `low` to `high` as 0 to 1, cut off beyond; 0 without a finite distance between the two."""
    if not low < high < math.inf:
        return np.zeros(values.shape)
    scaled: Array = np.clip((values.astype(np.float64) - low) / (high - low), 0, 1)
    return scaled


def _as_bytes(shares: Array) -> Array:
    levels: Array = np.rint(255 * np.nan_to_num(shares)).astype(np.uint8)
    return levels
