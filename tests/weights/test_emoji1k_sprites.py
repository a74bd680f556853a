"""weights/recipes/emoji1k: pictures are found in their packages, become sprites and show on the contact sheet."""

from __future__ import annotations

import io
import tarfile
from collections.abc import Callable
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
from PIL import Image


@pytest.mark.parametrize(
    ("name", "expected"),
    [
        ("Mrs. Claus", "mrs-claus"),
        ("piñata", "pinata"),
        ("woman\N{RIGHT SINGLE QUOTATION MARK}s boot", "womans-boot"),
        ("1st place medal", None),
    ],
)
def test_names_are_spelt_as_icon_sets_spell_them(recipe: SimpleNamespace, name: str, expected: str | None) -> None:
    assert recipe.sprites.icon_name(name) == (expected or name.replace(" ", "-"))


def test_an_icon_is_found_by_its_aliases(recipe: SimpleNamespace) -> None:
    icons = {
        "prefix": "set",
        "width": 32,
        "height": 32,
        "icons": {"left": {"body": "<path/>", "height": 24}},
        "aliases": {
            "right": {"parent": "left", "hFlip": True},
            "east": {"parent": "right"},
            "up": {"parent": "left", "rotate": 1},
        },
    }
    assert 'viewBox="0 0 32 24"' in recipe.sprites.svg_of(icons, "left")
    assert "scale(-1 1)" not in recipe.sprites.svg_of(icons, "left")
    assert recipe.sprites.svg_of(icons, "east") == recipe.sprites.svg_of(icons, "right")
    assert '<g transform="translate(32 0) scale(-1 1) "><path/></g>' in recipe.sprites.svg_of(icons, "east")
    assert recipe.sprites.svg_of(icons, "down") is None
    with pytest.raises(recipe.packages.RecipeError, match="alias up has parent, rotate; only hFlip is known"):
        recipe.sprites.svg_of(icons, "up")


def test_a_picture_is_scaled_and_centred_without_colour_from_what_does_not_show(recipe: SimpleNamespace) -> None:
    pixels = np.zeros((64, 128, 4), np.uint8)
    pixels[:, :, 1] = 255  # green, which shows nowhere
    pixels[:, 32:96] = (255, 0, 0, 255)
    sprite = recipe.sprites.to_sprite(Image.fromarray(pixels))
    assert sprite.shape == (64, 64, 4)
    assert sprite.dtype == np.uint8
    assert not sprite[:16].any()
    assert not sprite[48:].any()
    assert sprite[32, 32].tolist() == [255, 0, 0, 255]
    assert sprite[..., 1].max() == 0
    assert not sprite[sprite[..., 3] == 0].any()


def png(colour: tuple[int, int, int, int]) -> bytes:
    file = io.BytesIO()
    Image.new("RGBA", (64, 64), colour).save(file, "PNG")
    return file.getvalue()


def write_archive(path: Path, files: dict[str, bytes]) -> Path:
    with tarfile.open(path, "w:gz") as tar:
        for name, content in files.items():
            member = tarfile.TarInfo(name)
            member.size = len(content)
            tar.addfile(member, io.BytesIO(content))
    return path


def test_image_files_are_found_by_code_points(
    recipe: SimpleNamespace, make_pack: Callable[..., Any], tmp_path: Path
) -> None:
    files = {"package/img/1F43F-FE0F.png": png((1, 2, 3, 255)), "package/img/1f415.png": png((4, 5, 6, 255))}
    archive = write_archive(tmp_path / "a.tgz", files | {"package/img/sheets/1f996.png": b"not read"})
    sprites = recipe.sprites.read_sprites(make_pack(), archive, {"1f43f": "chipmunk", "1f996": "T-Rex"})
    assert list(sprites) == ["1f43f"]
    assert sprites["1f43f"][0, 0].tolist() == [1, 2, 3, 255]


@pytest.mark.parametrize(("content", "reason"), [(b"no image", "can't be read"), (png((0, 0, 0, 0)), "is empty")])
def test_a_broken_or_empty_picture_is_refused(
    recipe: SimpleNamespace, make_pack: Callable[..., Any], tmp_path: Path, content: bytes, reason: str
) -> None:
    archive = write_archive(tmp_path / "a.tgz", {"package/img/1f415.png": content})
    with pytest.raises(recipe.packages.RecipeError, match=f"a.tgz: the picture of 1f415 {reason}"):
        recipe.sprites.read_sprites(make_pack(), archive, {"1f415": "dog"})


@pytest.mark.parametrize(("characters", "found"), [('{"1f415": "dog"}', ["1f415"]), ("{}", ["1f415", "1f3af"])])
def test_icons_are_found_by_code_points_or_by_present_and_older_names(
    recipe: SimpleNamespace,
    make_pack: Callable[..., Any],
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    characters: str,
    found: list[str],
) -> None:
    icons = b'{"prefix": "s", "icons": {"dog": {"body": ""}, "direct-hit": {"body": ""}, "cricket": {"body": ""}}}'
    archive = write_archive(
        tmp_path / "a.tgz", {"package/icons.json": icons, "package/chars.json": characters.encode()}
    )
    monkeypatch.setattr(recipe.sprites, "svg_renderer", lambda: lambda svg: png((9, 9, 9, 255)))
    pack = make_pack(kind="icon-set", older_names={"bullseye": "direct-hit"}, not_drawn=["cricket"])
    names = {"1f415": "dog", "1f3af": "bullseye", "1f997": "cricket", "1f996": "T-Rex"}
    assert list(recipe.sprites.read_sprites(pack, archive, names)) == found


def test_the_contact_sheet_shows_what_is_there_missing_and_held_out(
    recipe: SimpleNamespace, make_emoji: Callable[..., Any], make_pack: Callable[..., Any], tmp_path: Path
) -> None:
    blue = np.full((64, 64, 4), (0, 0, 255, 255), np.uint8)
    packs = [make_pack(name="one"), make_pack(name="two")]
    held_out = {recipe.sets.Sprite(0, 0, "0001")}
    recipe.sheet.write_contact_sheet(
        tmp_path / "sheet.png", [make_emoji(1)], packs, {"one": {"0001": blue}, "two": {}}, held_out
    )
    cell, label = recipe.sheet.CELL, recipe.sheet.LABEL_HEIGHT
    with Image.open(tmp_path / "sheet.png") as sheet:
        assert sheet.getpixel((cell // 2, label + cell // 2)) == (0, 0, 255)
        assert sheet.getpixel((0, label)) == recipe.sheet.HELD_OUT_COLOUR
        assert sheet.getpixel((cell + cell // 2, label + cell // 2)) == recipe.sheet.MISSING_COLOUR
