"""The emoji recipe's modules, and emoji and packs made up for its tests."""

from __future__ import annotations

import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

RECIPE = Path(__file__).parents[2] / "weights" / "recipes" / "emoji1k"


@pytest.fixture
def recipe(monkeypatch: pytest.MonkeyPatch) -> Iterator[SimpleNamespace]:
    """The recipe's modules. They are found by their plain names and forgotten afterwards."""
    before = set(sys.modules)
    monkeypatch.syspath_prepend(RECIPE)
    import build
    import contact_sheet
    import emoji_classes
    import packages
    import sprite_sets
    import sprites

    yield SimpleNamespace(
        build=build,
        classes=emoji_classes,
        packages=packages,
        sets=sprite_sets,
        sheet=contact_sheet,
        sprites=sprites,
    )
    for name in set(sys.modules) - before:
        if str(RECIPE) in str(getattr(sys.modules[name], "__file__", "")):
            del sys.modules[name]


@pytest.fixture
def make_emoji(recipe: SimpleNamespace) -> Callable[..., Any]:
    """Makes an emoji whose code points are its number."""

    def make(number: int, group: str = "Objects", subgroup: str = "tool", **fields: Any) -> Any:
        values = {"code_points": f"{number:04x}", "text": chr(number), "name": f"thing {number}"} | fields
        return recipe.classes.Emoji(group=group, subgroup=subgroup, order=number, **values)

    return make


@pytest.fixture
def make_pack(recipe: SimpleNamespace) -> Callable[..., Any]:
    """Makes a pack of image files that has the hash of nothing."""

    def make(**fields: Any) -> Any:
        values: dict[str, Any] = {"package": "@scope/pictures", "version": "1.2.3", "integrity": "sha512-"}
        values |= {"licence": "MIT", "attribution": "A. Artist", "name": "pictures", "licence_found": "LICENSE"}
        return recipe.packages.Pack(**(values | {"kind": "image-files", "folder": "img"} | fields))

    return make
