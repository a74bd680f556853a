"""Names of classes that are refused, and those that are fine."""

from __future__ import annotations

import pytest

from gradcli.data.class_names import check_class_names
from gradcli.errors import DataError


@pytest.mark.parametrize(
    "names", [[], ["cat", "dog"], ["A", "a", "B"], ["T-shirt/top", "Ankle boot"], ["Æble", "日本"], ["1", "01"]]
)
def test_names_that_are_fine(names: list[str]) -> None:
    check_class_names(names, "photos")


@pytest.mark.parametrize(
    ("names", "message"),
    [
        (["bird", "Cat", "cat"], "the classes 'Cat' and 'cat' differ in case alone; merge them, or rename one$"),
        (["STRASSE", "straße"], "the classes 'STRASSE' and 'straße' differ in case alone"),
        (["a\udce9"], r"the class name 'a\\udce9' is no UTF-8; rename it$"),
    ],
)
def test_names_that_are_refused(names: list[str], message: str) -> None:
    with pytest.raises(DataError, match=f"^photos: {message}"):
        check_class_names(names, "photos")
