"""The packages of pictures: what packs.toml says of them, fetching them through npm, checking their hashes."""

from __future__ import annotations

import base64
import hashlib
import os
import shutil
import subprocess
import tempfile
import tomllib
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

PACKS_FILE = Path(__file__).with_name("packs.toml")


class RecipeError(Exception):
    """What stops the recipe; the message is one line."""


@dataclass(frozen=True)
class Package:
    """A package of the npm registry, pinned by version and by the SHA-512 of its archive."""

    package: str
    version: str
    integrity: str
    licence: str
    attribution: str

    @property
    def archive_name(self) -> str:
        """What npm calls the archive: `@scope/name` becomes `scope-name-VERSION.tgz`."""
        return f"{self.package.removeprefix('@').replace('/', '-')}-{self.version}.tgz"


@dataclass(frozen=True)
class Pack(Package):
    """A package of pictures: one designer's drawings of the emoji. packs.toml explains the fields."""

    name: str
    licence_found: str
    kind: str
    folder: str = ""
    older_names: dict[str, str] = field(default_factory=dict)
    not_drawn: list[str] = field(default_factory=list)


def read_packs(path: Path = PACKS_FILE) -> tuple[Package, list[Pack]]:
    """The package of names and the packs of pictures that packs.toml lists, in its order."""
    tables: dict[str, Any] = tomllib.loads(path.read_text(encoding="utf-8"))
    return Package(**tables["names"]), [Pack(name=name, **table) for name, table in tables["packs"].items()]


def integrity_of(path: Path) -> str:
    """The SHA-512 of a file as npm writes it: `sha512-` and base64."""
    with path.open("rb") as file:
        return "sha512-" + base64.b64encode(hashlib.file_digest(file, "sha512").digest()).decode()


def fetch_package(package: Package, folder: Path) -> Path:
    """The package's archive in `folder`, fetched by `npm pack` unless it is there with the right hash.

    An archive whose hash is another is never kept: RecipeError, also where npm is missing or fails.
    """
    path = folder / package.archive_name
    try:
        return path if _is_there(path, package.integrity) else _fetch(package, path)
    except OSError as error:
        raise RecipeError(f"{path}: can't be read or written ({error.strerror or error})") from error


def _is_there(path: Path, integrity: str) -> bool:
    return path.is_file() and integrity_of(path) == integrity


def _fetch(package: Package, path: Path) -> Path:
    """Fetch the archive into a folder beside `path`, check it and put it in place."""
    npm = shutil.which("npm")
    if npm is None:
        raise RecipeError(f"npm is not installed; it fetches {package.package}@{package.version}")
    path.parent.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(dir=path.parent, prefix=".fetching-") as new_folder:
        command = [npm, "pack", f"{package.package}@{package.version}", "--ignore-scripts", "--loglevel=error"]
        result = subprocess.run(
            [*command, "--pack-destination", new_folder], capture_output=True, text=True, check=False
        )
        fetched = Path(new_folder) / package.archive_name
        if result.returncode or not fetched.is_file():
            reasons = result.stderr.strip().splitlines() or [f"exit code {result.returncode}"]
            raise RecipeError(f"{package.package}@{package.version}: npm can't fetch it ({reasons[0]})")
        if (integrity := integrity_of(fetched)) != package.integrity:
            raise RecipeError(
                f"{package.package}@{package.version}: its hash is {integrity}; expected {package.integrity}"
            )
        os.replace(fetched, path)
    return path
