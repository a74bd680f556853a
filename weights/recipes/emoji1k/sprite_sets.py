"""Sets of sprites as arrays: which sprite trains and which validates, and the `.npz` files that hold them."""

from __future__ import annotations

import os
import zipfile
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, Final, NamedTuple

import numpy as np
from emoji_classes import Emoji, drawing_order
from numpy.typing import NDArray
from packages import Pack, RecipeError

HELD_OUT_SHARE: Final = 0.1
MINIMUM_TRAINING_SPRITES: Final = 3
SPLIT_SEED: Final = 0

SpritesOfPack = Mapping[str, NDArray[np.uint8]]


class Sprite(NamedTuple):
    """One picture: its class, its pack (both as index) and the emoji's code points."""

    label: int
    pack: int
    code_points: str


def list_sprites(classes: Sequence[Emoji], packs: Sequence[Pack], sprites: Mapping[str, SpritesOfPack]) -> list[Sprite]:
    """Every picture of the classes: class by class, each in the packs' order."""
    return [
        Sprite(label, index, one.code_points)
        for label, one in enumerate(classes)
        for index, pack in enumerate(packs)
        if one.code_points in sprites[pack.name]
    ]


def hold_out_sprites(sprites: Sequence[Sprite], pack_names: Sequence[str]) -> set[Sprite]:
    """A tenth of the sprites for validation: at most one of a class, which keeps three or more for training.

    They are drawn by the hash of code points and pack, so that no library's random numbers matter
    and a class's draw doesn't depend on which other classes there are.
    """
    sizes = np.bincount([sprite.label for sprite in sprites])
    shuffled = sorted(
        sprites, key=lambda sprite: drawing_order(f"split {SPLIT_SEED}", sprite.code_points, pack_names[sprite.pack])
    )
    wanted = round(HELD_OUT_SHARE * len(sprites))
    held_out: dict[int, Sprite] = {}
    for sprite in shuffled:
        if len(held_out) == wanted:
            break
        if sprite.label not in held_out and sizes[sprite.label] > MINIMUM_TRAINING_SPRITES:
            held_out[sprite.label] = sprite
    return set(held_out.values())


def hold_out_pack(sprites: Sequence[Sprite], pack_names: Sequence[str], name: str) -> set[Sprite]:
    """All sprites of one pack; RecipeError if there is no such pack."""
    if name not in pack_names:
        raise RecipeError(f"--hold-out-pack {name}: no such pack; expected one of {', '.join(pack_names)}")
    return {sprite for sprite in sprites if sprite.pack == pack_names.index(name)}


def stack_sprites(
    chosen: Sequence[Sprite], packs: Sequence[Pack], sprites: Mapping[str, SpritesOfPack]
) -> tuple[NDArray[np.uint8], NDArray[np.int64], NDArray[np.int64]]:
    """Pixels (N, 64, 64, 4), labels (N,) and indices of the packs (N,)."""
    pixels = np.stack([sprites[packs[sprite.pack].name][sprite.code_points] for sprite in chosen])
    labels = np.array([sprite.label for sprite in chosen], np.int64)
    return pixels, labels, np.array([sprite.pack for sprite in chosen], np.int64)


def describing_arrays(classes: Sequence[Emoji], packs: Sequence[Pack]) -> dict[str, NDArray[Any]]:
    """The arrays of strings: `classes` and `codepoints` of each class, `packs`, `licences` and `attributions`."""
    return {
        "classes": np.array([one.class_name for one in classes]),
        "codepoints": np.array([one.code_points for one in classes]),
        "packs": np.array([pack.name for pack in packs]),
        "licences": np.array([pack.licence for pack in packs]),
        "attributions": np.array([pack.attribution for pack in packs]),
    }


def write_arrays(path: Path, arrays: Mapping[str, NDArray[Any]]) -> None:
    """Write a `.npz` file whose bytes depend on nothing but the arrays; RecipeError if that fails.

    It is not compressed, as zlib's bytes differ between its versions, and its members carry no time
    and no permissions. It replaces the file at once or not at all.
    """
    partial = path.with_name(f".{path.name}.{os.getpid()}.partial")
    try:
        with zipfile.ZipFile(partial, "w", zipfile.ZIP_STORED) as archive:
            for name, array in arrays.items():
                member = zipfile.ZipInfo(f"{name}.npy")  # dated 1980
                member.create_system = 0
                with archive.open(member, "w") as file:
                    np.lib.format.write_array(file, np.ascontiguousarray(array), version=(1, 0), allow_pickle=False)
        os.replace(partial, path)
    except OSError as error:
        raise RecipeError(f"{path}: can't be written ({error.strerror or error})") from error
    finally:
        partial.unlink(missing_ok=True)
