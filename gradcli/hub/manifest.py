"""The weights that are known by name: where they are published or lie, their checksum, and what belongs to them.

They stand in `weights/manifest.toml`, which is `gradcli/weights/manifest.toml` in an installed package, and in
`manifest.toml` in `$GRADCLI_HOME`, whose entries are added to them and take the place of those with the same name.
"""

from __future__ import annotations

import dataclasses
import functools
import re
from collections.abc import Mapping
from pathlib import Path
from typing import Any, Final

from gradcli.checkpoints.naming import WRITTEN_STYLES
from gradcli.errors import WeightsError
from gradcli.hub import cache

# A name becomes the name of a file in the cache, and must not read as what else `--weights` takes.
_NAME: Final = re.compile(r"(?!(?:random|default)$)[a-z0-9][a-z0-9._-]*")
_SHA256_OR_PREFIX: Final = re.compile(r"[0-9a-f]{8,64}")
_URL: Final = re.compile(r"https?://[^\s/]+/\S+")


@dataclasses.dataclass(frozen=True)
class Accuracy:
    """Accuracy on the validation images as published: percent right at the first guess and within five."""

    acc1: float
    acc5: float | None = None
    at: int | None = None
    """Side of the square images it was measured with, in pixels."""


@dataclasses.dataclass(frozen=True)
class KnownWeights:
    """One entry of the manifest."""

    name: str
    """What `--weights` calls it; also the name of its file in the cache."""
    url: str
    """Where the file is published; empty if it comes with gradcli instead."""
    file: str
    """The name of the published file."""
    sha256: str
    """The SHA-256 of the published file in lower-case hexadecimal digits: all 64, or the first 8 or more."""
    classes: int | None = None
    """The number of outputs of its head; None if it has none or nobody knows."""
    size: int | None = None
    """The size of the published file in bytes."""
    naming: str = "torchvision"
    """How the published file names its tensors, for the reader of the manifest; reading the file tells it anew."""
    class_names: str | None = None
    """Which list names its classes, such as imagenet1k."""
    preprocessing: dict[str, Any] | None = None
    """What the images it was trained on went through, as `gradcli.data.preprocessing.Preprocessing.to_dict` says it."""
    licence: str | None = None
    accuracy: Accuracy | None = None
    source: str | None = None
    """The page that documents it."""
    date: str | None = None
    notes: str | None = None
    path: Path | None = None
    """The file itself, if it comes with gradcli; None for one that is published at `url`."""

    def accepts(self, sha256: str) -> bool:
        """Whether a file of this SHA-256 (64 digits) is the published one, as far as its digits are known."""
        return sha256.startswith(self.sha256)


def known_weights() -> dict[str, KnownWeights]:
    """The known weights by name: gradcli's own, and those of `$GRADCLI_HOME/manifest.toml`.

    WeightsError names a manifest that is broken, and the entry and field that is wrong.
    """
    known = dict(_published())
    own = cache.home() / "manifest.toml"
    if own.is_file():
        known |= read_manifest(own)
    return known


def published_manifest() -> Path:
    """The manifest that comes with gradcli: inside the installed package, or beside it in a checkout."""
    package = Path(__file__).parent.parent
    installed = package / "weights" / "manifest.toml"
    return installed if installed.is_file() else package.parent / "weights" / "manifest.toml"


@functools.cache
def _published() -> dict[str, KnownWeights]:
    return read_manifest(published_manifest(), bundled_files=True)


def read_manifest(path: Path, *, bundled_files: bool = False) -> dict[str, KnownWeights]:
    """The entries of one manifest: a TOML file with a table for each of the known weights.

    A table has the fields of `KnownWeights` but for `path`. With `bundled_files`, one may have no `url`: its `file`
    lies beside the manifest. `preprocessing` is written as `{resize, crop, interpolation, mean, std}`: the shorter side
    is resized to `resize` pixels, then a square of `crop` pixels is cut from the middle; without `resize` the image is
    resized straight to that square. WeightsError as `known_weights` says.
    """
    import tomllib

    try:
        content = tomllib.loads(path.read_text(encoding="utf-8"))
    except OSError as error:
        raise WeightsError(f"{path}: the manifest cannot be read: {error.strerror or error}") from error
    except (tomllib.TOMLDecodeError, UnicodeDecodeError, RecursionError) as error:
        raise WeightsError(f"{path}: the manifest is no TOML: {error}") from None
    return {name: _entry(name, table, path, bundled_files) for name, table in content.items()}


_Kind = tuple[type | tuple[type, ...], str]
_TEXT: Final[_Kind] = (str, "text")
_COUNT: Final[_Kind] = (int, "a whole number above 0")
_PERCENT: Final[_Kind] = ((int, float), "a number")
_TABLE: Final[_Kind] = (dict, "a table")
_FIELDS: Final[Mapping[str, _Kind]] = {
    "url": _TEXT,
    "file": _TEXT,
    "sha256": _TEXT,
    "classes": _COUNT,
    "size": _COUNT,
    "naming": _TEXT,
    "class_names": _TEXT,
    "preprocessing": _TABLE,
    "licence": _TEXT,
    "accuracy": _TABLE,
    "source": _TEXT,
    "date": _TEXT,
    "notes": _TEXT,
}
_ACCURACY_FIELDS: Final[Mapping[str, _Kind]] = {"acc1": _PERCENT, "acc5": _PERCENT, "at": _COUNT}
_CHANNELS: Final[_Kind] = (list, "a list of three numbers, one per RGB channel")
_PREPROCESSING_FIELDS: Final[Mapping[str, _Kind]] = {
    "resize": _COUNT,
    "crop": _COUNT,
    "interpolation": _TEXT,
    "mean": _CHANNELS,
    "std": _CHANNELS,
}


def _entry(name: str, table: object, path: Path, bundled_files: bool) -> KnownWeights:
    where = f"{path}: the entry {name}"
    if not _NAME.fullmatch(name):
        raise WeightsError(
            f"{path}: {name!r} can't be the name of weights; use lower-case letters, digits, '.', '_' and '-'"
        )
    bundled = bundled_files and isinstance(table, dict) and "url" not in table
    values = _checked_table(table, _FIELDS, ("file" if bundled else "url", "sha256"), where)
    if bundled:
        values |= {"url": "", "path": path.parent / values["file"]}
    elif not _URL.fullmatch(values["url"]):
        raise WeightsError(f"{where}: url is {values['url']!r}; give an http or https address")
    values["sha256"] = values["sha256"].lower()
    if not _SHA256_OR_PREFIX.fullmatch(values["sha256"]):
        raise WeightsError(f"{where}: sha256 is {values['sha256']!r}; give 8 to 64 hexadecimal digits")
    values.setdefault("file", values["url"].rpartition("/")[2].partition("?")[0])
    if not values["file"] or "/" in values["file"] or "\\" in values["file"] or values["file"].startswith("."):
        raise WeightsError(f"{where}: file is {values['file']!r}; give the plain name of the file")
    if values.get("naming", "torchvision") not in WRITTEN_STYLES:
        raise WeightsError(f"{where}: naming is {values['naming']!r}; expected one of {', '.join(WRITTEN_STYLES)}")
    if "accuracy" in values:
        accuracy = _checked_table(values["accuracy"], _ACCURACY_FIELDS, ("acc1",), f"{where}: accuracy")
        values["accuracy"] = Accuracy(**accuracy)
    if "preprocessing" in values:
        values["preprocessing"] = _preprocessing(values["preprocessing"], f"{where}: preprocessing")
    return KnownWeights(name=name, **values)


def _preprocessing(table: object, where: str) -> dict[str, Any]:
    """The fields of `Preprocessing` from those of the manifest, which are named as the field's papers name them."""
    required = ("crop", "interpolation", "mean", "std")
    values = _checked_table(table, _PREPROCESSING_FIELDS, required, where)
    for field in ("mean", "std"):
        if len(values[field]) != 3 or not all(_is_kind(value, _PERCENT) for value in values[field]):
            raise WeightsError(f"{where}: {field} is {values[field]!r}; expected {_CHANNELS[1]}")
    return {
        "size": [values["crop"], values["crop"]],
        "resize": values.get("resize"),
        "mean": values["mean"],
        "std": values["std"],
        "interpolation": values["interpolation"],
    }


def _checked_table(table: object, fields: Mapping[str, _Kind], required: tuple[str, ...], where: str) -> dict[str, Any]:
    """A copy of the table, once it has the required fields, no unknown ones, and values of the right kinds."""
    if not isinstance(table, dict):
        raise WeightsError(f"{where} is {table!r}; expected a table with the fields {', '.join(fields)}")
    for field in required:
        if field not in table:
            raise WeightsError(f"{where} has no {field}")
    for field, value in table.items():
        if field not in fields:
            raise WeightsError(f"{where} has an unknown field {field}; known are {', '.join(fields)}")
        if not _is_kind(value, fields[field]):
            raise WeightsError(f"{where}: {field} is {value!r}; expected {fields[field][1]}")
    return dict(table)


def _is_kind(value: object, kind: _Kind) -> bool:
    return isinstance(value, kind[0]) and not isinstance(value, bool) and (kind is not _COUNT or bool(value > 0))  # type: ignore[operator]


def known_entry(name: str) -> KnownWeights:
    """The known weights of this name; WeightsError lists the names there are, near ones first."""
    known = known_weights()
    if name in known:
        return known[name]
    import difflib

    near = difflib.get_close_matches(name.lower(), known, n=len(known))
    names = ", ".join([*near, *(other for other in known if other not in near)])
    raise WeightsError(f"{name}: no known weights have this name; known are {names}")
