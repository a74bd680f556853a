"""Image files: decode one with Pillow to RGB, load several as a network input, list a folder's."""

from __future__ import annotations

import contextlib
import re
import threading
import warnings
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, cast

import numpy as np
from numpy.typing import NDArray

from gradcli.data.preprocessing import Preprocessing, normalise_channels_last, resize_and_crop
from gradcli.data.transparency import over_white
from gradcli.errors import DataError

if TYPE_CHECKING:
    from PIL.Image import Image

# The extensions torchvision's ImageFolder takes, compared without regard to case.
IMAGE_EXTENSIONS = (".jpg", ".jpeg", ".png", ".ppm", ".bmp", ".pgm", ".tif", ".tiff", ".webp")

_MAX_RESIZED_PIXELS = 100_000_000  # a 1 x 10,000 strip resized to shorter side 256 would need gigabytes

_PILLOW_MODULES = r"PIL\."
_PILLOW_FILTER = ("ignore", None, Warning, re.compile(_PILLOW_MODULES), 0)  # as it stands in warnings.filters


def decode_image(path: str | Path, *, keep_transparency: bool = False) -> Image:
    """Decode an image file to a Pillow image of mode RGB, upright as its EXIF orientation says.

    Transparent images are shown over white, or come back in mode RGBA with `keep_transparency`.
    16-bit greys are scaled to 8 bits; grey, palette, CMYK and other modes are converted as Pillow
    converts them; of an animation the first frame is taken. A JPEG file is decoded at its full size:
    the quicker decoding at a reduced one gives other pixels. A file that is missing, unreadable,
    truncated or no image is a DataError naming it.
    """
    from PIL import Image, ImageOps, UnidentifiedImageError

    try:
        with _pillow_warnings_ignored, Image.open(path) as image:
            image.load()
            ImageOps.exif_transpose(image, in_place=True)
            return _to_rgb(image, path, keep_transparency)
    except (DataError, MemoryError):
        raise
    except FileNotFoundError as error:
        raise DataError(f"{path}: no such file; expected an image") from error
    except UnidentifiedImageError as error:
        raise DataError(f"{path}: not an image; expected a file such as JPEG, PNG, TIFF or WebP") from error
    except OSError as error:
        reason = (error.strerror or str(error)).lower()
        raise DataError(f"{path}: can't be read as an image ({reason}); expected a complete image file") from error
    except Exception as error:  # what Pillow's decoders raise on broken bytes is not a closed list
        raise DataError(f"{path}: can't be decoded ({_one_line(error)}); expected a complete image file") from error


def load_images(paths: Sequence[str | Path], preprocessing: Preprocessing) -> NDArray[np.float32]:
    """Decode and preprocess image files into one array of shape (N, 3, H, W), in the order given."""
    height, width = preprocessing.size
    pixels = np.empty((len(paths), height, width, 3), dtype=np.uint8)
    for path, out in zip(paths, pixels, strict=True):
        image = decode_image(path)
        check_aspect(image, preprocessing, str(path))
        out[...] = np.asarray(resize_and_crop(image, preprocessing))
    return normalise_channels_last(pixels, preprocessing)


def check_aspect(image: Image, preprocessing: Preprocessing, name: str) -> None:
    """DataError naming the image if it is so narrow that resizing its shorter side would take gigabytes."""
    height, width = preprocessing.resized_size(image.height, image.width)
    if height * width > _MAX_RESIZED_PIXELS:
        raise DataError(
            f"{name}: {image.width}x{image.height} pixels is too narrow to resize; "
            "expected an aspect ratio below about 1000"
        )


def is_image_file(name: str) -> bool:
    """Whether a file name has an image extension and is not hidden."""
    return name.lower().endswith(IMAGE_EXTENSIONS) and not name.startswith(".")


def list_images(folder: str | Path) -> list[Path]:
    """The image files directly in a folder, sorted by name. None at all is a DataError naming the folder."""
    try:
        paths = sorted(path for path in Path(folder).iterdir() if is_image_file(path.name) and path.is_file())
    except OSError as error:
        raise DataError(f"{folder}: can't be listed ({error.strerror}); expected a folder of images") from error
    if not paths:
        below = sorted(path.name for path in Path(folder).iterdir() if path.is_dir())
        hint = f" (it has the folders {', '.join(below[:3])}: name one of those)" if below else ""
        raise DataError(f"{folder}: no images in this folder{hint}; expected files ending in {extension_list()}")
    return paths


def extension_list() -> str:
    """The image extensions in words, for messages."""
    return ", ".join(extension.removeprefix(".") for extension in IMAGE_EXTENSIONS)


def _to_rgb(image: Image, path: str | Path, keep_transparency: bool) -> Image:
    """Convert any mode to RGB, or RGBA if its transparency is kept, wide integers to 8 bits."""
    from PIL import Image as PillowImage

    if image.mode == "I" or image.mode.startswith("I;16"):
        return PillowImage.fromarray(_sixteen_to_eight_bits(np.asarray(image), path)).convert("RGB")
    if image.mode == "F":
        raise DataError(f"{path}: floating-point pixels have no fixed range; expected 8 or 16 bits per channel")
    if image.has_transparency_data:
        coloured = image.convert("RGBA")
        return coloured if keep_transparency else over_white(coloured)
    return image if image.mode == "RGB" else image.convert("RGB")


def _sixteen_to_eight_bits(pixels: NDArray[np.generic], path: str | Path) -> NDArray[np.uint8]:
    """Scale 0..65535 to 0..255, rounded. Pillow opens some 16-bit files as 32-bit ones, hence the check."""
    wide = pixels.astype(np.int64)
    if wide.min() < 0 or wide.max() > 65535:
        raise DataError(f"{path}: pixels beyond 16 bits have no fixed range; expected 8 or 16 bits per channel")
    return ((wide + 128) // 257).astype(np.uint8)


class _PillowWarningsIgnored:
    """Pillow's warnings are ignored while any thread is inside: it warns of odd metadata in files it decodes well.

    The filter is one for all threads, as Python's are: the first that enters sets it and the last that
    leaves takes it away. `warnings.catch_warnings` would have one thread restore what another had set.
    """

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._inside = 0
        self._set_here = False

    def __enter__(self) -> None:
        with self._lock:
            self._inside += 1
            if _PILLOW_FILTER not in warnings.filters:  # whoever restores older filters meanwhile takes it away
                warnings.filterwarnings("ignore", module=_PILLOW_MODULES)
                self._set_here = True

    def __exit__(self, *_: object) -> None:
        with self._lock:
            self._inside -= 1
            if self._set_here and not self._inside:
                self._set_here = False
                with contextlib.suppress(ValueError):
                    cast(list[Any], warnings.filters).remove(_PILLOW_FILTER)


_pillow_warnings_ignored = _PillowWarningsIgnored()


def _one_line(error: Exception) -> str:
    return " ".join(str(error).split()) or type(error).__name__
