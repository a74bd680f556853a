"""What training images go through: the settings of a run that are about augmentation."""

from __future__ import annotations

from dataclasses import dataclass, fields

from gradcli.data.augmentation import Augmentation


@dataclass(frozen=True, kw_only=True)
class AugmentationSettings:
    """The name of a preset, and what changes it where it is not None; the fields are the options of the same names."""

    augment: str = "none"
    crop_scale: tuple[float, float] | None = None
    crop_ratio: tuple[float, float] | None = None
    degrees: float | None = None
    upright: float | None = None
    translate: float | None = None
    zoom: tuple[float, float] | None = None
    stretch: float | None = None
    horizontal_flip: float | None = None
    background: float | None = None
    brightness: float | None = None
    contrast: float | None = None
    saturation: float | None = None
    hue: float | None = None
    channel_gain: float | None = None
    channel_offset: float | None = None
    grayscale: float | None = None
    invert: float | None = None
    noise: float | None = None
    erase: float | None = None

    @property
    def augmentation(self) -> Augmentation:
        """The transforms that the settings say; UsageError for values that make none."""
        changes = {field.name: getattr(self, field.name) for field in fields(AugmentationSettings)}
        return Augmentation.named(changes.pop("augment"), **changes)
