"""Builds the emoji data set: 1,000 classes of drawn things, each drawn by several designers, as sprites in a `.npz`.

    python weights/recipes/emoji1k/build.py --output emoji1k.npz [--packs FOLDER] [--hold-out-pack NAME]
    python weights/recipes/emoji1k/build.py --unseen --output emoji100.npz [--packs FOLDER]

README.md beside this file says what the files hold and where the pictures come from.
"""

from __future__ import annotations

import argparse
import hashlib
import json
import sys
from collections import Counter
from collections.abc import Iterable, Sequence
from pathlib import Path, PurePosixPath
from typing import Any

from contact_sheet import write_contact_sheet
from emoji_classes import Emoji, choose_classes, choose_unseen, list_emoji, read_near_identical
from numpy.typing import NDArray
from packages import RecipeError, fetch_package, read_packs
from sprite_sets import (
    Sprite,
    describing_arrays,
    hold_out_pack,
    hold_out_sprites,
    list_sprites,
    stack_sprites,
    write_arrays,
)
from sprites import archived_files, read_sprites

EMOJI_LIST_PACK = "noto"


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the recipe; 0 if it worked, 1 with one line on standard error if not."""
    parser = argparse.ArgumentParser(description="Build the sprites that gradcli's emoji weights are trained on.")
    parser.add_argument("--output", type=Path, required=True, metavar="FILE.npz", help="the file to write")
    parser.add_argument("--packs", type=Path, default=Path("emoji-packs"), metavar="FOLDER", help="where packages go")
    what = parser.add_mutually_exclusive_group()
    what.add_argument("--hold-out-pack", metavar="NAME", help="validate on this pack, not on a tenth of the sprites")
    what.add_argument("--unseen", action="store_true", help="build the 100 classes that training never sees")
    parser.add_argument("--sheet", type=Path, metavar="FILE.png", help="also draw every sprite, to look at")
    options = parser.parse_args(arguments)
    try:
        build(options.output, options.packs, options.hold_out_pack, options.unseen, options.sheet)
    except RecipeError as error:
        print(f"build.py: {error}", file=sys.stderr)
        return 1
    return 0


def build(output: Path, folder: Path, held_out_pack: str | None, unseen: bool, sheet: Path | None) -> None:
    """Fetch, draw, choose, divide and write; says on standard output what came of it."""
    if output.suffix != ".npz":
        raise RecipeError(f"--output {output}: expected a name that ends in .npz")
    for path in (output, sheet):
        if path is not None and not path.absolute().parent.is_dir():
            raise RecipeError(f"{path}: there is no folder {path.absolute().parent} to write it in")
    names_package, packs = read_packs()
    pack_names = [pack.name for pack in packs]
    if held_out_pack is not None:
        hold_out_pack([], pack_names, held_out_pack)
    archives = {pack.name: fetch_package(pack, folder) for pack in packs}
    names = read_json(fetch_package(names_package, folder), "data-by-emoji.json")
    emoji = list_emoji(read_json(archives[EMOJI_LIST_PACK], "emoji.json"), names)

    sprites = {}
    for pack in packs:
        sprites[pack.name] = read_sprites(pack, archives[pack.name], {one.code_points: one.name for one in emoji})
        print(f"{pack.name}: {len(sprites[pack.name])} emoji", flush=True)
    packs_of = {one.code_points: [name for name in pack_names if one.code_points in sprites[name]] for one in emoji}
    left_out = read_near_identical()
    classes = choose_classes(emoji, packs_of, left_out)
    if unseen:
        classes = choose_unseen(emoji, packs_of, classes, left_out)
    print_distribution(classes, packs_of)

    listed = list_sprites(classes, packs, sprites)
    if unseen:
        held_out: set[Sprite] = set()
        arrays = named_arrays(("x", "y", "pack"), stack_sprites(listed, packs, sprites))
    else:
        held_out = (
            hold_out_pack(listed, pack_names, held_out_pack) if held_out_pack else hold_out_sprites(listed, pack_names)
        )
        training = [sprite for sprite in listed if sprite not in held_out]
        validation = [sprite for sprite in listed if sprite in held_out]
        arrays = {
            **named_arrays(("x_train", "y_train", "pack_train"), stack_sprites(training, packs, sprites)),
            **named_arrays(("x_val", "y_val", "pack_val"), stack_sprites(validation, packs, sprites)),
        }
    print(f"{len(listed)} sprites, {len(held_out)} of them for validation")
    arrays |= describing_arrays(classes, packs)
    write_arrays(output, arrays)
    with output.open("rb") as file:
        print(f"{output}: {output.stat().st_size} bytes, SHA-256 {hashlib.file_digest(file, 'sha256').hexdigest()}")
    if sheet is not None:
        write_contact_sheet(sheet, classes, packs, sprites, held_out)


def named_arrays(names: Iterable[str], arrays: Iterable[NDArray[Any]]) -> dict[str, NDArray[Any]]:
    """The arrays by their names."""
    return dict(zip(names, arrays, strict=True))


def read_json(archive: Path, name: str) -> Any:
    """A JSON file at the top of a package; RecipeError if it isn't there."""
    for _, content in archived_files(archive, lambda path: path == PurePosixPath("package", name)):
        return json.loads(content)
    raise RecipeError(f"{archive}: has no {name}")


def print_distribution(classes: Sequence[Emoji], packs_of: dict[str, list[str]]) -> None:
    """How many classes come from how many packs, and from which groups of Unicode's list."""
    packs = Counter(len(packs_of[one.code_points]) for one in classes)
    groups = Counter(one.group for one in classes)
    print(f"{len(classes)} classes: " + ", ".join(f"{packs[n]} from {n} packs" for n in sorted(packs, reverse=True)))
    print("; ".join(f"{group} {count}" for group, count in groups.most_common()))


if __name__ == "__main__":
    sys.exit(main())
