"""The options of augmentation, a group like those of `training_options`."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Annotated, Any, Literal

import typer

from gradcli.cli.options import AUGMENTATION_PANEL
from gradcli.cli.training_options import Pair, parse_pair_option

# The presets' names, written down again: their module imports NumPy, which a help page does without.
AugmentationName = Literal["none", "light", "standard", "strong"]


def _option(*names: str, help: str, metavar: str | None = "FLOAT", **more: Any) -> Any:
    return typer.Option(*names, metavar=metavar, help=help, rich_help_panel=AUGMENTATION_PANEL, **more)


def _pair_option(name: str, *, help: str) -> Any:
    return _option(name, help=help, metavar="A,B", parser=parse_pair_option)


@dataclass(frozen=True, kw_only=True)
class AugmentationOptions:
    """What training images go through; the fields are those of the run's settings."""

    augment: Annotated[
        AugmentationName,
        _option(
            "--augment",
            metavar=None,
            help="Random crops and flips, mild (light) or as ResNet-18 was trained with (standard); for drawings, any "
            "pose, ground and colours (strong).",
        ),
    ] = "none"
    views: Annotated[
        int | None,
        _option(
            "--views",
            metavar="INT",
            min=1,
            help="Augmented copies of each image, in turn by epoch. Left out: another one in each epoch.",
        ),
    ] = None
    crop_scale: Annotated[Pair | None, _pair_option("--crop-scale", help="Share of the area that a crop takes.")] = None
    crop_ratio: Annotated[Pair | None, _pair_option("--crop-ratio", help="A crop's width over its height.")] = None
    degrees: Annotated[float | None, _option("--degrees", help="Turned by up to so many degrees either way.")] = None
    upright: Annotated[
        float | None, _option("--upright", help="Share of images turned no further; the others lie any way.")
    ] = None
    translate: Annotated[
        float | None, _option("--translate", help="Shifted by up to this share of the width and of the height.")
    ] = None
    zoom: Annotated[
        Pair | None, _pair_option("--zoom", help="Enlarged by a factor in this range; below 1 is reduced.")
    ] = None
    stretch: Annotated[
        float | None, _option("--stretch", help="Width over height changed by up to this factor, such as 1.2.")
    ] = None
    horizontal_flip: Annotated[
        float | None, _option("--horizontal-flip", help="Share of images mirrored left to right.")
    ] = None
    background: Annotated[
        float | None,
        _option("--background", help="Share of transparent images put on random backgrounds, not on white."),
    ] = None
    brightness: Annotated[float | None, _option("--brightness", help="Up to this share brighter or darker.")] = None
    contrast: Annotated[float | None, _option("--contrast", help="The same of the contrast.")] = None
    saturation: Annotated[float | None, _option("--saturation", help="The same of the colours' strength.")] = None
    hue: Annotated[float | None, _option("--hue", help="Colours turned by up to this part of a circle.")] = None
    channel_gain: Annotated[
        float | None, _option("--channel-gain", help="Each channel up to this share stronger or weaker.")
    ] = None
    channel_offset: Annotated[
        float | None, _option("--channel-offset", help="Each channel up to this part of its range higher or lower.")
    ] = None
    grayscale: Annotated[float | None, _option("--grayscale", help="Share of images without colours.")] = None
    invert: Annotated[float | None, _option("--invert", help="Share of images turned into their negatives.")] = None
    noise: Annotated[
        float | None, _option("--noise", help="Normal noise, its deviation up to this part of the range.")
    ] = None
    erase: Annotated[float | None, _option("--erase", help="Share of images with a rectangle covered.")] = None
