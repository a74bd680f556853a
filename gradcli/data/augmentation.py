"""Augmentation: which random transforms an image goes through on its way to the network, by name or one by one."""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from gradcli.data.preprocessing import Preprocessing, normalise_channels_last, resize_and_crop
from gradcli.data.random_numbers import ImageRandomNumbers
from gradcli.data.transforms import ColorJitter, RandomHorizontalFlip, RandomResizedCrop
from gradcli.errors import UsageError

if TYPE_CHECKING:
    from PIL.Image import Image


@dataclasses.dataclass(frozen=True)
class Augmentation:
    """The random transforms of training images; None stands for one that is left out.

    They are applied in the order of the fields. The first brings the image to the size of the
    preprocessing, in place of its own resizing and cropping; the others work at that size, where
    they cost least, on 8 bits per channel. Normalisation comes last.

    A further transform is a class in `gradcli.data.transforms`, a field here, and an entry in
    `_TRANSFORMS`. In this place after the others it leaves their random numbers as they were.
    """

    random_resized_crop: RandomResizedCrop | None = None
    horizontal_flip: RandomHorizontalFlip | None = None
    color_jitter: ColorJitter | None = None

    @classmethod
    def named(
        cls,
        name: str,
        *,
        crop_scale: tuple[float, float] | None = None,
        crop_ratio: tuple[float, float] | None = None,
        horizontal_flip: float | None = None,
        brightness: float | None = None,
        contrast: float | None = None,
        saturation: float | None = None,
        hue: float | None = None,
    ) -> Augmentation:
        """The preset of this name (see AUGMENTATIONS), with the settings given changed; None keeps the preset's.

        A crop that the preset does not have takes torchvision's default for the setting not given.
        """
        if name not in AUGMENTATIONS:
            raise UsageError(f"augmentation {name!r}: expected one of {', '.join(AUGMENTATIONS)}")
        preset = AUGMENTATIONS[name]
        crop = _given(scale=crop_scale, ratio=crop_ratio)
        flip = _given(probability=horizontal_flip)
        jitter = _given(brightness=brightness, contrast=contrast, saturation=saturation, hue=hue)
        return cls(
            random_resized_crop=_changed(preset.random_resized_crop, RandomResizedCrop, crop),
            horizontal_flip=_changed(preset.horizontal_flip, RandomHorizontalFlip, flip),
            color_jitter=_changed(preset.color_jitter, ColorJitter, jitter),
        )

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
        """One image, of mode L or RGB or an array (H, W) or (H, W, 3), augmented and normalised to (3, H', W').

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
        if self.random_resized_crop is not None:
            image = self.random_resized_crop(image, preprocessing, numbers)
        else:
            image = resize_and_crop(image, preprocessing)
        for name in _TRANSFORMS:
            transform = getattr(self, name)
            if transform is not None and transform is not self.random_resized_crop:
                image = transform(image, numbers)
        return np.asarray(image)


_TRANSFORMS: dict[str, type[Any]] = {
    "random_resized_crop": RandomResizedCrop,
    "horizontal_flip": RandomHorizontalFlip,
    "color_jitter": ColorJitter,
}

_WITHOUT_EFFECT = (RandomHorizontalFlip(probability=0.0), ColorJitter())

# `standard` is what torchvision's reference trains ResNet-18 with.
AUGMENTATIONS = {
    "none": Augmentation(),
    "light": Augmentation(RandomResizedCrop(scale=(0.7, 1.0), ratio=(0.9, 1 / 0.9)), RandomHorizontalFlip()),
    "standard": Augmentation(RandomResizedCrop(), RandomHorizontalFlip()),
}


def _given(**settings: Any) -> dict[str, Any]:
    """The settings that are not None."""
    return {name: value for name, value in settings.items() if value is not None}


def _changed(preset: Any, transform: type[Any], settings: Mapping[str, Any]) -> Any:
    """The preset's transform with other settings, or a new one where it has none; None if it would do nothing."""
    if not settings:
        return preset
    changed = transform(**settings) if preset is None else dataclasses.replace(preset, **settings)
    return None if changed in _WITHOUT_EFFECT else changed
