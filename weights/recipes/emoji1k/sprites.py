"""Sprites: every picture of an emoji as 64 x 64 RGBA pixels, read from its pack's archive."""

from __future__ import annotations

import io
import json
import re
import tarfile
import unicodedata
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path, PurePosixPath
from typing import Any

import numpy as np
from emoji_classes import plain_code_points
from numpy.typing import NDArray
from packages import Pack, RecipeError
from PIL import Image

SIDE = 64
SvgRenderer = Callable[[str], bytes]


def icon_name(name: str) -> str:
    """An emoji's name as icon sets spell it: `Mrs. Claus` is `mrs-claus`, `piñata` is `pinata`."""
    letters = unicodedata.normalize("NFKD", name.lower().replace("\N{RIGHT SINGLE QUOTATION MARK}", ""))
    letters = "".join(letter for letter in letters if not unicodedata.combining(letter))
    return re.sub(r"[^a-z0-9]+", "-", letters).strip("-")


def read_sprites(pack: Pack, archive: Path, names: Mapping[str, str]) -> dict[str, NDArray[np.uint8]]:
    """The pack's pictures of the emoji in `names` (code points to name) as (64, 64, 4) straight-alpha RGBA."""
    sprites: dict[str, NDArray[np.uint8]] = {}
    for code_points, picture in _pictures(pack, archive, names):
        try:
            with Image.open(io.BytesIO(picture)) as image:
                sprites[code_points] = to_sprite(image)
        except OSError as error:
            raise RecipeError(f"{archive}: the picture of {code_points} can't be read ({error})") from error
        if not sprites[code_points][..., 3].any():
            raise RecipeError(f"{archive}: the picture of {code_points} is empty")
    return sprites


def to_sprite(image: Image.Image) -> NDArray[np.uint8]:
    """The picture as (64, 64, 4) uint8 straight-alpha RGBA; pixels that don't show are black.

    A picture of another size is resized by Lanczos filtering of premultiplied colours (Pillow
    premultiplies RGBA itself), so that no colour of what doesn't show bleeds in; one that is not
    square is centred.
    """
    image = image.convert("RGBA")
    if image.size != (SIDE, SIDE):
        scale = SIDE / max(image.size)
        width, height = (max(1, round(length * scale)) for length in image.size)
        resized = image.resize((width, height), Image.Resampling.LANCZOS)
        image = Image.new("RGBA", (SIDE, SIDE))
        image.paste(resized, ((SIDE - width) // 2, (SIDE - height) // 2))
    sprite = np.array(image)
    sprite[sprite[..., 3] == 0] = 0
    return sprite


def _pictures(pack: Pack, archive: Path, names: Mapping[str, str]) -> Iterator[tuple[str, bytes]]:
    """Code points and the bytes of an image file of each."""
    if pack.kind == "image-files":
        folder = PurePosixPath("package") / pack.folder
        for path, content in archived_files(archive, lambda path: path.parent == folder):
            code_points = plain_code_points(path.stem)
            if code_points in names:
                yield code_points, content
        return
    render = svg_renderer()
    files = dict(archived_files(archive, lambda path: path.name in ("icons.json", "chars.json")))
    icons, characters = (json.loads(files[PurePosixPath("package", name)]) for name in ("icons.json", "chars.json"))
    by_code_points = {plain_code_points(code_points): name for code_points, name in characters.items()}
    for code_points, name in names.items():
        spelt = icon_name(name)
        if spelt in pack.not_drawn:
            continue
        found = by_code_points.get(code_points) if by_code_points else pack.older_names.get(spelt, spelt)
        if found is not None and (svg := svg_of(icons, found)) is not None:
            yield code_points, render(svg)


def svg_of(icons: Mapping[str, Any], name: str) -> str | None:
    """The SVG of an icon of an Iconify set, or of what the name is an alias of; None if there is no such icon."""
    transforms = ""
    left, top, width, height = 0, 0, icons.get("width", 16), icons.get("height", 16)
    while name in icons.get("aliases", {}):
        alias = icons["aliases"][name]
        if set(alias) - {"parent", "hFlip"}:
            raise RecipeError(f"{icons['prefix']}: alias {name} has {', '.join(alias)}; only hFlip is known")
        transforms = f"translate({width} 0) scale(-1 1) {transforms}" if alias.get("hFlip") else transforms
        name = alias["parent"]
    icon = icons["icons"].get(name)
    if icon is None:
        return None
    left, top = icon.get("left", left), icon.get("top", top)
    width, height = icon.get("width", width), icon.get("height", height)
    return (
        '<svg xmlns="http://www.w3.org/2000/svg" xmlns:xlink="http://www.w3.org/1999/xlink" '
        f'viewBox="{left} {top} {width} {height}" width="{width}" height="{height}">'
        f'<g transform="{transforms}">{icon["body"]}</g></svg>'
    )


def svg_renderer() -> SvgRenderer:
    """The function that draws an SVG as a PNG of 64 pixels in width; RecipeError if the renderer is missing."""
    try:
        import resvg_py
    except ImportError as error:
        raise RecipeError("resvg_py is not installed; expected what requirements.txt beside build.py lists") from error

    def render(svg: str) -> bytes:
        # No icon writes text: without the system's fonts, it draws the same everywhere.
        try:
            return bytes(resvg_py.svg_to_bytes(svg_string=svg, width=SIDE, skip_system_fonts=True))
        except ValueError as error:
            raise RecipeError(f"resvg_py can't draw an icon ({error}): {svg[:60]}…") from error

    return render


def archived_files(archive: Path, wanted: Callable[[PurePosixPath], bool]) -> Iterator[tuple[PurePosixPath, bytes]]:
    """Path and content of the wanted files of an archive, in its order."""
    with tarfile.open(archive, "r:gz") as tar:
        for member in tar:
            path = PurePosixPath(member.name)
            if member.isfile() and wanted(path):
                file = tar.extractfile(member)
                assert file is not None
                yield path, file.read()
