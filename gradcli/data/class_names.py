"""Names of classes as people write them: which can't be used, and which are likely mistakes."""

from __future__ import annotations

from collections.abc import Sequence

from gradcli.errors import DataError


def check_class_names(names: Sequence[str], source: str) -> None:
    """DataError naming `source` if a name can't be written down, or two differ in case alone.

    Single letters may differ in case: `A` and `a` are two classes of handwriting.
    """
    spellings: dict[str, str] = {}
    for name in names:
        try:
            name.encode()
        except UnicodeEncodeError:
            raise DataError(f"{source}: the class name {name!a} is no UTF-8; rename it") from None
        other = spellings.setdefault(name.casefold(), name)
        if other != name and len(name) > 1:
            raise DataError(
                f"{source}: the classes {other!r} and {name!r} differ in case alone; merge them, or rename one"
            )
