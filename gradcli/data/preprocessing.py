"""From decoded pixels to the float32 array a network reads: resize, centre crop, scale, normalise."""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from gradcli.data.transparency import pixels_over_white
from gradcli.errors import UsageError, WeightsError

if TYPE_CHECKING:
    from PIL.Image import Image

INTERPOLATIONS = ("nearest", "box", "bilinear", "hamming", "bicubic", "lanczos")
IMAGENET_MEAN = (0.485, 0.456, 0.406)
IMAGENET_STD = (0.229, 0.224, 0.225)
IMAGENET_SIZE = 224
SMALL_IMAGE_SIZES = (32, 64)
LARGEST_SIDE = 8192

_PIXELS_AT_ONCE = 500_000  # of images that are resized together: what stays in the second-level cache


@dataclasses.dataclass(frozen=True)
class Preprocessing:
    """How an image becomes a network input: geometry, then scaling to [0, 1], then normalisation.

    `size` is the (height, width) of the result in pixels. With `resize` set, the shorter side is
    resized to that many pixels with the aspect ratio kept and the centre is cropped to `size`, as
    torchvision's Resize and CenterCrop do; with `resize` None the image is resized straight to
    `size`. `interpolation` is a Pillow filter name; all but `nearest` are antialiased when
    shrinking. `mean` and `std` are per RGB channel, in units of the [0, 1] scale.

    The defaults are the ImageNet evaluation transform of torchvision's pretrained ResNet-18.
    """

    size: tuple[int, int] = (IMAGENET_SIZE, IMAGENET_SIZE)
    resize: int | None = 256
    mean: tuple[float, float, float] = IMAGENET_MEAN
    std: tuple[float, float, float] = IMAGENET_STD
    interpolation: str = "bilinear"

    def __post_init__(self) -> None:
        """Refuse values that describe no preprocessing: UsageError naming the field."""
        if len(self.size) != 2 or not all(_is_int(side) and 1 <= side <= LARGEST_SIDE for side in self.size):
            raise UsageError(f"preprocessing size {self.size}: expected (height, width), both 1 to {LARGEST_SIDE}")
        if self.resize is not None and not (_is_int(self.resize) and self.resize >= max(self.size)):
            # a shorter side below the crop would need padding, which no checkpoint here uses
            raise UsageError(
                f"preprocessing resize {self.resize}: expected at least the larger side of size {self.size}, "
                "or none to resize straight to it"
            )
        for field, values in (("mean", self.mean), ("std", self.std)):
            if len(values) != 3 or not all(_is_finite_number(value) for value in values):
                raise UsageError(f"preprocessing {field} {values}: expected three finite numbers, one per RGB channel")
        if not all(value > 0 for value in self.std):
            raise UsageError(f"preprocessing std {self.std}: expected three numbers above 0")
        if self.interpolation not in INTERPOLATIONS:
            raise UsageError(
                f"preprocessing interpolation {self.interpolation!r}: expected one of {', '.join(INTERPOLATIONS)}"
            )

    @classmethod
    def imagenet(cls, size: int = IMAGENET_SIZE) -> Preprocessing:
        """ImageNet evaluation at `size` pixels: shorter side to size * 256 / 224, then a centre crop."""
        return cls().with_size(size, size)

    @classmethod
    def straight(cls, size: int) -> Preprocessing:
        """Resize straight to `size` pixels square, without a crop that would cut small images."""
        return cls(size=(size, size), resize=None)

    @classmethod
    def for_array_images(cls, height: int, width: int) -> Preprocessing:
        """The default for images in arrays: straight to 32x32 if no side exceeds 32, to 64x64 if no side
        exceeds 64, else ImageNet's.

        32 is the smallest size at which every stage of ResNet-18 still halves its map (the last is
        1x1). It costs least; a pretrained backbone may do better at a larger size.
        """
        for size in SMALL_IMAGE_SIZES:
            if max(height, width) <= size:
                return cls.straight(size)
        return cls.imagenet()

    def with_size(self, height: int, width: int) -> Preprocessing:
        """The same preprocessing at another size; a centre crop keeps its share of the image."""
        larger = max(height, width)
        resize = None if self.resize is None else max(larger, round(larger * self.resize / max(self.size)))
        return dataclasses.replace(self, size=(height, width), resize=resize)

    def resized_size(self, height: int, width: int) -> tuple[int, int]:
        """The (height, width) that an image of this height and width is resized to, before the crop.

        The longer side is truncated, as in torchvision.
        """
        if self.resize is None:
            return self.size
        if height <= width:
            return self.resize, int(self.resize * width / height)
        return int(self.resize * height / width), self.resize

    def to_dict(self) -> dict[str, Any]:
        """The fields as JSON-able values; `from_dict` reads them back."""
        return {
            name: list(value) if isinstance(value, tuple) else value for name, value in dataclasses.asdict(self).items()
        }

    @classmethod
    def from_dict(cls, values: Mapping[str, Any], source: str) -> Preprocessing:
        """Read what `to_dict` wrote. WeightsError names `source` (the file the values come from)."""
        fields = [field.name for field in dataclasses.fields(cls)]
        if not isinstance(values, Mapping) or sorted(values) != sorted(fields):
            found = ", ".join(map(str, values)) if isinstance(values, Mapping) else repr(values)
            raise WeightsError(f"{source}: preprocessing holds {found}; expected the fields {', '.join(fields)}")
        try:
            arguments: dict[str, Any] = {
                name: tuple(value) if isinstance(value, list) else value for name, value in values.items()
            }
            return cls(**arguments)
        except (UsageError, TypeError) as error:
            raise WeightsError(f"{source}: {error}") from error


def resize_and_crop(image: Image, preprocessing: Preprocessing) -> Image:
    """Resize and centre-crop one Pillow image of any single- or multi-channel mode."""
    from PIL.Image import Resampling

    height, width = preprocessing.resized_size(image.height, image.width)
    resized = image.resize((width, height), Resampling[preprocessing.interpolation.upper()])
    top, left = _crop_offset(preprocessing, height, width)
    crop_height, crop_width = preprocessing.size
    if (crop_height, crop_width) == (height, width):
        return resized
    return resized.crop((left, top, left + crop_width, top + crop_height))


def _crop_offset(preprocessing: Preprocessing, height: int, width: int) -> tuple[int, int]:
    """Top and left of the centre crop of a resized image, rounded half to even as torchvision's CenterCrop does."""
    crop_height, crop_width = preprocessing.size
    return round((height - crop_height) / 2), round((width - crop_width) / 2)


def normalise(images: NDArray[np.uint8] | NDArray[np.float32], preprocessing: Preprocessing) -> NDArray[np.float32]:
    """Scale and normalise images of shape (N, 3, H, W), uint8 in 0..255 or float32 in 0..1, to float32.

    Computes (x - mean) / std in float32, in the order torchvision computes it.
    """
    if images.dtype == np.uint8:
        scaled = images.astype(np.float32, order="C")
        scaled /= 255
    else:
        scaled = np.array(images, dtype=np.float32, order="C")
    scaled -= np.asarray(preprocessing.mean, dtype=np.float32)[:, None, None]
    scaled /= np.asarray(preprocessing.std, dtype=np.float32)[:, None, None]
    return scaled


def normalise_channels_last(images: NDArray[Any], preprocessing: Preprocessing) -> NDArray[np.float32]:
    """`normalise` for images of shape (N, H, W), which are grey and repeated to three channels, or (N, H, W, 3)."""
    if images.ndim == 4:
        return normalise(images.transpose(0, 3, 1, 2), preprocessing)  # (N, H, W, 3) -> (N, 3, H, W)
    count, height, width = images.shape
    return normalise(np.broadcast_to(images[:, None], (count, 3, height, width)), preprocessing)  # -> (N, 3, H, W)


def preprocess_arrays(
    images: NDArray[np.uint8] | NDArray[np.float32], preprocessing: Preprocessing
) -> NDArray[np.float32]:
    """Preprocess pixels held in an array of shape (N, H, W) or (N, H, W, 3 or 4) to float32 (N, 3, H', W').

    uint8 pixels count 0..255 and are resized as an image file with these pixels would be. float32
    pixels lie in 0..1 and are resized without rounding. Grey images are repeated to three channels;
    a fourth channel is the opacity, with which images are shown over white.
    """
    if images.shape[3:] == (4,):
        images = pixels_over_white(images)
    channels = images.shape[3:]  # () for grey, (3,) for RGB
    if images.dtype == np.float32 and channels:  # Pillow has no float RGB mode: one channel at a time
        planes = images.transpose(0, 3, 1, 2).reshape(-1, *images.shape[1:3])  # (N, H, W, 3) -> (N * 3, H, W)
        resized: NDArray[Any] = _resize_and_crop_arrays(planes, preprocessing)
        return normalise(resized.reshape(-1, 3, *preprocessing.size), preprocessing)
    return normalise_channels_last(_resize_and_crop_arrays(images, preprocessing), preprocessing)


def _resize_and_crop_arrays(images: NDArray[Any], preprocessing: Preprocessing) -> NDArray[Any]:
    """`resize_and_crop` for images of shape (N, H, W) or uint8 (N, H, W, 3), to the same bits.

    Pillow resizes one axis after the other, the width first. So many small images can share a call:
    stacked on top of each other for their widths, then side by side for their heights. At 28x28 this
    takes a fifth of the time.
    """
    height, width = images.shape[1:3]
    resized_height, resized_width = preprocessing.resized_size(height, width)
    crop_height, crop_width = preprocessing.size
    if (height, width) == (resized_height, resized_width) == (crop_height, crop_width):
        return images
    top, left = _crop_offset(preprocessing, resized_height, resized_width)
    channels = images.shape[3:]
    result = np.empty((len(images), crop_height, crop_width, *channels), dtype=images.dtype)
    largest = max(height, resized_height) * max(width, resized_width)
    step = max(1, _PIXELS_AT_ONCE // largest)
    for start in range(0, len(images), step):
        stack = images[start : start + step]
        count = len(stack)
        wide = _resize_array(
            stack.reshape(count * height, width, *channels), (resized_width, count * height), preprocessing
        )
        wide = wide.reshape(count, height, resized_width, *channels)[:, :, left : left + crop_width]
        row = np.ascontiguousarray(wide.swapaxes(0, 1))  # (n, H, W') -> (H, n, W')
        row = row.reshape(height, count * crop_width, *channels)
        high = _resize_array(row, (count * crop_width, resized_height), preprocessing)
        high = high[top : top + crop_height].reshape(crop_height, count, crop_width, *channels)
        result[start : start + step] = high.swapaxes(0, 1)  # (H', n, W') -> (n, H', W')
    return result


def _resize_array(pixels: NDArray[Any], size: tuple[int, int], preprocessing: Preprocessing) -> NDArray[Any]:
    """One image as an array, resized by Pillow to this (width, height)."""
    from PIL import Image

    resampling = Image.Resampling[preprocessing.interpolation.upper()]
    return np.asarray(Image.fromarray(pixels).resize(size, resampling))


def _is_int(value: object) -> bool:
    return isinstance(value, int) and not isinstance(value, bool)


def _is_finite_number(value: object) -> bool:
    return isinstance(value, int | float) and not isinstance(value, bool) and bool(np.isfinite(value))
