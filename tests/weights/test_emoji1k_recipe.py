"""weights/recipes/emoji1k: what becomes a class, what is held out, and that only the right bytes go in and come out."""

from __future__ import annotations

import base64
import re
import subprocess
import sys
from collections import Counter
from collections.abc import Callable
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest

RECIPE = Path(__file__).parents[2] / "weights" / "recipes" / "emoji1k"
PACK_NAMES = ["noto", "twemoji", "emojione", "noto-v1"]
ALL = ("a", "b", "c", "d", "e", "f")


def test_emoji_are_listed_in_unicodes_order_with_their_short_names(recipe: SimpleNamespace) -> None:
    records = [
        {"unified": "1F43F-FE0F", "category": "Animals & Nature", "subcategory": "animal-mammal", "sort_order": 9},
        {"unified": "1F3FB", "category": "Component", "subcategory": "skin-tone", "sort_order": 5},
        {"unified": "1F996", "category": "Animals & Nature", "subcategory": "animal-reptile", "sort_order": 2},
    ]
    listed = recipe.classes.list_emoji(records, {"🐿️": {"name": "chipmunk"}, "🦖": {"name": "T-Rex"}})
    assert [one.class_name for one in listed] == ["🦖 t-rex", "🐿️ chipmunk"]
    assert [one.code_points for one in listed] == ["1f996", "1f43f"]


def test_classes_are_things_that_enough_packs_draw(recipe: SimpleNamespace, make_emoji: Callable[..., Any]) -> None:
    wanted = [make_emoji(1), make_emoji(2, "Food & Drink"), make_emoji(3, "Smileys & Emotion", "monkey-face")]
    others = [
        make_emoji(4, "Flags", "country-flag"),
        make_emoji(5, "Component", "skin-tone"),
        make_emoji(6, "Smileys & Emotion", "face-smiling"),
        make_emoji(7, code_points="1f9d1-200d-1f373"),
        make_emoji(8),  # too few packs
        make_emoji(9),  # left out
    ]
    packs_of = {one.code_points: ALL[:4] for one in wanted + others} | {"0008": ALL[:3]}
    chosen = recipe.classes.choose_classes([*others, *wanted], packs_of, {"0009"}, count=3)
    assert chosen == wanted
    with pytest.raises(recipe.packages.RecipeError, match="only 3 emoji are drawn by 4 packs; expected 4"):
        recipe.classes.choose_classes([*others, *wanted], packs_of, {"0009"}, count=4)


def test_things_come_before_smileys_and_symbols_and_more_packs_before_fewer(
    recipe: SimpleNamespace, make_emoji: Callable[..., Any]
) -> None:
    monkey, warning = make_emoji(1, "Smileys & Emotion", "monkey-face"), make_emoji(2, "Symbols", "warning")
    rare, common, later = make_emoji(3), make_emoji(4), make_emoji(5)
    packs_of = {"0001": ALL, "0002": ALL, "0003": ALL[:4], "0004": ALL[:5], "0005": ALL[:5]}
    emoji = [monkey, warning, rare, common, later]
    choices = [recipe.classes.choose_classes(emoji, packs_of, (), count) for count in range(1, 6)]
    assert choices == [
        [common],
        [common, later],
        [rare, common, later],
        [monkey, rare, common, later],
        [monkey, warning, rare, common, later],
    ]


def test_two_classes_of_one_name_are_refused(recipe: SimpleNamespace, make_emoji: Callable[..., Any]) -> None:
    emoji = [make_emoji(1, name="Bell"), make_emoji(2, name="bell")]
    with pytest.raises(recipe.packages.RecipeError, match="have one name; expected every name once"):
        recipe.classes.choose_classes(emoji, {"0001": ALL, "0002": ALL}, (), 2)


def test_unseen_classes_are_those_that_training_does_not_see(
    recipe: SimpleNamespace, make_emoji: Callable[..., Any]
) -> None:
    symbols = [make_emoji(number, "Symbols", "arrow") for number in range(20)]
    squares = [make_emoji(number, "Symbols", "geometric") for number in range(20, 30)]
    packs_of = {one.code_points: ALL for one in symbols + squares} | {"0003": ALL[:4]}
    counts = {"Symbols": 16}
    arguments = (symbols + squares, packs_of, symbols[:2], {"0004"})
    chosen = recipe.classes.choose_unseen(*arguments, counts)
    assert chosen == [symbols[2], *symbols[5:]][: len(chosen)]
    assert len(chosen) == 16
    few = recipe.classes.choose_unseen(*arguments, {"Symbols": 5})
    assert set(few) < set(chosen)
    assert few == recipe.classes.choose_unseen(*arguments, {"Symbols": 5})
    with pytest.raises(recipe.packages.RecipeError, match="only 16 of Symbols are drawn by 5 packs; expected 17"):
        recipe.classes.choose_unseen(*arguments, {"Symbols": 17})


def test_near_identical_emoji_are_single_characters_listed_once(recipe: SimpleNamespace) -> None:
    left_out = recipe.classes.read_near_identical()
    text = (RECIPE / "near_identical.toml").read_text(encoding="utf-8")
    listed = "".join(re.findall(r'^emoji = "(.*)"$', text, re.MULTILINE))
    assert len(left_out) == len(listed) == 60
    assert "" not in left_out  # as a variation selector would be
    assert "1f555" in left_out  # 🕕
    assert "2764" not in left_out  # ❤️


@pytest.fixture
def listed(recipe: SimpleNamespace) -> list[Any]:
    """Sprites of 40 classes: the even ones in four packs, the odd ones in three."""
    return [recipe.sets.Sprite(label, pack, f"1f4{label:02x}") for label in range(40) for pack in range(4 - label % 2)]


def test_a_tenth_is_held_out_and_every_class_keeps_three_sprites(recipe: SimpleNamespace, listed: list[Any]) -> None:
    held_out = recipe.sets.hold_out_sprites(listed, PACK_NAMES)
    assert len(held_out) == 14  # of 140
    assert max(Counter(sprite.label for sprite in held_out).values()) == 1
    kept = Counter(sprite.label for sprite in listed if sprite not in held_out)
    assert min(kept.values()) == 3
    assert len({sprite.pack for sprite in held_out}) == 4
    assert recipe.sets.hold_out_sprites(listed[::-1], PACK_NAMES) == held_out


def test_a_whole_pack_is_held_out_by_its_name(recipe: SimpleNamespace, listed: list[Any]) -> None:
    held_out = recipe.sets.hold_out_pack(listed, PACK_NAMES, "twemoji")
    assert held_out == {sprite for sprite in listed if sprite.pack == 1}
    with pytest.raises(
        recipe.packages.RecipeError,
        match=r"^--hold-out-pack apple: no such pack; expected one of noto, twemoji, emojione, noto-v1$",
    ):
        recipe.sets.hold_out_pack(listed, PACK_NAMES, "apple")


def test_arrays_come_out_as_the_same_bytes_and_as_numpy_reads_them(recipe: SimpleNamespace, tmp_path: Path) -> None:
    arrays = {
        "x_train": np.arange(2 * 64 * 64 * 4, dtype=np.uint8).reshape(2, 64, 64, 4),
        "y_train": np.array([0, 1]),
        "classes": np.array(["🐕 dog", "🐿️ chipmunk"]),
    }
    recipe.sets.write_arrays(tmp_path / "a.npz", arrays)
    recipe.sets.write_arrays(tmp_path / "b.npz", {name: np.asfortranarray(array) for name, array in arrays.items()})
    assert (tmp_path / "a.npz").read_bytes() == (tmp_path / "b.npz").read_bytes()
    with np.load(tmp_path / "a.npz") as read:
        assert read.files == list(arrays)
        for name, array in arrays.items():
            np.testing.assert_array_equal(read[name], array)
    assert sorted(path.name for path in tmp_path.iterdir()) == ["a.npz", "b.npz"]


def test_arrays_that_cannot_be_written_leave_nothing(recipe: SimpleNamespace, tmp_path: Path) -> None:
    (tmp_path / "a.npz").mkdir()
    with pytest.raises(recipe.packages.RecipeError, match=r"a\.npz: can't be written"):
        recipe.sets.write_arrays(tmp_path / "a.npz", {"y": np.zeros(3)})
    assert [path.name for path in tmp_path.iterdir()] == ["a.npz"]


def test_stacked_sprites_go_with_their_labels_and_packs(
    recipe: SimpleNamespace, make_emoji: Callable[..., Any], make_pack: Callable[..., Any]
) -> None:
    classes, packs = [make_emoji(1), make_emoji(2)], [make_pack(name="one"), make_pack(name="two")]
    pictures = {
        (pack, code): np.full((64, 64, 4), value, np.uint8)
        for pack, code, value in [("one", "0001", 11), ("two", "0001", 21), ("two", "0002", 22)]
    }
    sprites = {pack.name: {code: p for (name, code), p in pictures.items() if name == pack.name} for pack in packs}
    listed = recipe.sets.list_sprites(classes, packs, sprites)
    pixels, labels, indices = recipe.sets.stack_sprites(listed, packs, sprites)
    assert pixels[:, 0, 0, 0].tolist() == [11, 21, 22]
    assert labels.tolist() == [0, 0, 1]
    assert indices.tolist() == [0, 1, 1]
    assert pixels.dtype == np.uint8
    assert labels.dtype == indices.dtype == np.int64


def fake_npm(monkeypatch: pytest.MonkeyPatch, recipe: SimpleNamespace, content: bytes | None) -> list[list[str]]:
    """Let `npm pack` write `content`, or fail if it is None; the list gathers the commands."""
    commands: list[list[str]] = []

    def run(command: list[str], **_: Any) -> subprocess.CompletedProcess[str]:
        commands.append(command)
        if content is None:
            return subprocess.CompletedProcess(command, 1, "", "npm error code E404\nnpm error more\n")
        Path(command[-1], "scope-pictures-1.2.3.tgz").write_bytes(content)
        return subprocess.CompletedProcess(command, 0, "", "")

    monkeypatch.setattr(recipe.packages.shutil, "which", lambda _: "npm")
    monkeypatch.setattr(recipe.packages.subprocess, "run", run)
    return commands


def test_an_archive_is_fetched_once_by_its_pinned_version(
    recipe: SimpleNamespace, make_pack: Callable[..., Any], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    commands = fake_npm(monkeypatch, recipe, b"pictures")
    (tmp_path / "expected").write_bytes(b"pictures")
    pack = make_pack(integrity=recipe.packages.integrity_of(tmp_path / "expected"))
    archive = tmp_path / "packs" / "scope-pictures-1.2.3.tgz"
    assert recipe.packages.fetch_package(pack, archive.parent) == archive
    assert commands[0][:3] == ["npm", "pack", "@scope/pictures@1.2.3"]
    recipe.packages.fetch_package(pack, archive.parent)
    assert len(commands) == 1
    archive.write_bytes(b"pictu")  # a copy cut short is fetched again
    recipe.packages.fetch_package(pack, archive.parent)
    assert archive.read_bytes() == b"pictures"


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (b"others", r"@scope/pictures@1\.2\.3: its hash is sha512-.+; expected sha512-$"),
        (None, r"@scope/pictures@1\.2\.3: npm can't fetch it \(npm error code E404\)$"),
    ],
    ids=["wrong hash", "npm fails"],
)
def test_an_archive_that_is_not_the_pinned_one_is_not_kept(
    recipe: SimpleNamespace,
    make_pack: Callable[..., Any],
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    content: bytes | None,
    message: str,
) -> None:
    fake_npm(monkeypatch, recipe, content)
    with pytest.raises(recipe.packages.RecipeError, match=message):
        recipe.packages.fetch_package(make_pack(), tmp_path)
    assert list(tmp_path.iterdir()) == []


def test_missing_npm_and_missing_renderer_are_said(
    recipe: SimpleNamespace, make_pack: Callable[..., Any], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(recipe.packages.shutil, "which", lambda _: None)
    with pytest.raises(recipe.packages.RecipeError, match=r"^npm is not installed"):
        recipe.packages.fetch_package(make_pack(), tmp_path)
    monkeypatch.setitem(sys.modules, "resvg_py", None)
    with pytest.raises(recipe.packages.RecipeError, match=r"^resvg_py is not installed"):
        recipe.sprites.svg_renderer()


def test_wrong_options_are_one_line_and_exit_code_1(
    recipe: SimpleNamespace, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    for arguments, message in [
        (["--output", str(tmp_path / "emoji.zip")], "expected a name that ends in .npz"),
        (["--output", str(tmp_path / "none" / "emoji.npz")], "there is no folder"),
        (["--output", str(tmp_path / "emoji.npz"), "--hold-out-pack", "apple"], "no such pack"),
    ]:
        assert recipe.build.main(arguments) == 1
        captured = capsys.readouterr()
        assert message in captured.err
        assert captured.err.count("\n") == 1
        assert captured.out == ""
    assert list(tmp_path.iterdir()) == []


def test_every_pack_is_pinned_under_a_permissive_licence_and_credited(recipe: SimpleNamespace) -> None:
    names, packs = recipe.packages.read_packs()
    readme = (RECIPE / "README.md").read_text(encoding="utf-8")
    assert len(packs) == 6
    for package in (names, *packs):
        algorithm, digest = package.integrity.split("-", 1)
        assert algorithm == "sha512"
        assert len(base64.b64decode(digest, validate=True)) == 64
        assert package.licence in {"MIT", "Apache-2.0", "CC-BY-4.0"}
        assert package.attribution
        assert f"`{package.package}` {package.version}" in readme
