"""Augmentation: which random transforms an image goes through on its way to the network, by name or one by one."""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from gradcli.data.preprocessing import Preprocessing, normalise_channels_last, resize_and_crop
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
from gradcli.data.transparency import over_white
from gradcli.errors import UsageError

if TYPE_CHECKING:
    from PIL.Image import Image


@dataclasses.dataclass(frozen=True, kw_only=True)
class Augmentation:
    """The random transforms of training images; None stands for one that is left out.

    They are applied in the order of the fields. The first brings the image to the size of the
    preprocessing, in place of its own resizing and cropping; the others work at that size, where
    they cost least, on 8 bits per channel. Normalisation comes last. A transparent image keeps its
    transparency up to the background, which is white without one.

    A further transform is a class in `gradcli.data.transforms`, a field here, and an entry in
    `_TRANSFORMS`; its options are entries in `AUGMENTATION_SETTINGS`. Its place is where it makes
    sense, but all that is random after it changes where it is used.
    """

    random_resized_crop: RandomResizedCrop | None = None
    affine: RandomAffine | None = None
    horizontal_flip: RandomHorizontalFlip | None = None
    background: RandomBackground | None = None
    color_jitter: ColorJitter | None = None
    channel_gain: RandomChannelGain | None = None
    grayscale: RandomGrayscale | None = None
    invert: RandomInvert | None = None
    noise: GaussianNoise | None = None
    erasing: RandomErasing | None = None

    @classmethod
    def named(cls, name: str, **settings: float | tuple[float, float] | None) -> Augmentation:
        """The preset of this name (see AUGMENTATIONS), with the settings given changed; None keeps the preset's.

        The settings are those of AUGMENTATION_SETTINGS. A transform that the preset does not have takes its
        defaults for settings not given.
        """
        if name not in AUGMENTATIONS:
            raise UsageError(f"augmentation {name!r}: expected one of {', '.join(AUGMENTATIONS)}")
        changes: dict[str, dict[str, Any]] = {}
        for setting, value in settings.items():
            transform, parameter = AUGMENTATION_SETTINGS[setting]
            if value is not None:
                changes.setdefault(transform, {})[parameter] = value
        preset = AUGMENTATIONS[name]
        changed = {
            transform: _changed(getattr(preset, transform), _TRANSFORMS[transform], parameters)
            for transform, parameters in changes.items()
        }
        return dataclasses.replace(preset, **changed)

    def __bool__(self) -> bool:
        """Whether anything is random."""
        return any(getattr(self, name) is not None for name in _TRANSFORMS)

    def to_dict(self) -> dict[str, dict[str, Any]]:
        """The transforms and their parameters as JSON-able values, without those left out; `from_dict` reads them."""
        transforms = {name: getattr(self, name) for name in _TRANSFORMS}
        return {
            name: {
                key: list(value) if isinstance(value, tuple) else value
                for key, value in dataclasses.asdict(transform).items()
            }
            for name, transform in transforms.items()
            if transform is not None
        }

    @classmethod
    def from_dict(cls, values: Mapping[str, Any], source: str) -> Augmentation:
        """Read what `to_dict` wrote. UsageError names `source`, the file that the values come from."""
        if not isinstance(values, Mapping) or not set(values) <= set(_TRANSFORMS):
            found = ", ".join(map(str, values)) if isinstance(values, Mapping) else repr(values)
            raise UsageError(f"{source}: augmentation holds {found}; expected some of {', '.join(_TRANSFORMS)}")
        transforms: dict[str, Any] = {}
        for name, parameters in values.items():
            expected = [field.name for field in dataclasses.fields(_TRANSFORMS[name])]
            if not isinstance(parameters, Mapping) or sorted(parameters) != sorted(expected):
                raise UsageError(f"{source}: augmentation {name} is {parameters}; expected {', '.join(expected)}")
            arguments = {key: tuple(value) if isinstance(value, list) else value for key, value in parameters.items()}
            try:
                transforms[name] = _TRANSFORMS[name](**arguments)
            except UsageError as error:
                raise UsageError(f"{source}: {error}") from error
        return cls(**transforms)

    def apply(
        self, image: Image | NDArray[np.uint8], preprocessing: Preprocessing, *, seed: int, view: int, index: int
    ) -> NDArray[np.float32]:
        """One image, augmented and normalised to (3, H', W').

        It has mode L, RGB or RGBA, or is an array of shape (H, W), (H, W, 3) or (H, W, 4).

        The result depends on the image, the settings and these three numbers alone: not on threads,
        batches or what was augmented before.
        """
        pixels = self.apply_to_pixels(image, preprocessing, seed=seed, view=view, index=index)
        augmented: NDArray[np.float32] = normalise_channels_last(pixels[None], preprocessing)[0]
        return augmented

    def apply_to_pixels(
        self, image: Image | NDArray[np.uint8], preprocessing: Preprocessing, *, seed: int, view: int, index: int
    ) -> NDArray[np.uint8]:
        """As `apply`, before normalisation: uint8 of shape (H', W') for a grey image, else (H', W', 3)."""
        if isinstance(image, np.ndarray):
            from PIL import Image as PillowImage

            image = PillowImage.fromarray(image)
        numbers = ImageRandomNumbers(seed, view, index)
        if image.mode == "RGBA" and self.affine is None and self.background is None:
            image = over_white(image)  # at once: nothing makes use of the transparency
        if self.random_resized_crop is not None:
            image = self.random_resized_crop(image, preprocessing, numbers)
        else:
            image = resize_and_crop(image, preprocessing)
        for before in (self.affine, self.horizontal_flip, self.background):
            if before is not None:
                image = before(image, numbers)
        if image.mode == "RGBa":
            image = over_white(image)
        for after in (self.color_jitter, self.channel_gain, self.grayscale, self.invert, self.noise, self.erasing):
            if after is not None:
                image = after(image, numbers)
        return np.asarray(image)


_TRANSFORMS: dict[str, type[Any]] = {
    "random_resized_crop": RandomResizedCrop,
    "affine": RandomAffine,
    "horizontal_flip": RandomHorizontalFlip,
    "background": RandomBackground,
    "color_jitter": ColorJitter,
    "channel_gain": RandomChannelGain,
    "grayscale": RandomGrayscale,
    "invert": RandomInvert,
    "noise": GaussianNoise,
    "erasing": RandomErasing,
}

AUGMENTATION_SETTINGS = {
    "crop_scale": ("random_resized_crop", "scale"),
    "crop_ratio": ("random_resized_crop", "ratio"),
    "degrees": ("affine", "degrees"),
    "upright": ("affine", "upright"),
    "translate": ("affine", "translate"),
    "zoom": ("affine", "scale"),
    "stretch": ("affine", "stretch"),
    "horizontal_flip": ("horizontal_flip", "probability"),
    "background": ("background", "probability"),
    "brightness": ("color_jitter", "brightness"),
    "contrast": ("color_jitter", "contrast"),
    "saturation": ("color_jitter", "saturation"),
    "hue": ("color_jitter", "hue"),
    "channel_gain": ("channel_gain", "gain"),
    "channel_offset": ("channel_gain", "offset"),
    "grayscale": ("grayscale", "probability"),
    "invert": ("invert", "probability"),
    "noise": ("noise", "sigma"),
    "erase": ("erasing", "probability"),
}
"""What is set by an option of this name: a transform and its parameter."""

_WITHOUT_EFFECT = (
    RandomAffine(),
    RandomHorizontalFlip(probability=0.0),
    RandomBackground(probability=0.0),
    ColorJitter(),
    RandomChannelGain(),
    RandomGrayscale(probability=0.0),
    RandomInvert(probability=0.0),
    GaussianNoise(sigma=0.0),
    RandomErasing(probability=0.0),
)

# `standard` is what torchvision's reference trains ResNet-18 with. `strong` is for drawings and other small pictures
# that are to be known in any position, on any ground and in any colours.
AUGMENTATIONS = {
    "none": Augmentation(),
    "light": Augmentation(
        random_resized_crop=RandomResizedCrop(scale=(0.7, 1.0), ratio=(0.9, 1 / 0.9)),
        horizontal_flip=RandomHorizontalFlip(),
    ),
    "standard": Augmentation(random_resized_crop=RandomResizedCrop(), horizontal_flip=RandomHorizontalFlip()),
    "strong": Augmentation(
        affine=RandomAffine(degrees=20.0, upright=0.9, translate=0.1, scale=(0.625, 1.18), stretch=1.65),
        horizontal_flip=RandomHorizontalFlip(),
        background=RandomBackground(),
        channel_gain=RandomChannelGain(gain=0.4, offset=0.15),
        grayscale=RandomGrayscale(probability=0.35),
        invert=RandomInvert(probability=0.15),
        noise=GaussianNoise(sigma=0.08),
        erasing=RandomErasing(probability=0.5, largest=0.44),
    ),
}


def _changed(preset: Any, transform: type[Any], settings: Mapping[str, Any]) -> Any:
    """The preset's transform with other settings, or a new one where it has none; None if it would do nothing."""
    changed = transform(**settings) if preset is None else dataclasses.replace(preset, **settings)
    return None if changed in _WITHOUT_EFFECT else changed
