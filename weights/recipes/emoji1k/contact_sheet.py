"""A contact sheet: every class with what each pack draws, for people to look through."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Final

import numpy as np
from emoji_classes import Emoji
from numpy.typing import NDArray
from packages import Pack, RecipeError
from PIL import Image, ImageDraw
from sprite_sets import Sprite

CELL: Final = 48
LABEL_HEIGHT: Final = 12
GAP: Final = 4
CLASSES_PER_ROW: Final = 8
MISSING_COLOUR: Final = (225, 225, 225)
HELD_OUT_COLOUR: Final = (255, 128, 0)


def write_contact_sheet(
    path: Path,
    classes: Sequence[Emoji],
    packs: Sequence[Pack],
    sprites: Mapping[str, Mapping[str, NDArray[np.uint8]]],
    held_out: set[Sprite],
) -> None:
    """Write a PNG of all classes, eight in a row, over white: the packs side by side below the name.

    A grey square stands where a pack has no such picture, an orange frame around what is held out.
    """
    width, height = CELL * len(packs) + GAP, CELL + LABEL_HEIGHT + GAP
    rows = -(-len(classes) // CLASSES_PER_ROW)
    sheet = Image.new("RGB", (width * CLASSES_PER_ROW, height * rows), "white")
    draw = ImageDraw.Draw(sheet)
    for label, one in enumerate(classes):
        left, top = width * (label % CLASSES_PER_ROW), height * (label // CLASSES_PER_ROW)
        # Pillow's own font has no emoji and little else than ASCII.
        draw.text((left, top), f"{label} {one.name}".encode("ascii", "replace").decode(), fill="black")
        for index, pack in enumerate(packs):
            corner = (left + CELL * index, top + LABEL_HEIGHT)
            box = (*corner, corner[0] + CELL - 1, corner[1] + CELL - 1)
            pixels = sprites[pack.name].get(one.code_points)
            if pixels is None:
                draw.rectangle(box, fill=MISSING_COLOUR)
                continue
            picture = Image.fromarray(pixels).resize((CELL, CELL))
            sheet.paste(picture, corner, picture)
            if Sprite(label, index, one.code_points) in held_out:
                draw.rectangle(box, outline=HELD_OUT_COLOUR)
    try:
        sheet.save(path, format="PNG")
    except OSError as error:
        raise RecipeError(f"{path}: can't be written ({error.strerror or error})") from error
