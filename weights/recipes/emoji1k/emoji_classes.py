"""Which emoji become classes: the thousand that are trained on, and the hundred that training never sees."""

from __future__ import annotations

import hashlib
import tomllib
from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

from packages import RecipeError

NEAR_IDENTICAL_FILE: Final = Path(__file__).with_name("near_identical.toml")
CLASS_COUNT: Final = 1000
CLASS_MINIMUM_PACKS: Final = 4
OBJECT_GROUPS: Final = (
    *("People & Body", "Animals & Nature", "Food & Drink", "Travel & Places", "Activities", "Objects"),
)
# What fills up the thousand, in this order: the smileys and symbols that depict things.
FILLING_SUBGROUPS: Final = ("face-costume", "monkey-face", "emotion", "heart", "warning")
UNSEEN_MINIMUM_PACKS: Final = 5
UNSEEN_COUNTS: Final = {"Smileys & Emotion": 46, "Symbols": 50, "Flags": 4}
# Squares and circles of three sizes and nine colours.
UNSEEN_SUBGROUPS_LEFT_OUT: Final = ("geometric", "heart")
JOINER = "200d"


@dataclass(frozen=True)
class Emoji:
    """One emoji: its code points without variation selector, itself, its CLDR short name, and where Unicode puts it."""

    code_points: str
    text: str
    name: str
    group: str
    subgroup: str
    order: int

    @property
    def class_name(self) -> str:
        """Such as `🐕 dog`."""
        return f"{self.text} {self.name.lower()}"


def plain_code_points(code_points: str) -> str:
    """`1F43F-FE0F` as `1f43f`: lower case, without the selector that asks for a coloured picture."""
    return "-".join(part for part in code_points.lower().split("-") if part != "fe0f")


def code_points_of(text: str) -> str:
    """The plain code points of a string: of `🐿️`, `1f43f`."""
    return plain_code_points("-".join(f"{ord(character):04x}" for character in text))


def list_emoji(records: Iterable[Mapping[str, Any]], names: Mapping[str, Mapping[str, Any]]) -> list[Emoji]:
    """Every emoji without skin tones, in Unicode's order.

    `records` is emoji-datasource's emoji.json; `names` is unicode-emoji-json's data-by-emoji.json.
    One that lacks a name (the skin tones by themselves) is none.
    """
    by_code_points = {code_points_of(text): (text, str(entry["name"])) for text, entry in names.items()}
    emoji = [
        Emoji(
            code_points, *by_code_points[code_points], record["category"], record["subcategory"], record["sort_order"]
        )
        for record in records
        if (code_points := plain_code_points(record["unified"])) in by_code_points
    ]
    return sorted(emoji, key=lambda one: one.order)


def read_near_identical(path: Path = NEAR_IDENTICAL_FILE) -> frozenset[str]:
    """The code points of the emoji that near_identical.toml leaves out."""
    entries = tomllib.loads(path.read_text(encoding="utf-8"))["left_out"]
    return frozenset(code_points_of(character) for entry in entries for character in entry["emoji"])


def choose_classes(
    emoji: Sequence[Emoji], packs_of: Mapping[str, Collection[str]], left_out: Collection[str], count: int = CLASS_COUNT
) -> list[Emoji]:
    """The emoji that are trained on, in Unicode's order.

    Candidates stand for one character (no joined sequences), are drawn by at least four packs
    (`packs_of`: code points to packs) and not left out. Things come first (people, animals, food,
    places, activities, objects), then the smileys and symbols that depict some; among equals, what
    more packs draw, then Unicode's order. RecipeError if they are too few or two names are alike.
    """
    candidates = [
        one
        for one in emoji
        if (one.group in OBJECT_GROUPS or one.subgroup in FILLING_SUBGROUPS)
        and JOINER not in one.code_points.split("-")
        and len(packs_of.get(one.code_points, ())) >= CLASS_MINIMUM_PACKS
        and one.code_points not in left_out
    ]
    if len(candidates) < count:
        raise RecipeError(f"only {len(candidates)} emoji are drawn by {CLASS_MINIMUM_PACKS} packs; expected {count}")
    ranked = sorted(candidates, key=lambda one: (_filling_rank(one), -len(packs_of[one.code_points]), one.order))
    chosen = sorted(ranked[:count], key=lambda one: one.order)
    check_names(chosen)
    return chosen


def choose_unseen(
    emoji: Sequence[Emoji],
    packs_of: Mapping[str, Collection[str]],
    seen: Collection[Emoji],
    left_out: Collection[str],
    counts: Mapping[str, int] = UNSEEN_COUNTS,
) -> list[Emoji]:
    """Smileys, symbols and flags that at least five packs draw and training never sees, `counts` of each group.

    They are drawn by hash, so that no library's random numbers matter; in Unicode's order.
    """
    trained_on = {one.code_points for one in seen}
    chosen: list[Emoji] = []
    for group, count in counts.items():
        candidates = [
            one
            for one in emoji
            if one.group == group
            and one.subgroup not in UNSEEN_SUBGROUPS_LEFT_OUT
            and JOINER not in one.code_points.split("-")
            and len(packs_of.get(one.code_points, ())) >= UNSEEN_MINIMUM_PACKS
            and one.code_points not in trained_on
            and one.code_points not in left_out
        ]
        if len(candidates) < count:
            raise RecipeError(
                f"only {len(candidates)} of {group} are drawn by {UNSEEN_MINIMUM_PACKS} packs; expected {count}"
            )
        chosen += sorted(candidates, key=lambda one: drawing_order("unseen", one.code_points))[:count]
    chosen.sort(key=lambda one: one.order)
    check_names(chosen)
    return chosen


def drawing_order(*what: str) -> bytes:
    """A sorting key that shuffles: the SHA-256 of what is drawn."""
    return hashlib.sha256(" ".join(what).encode()).digest()


def check_names(emoji: Iterable[Emoji]) -> None:
    """RecipeError if two classes have one name but for the emoji before it and upper case."""
    seen: dict[str, Emoji] = {}
    for one in emoji:
        key = one.name.casefold()
        if key in seen:
            raise RecipeError(
                f"{seen[key].class_name!r} and {one.class_name!r} have one name; expected every name once"
            )
        seen[key] = one


def _filling_rank(one: Emoji) -> int:
    """0 of things, then 1, 2, … by the subgroup of what fills up."""
    return 0 if one.group in OBJECT_GROUPS else 1 + FILLING_SUBGROUPS.index(one.subgroup)
