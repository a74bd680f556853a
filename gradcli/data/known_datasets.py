"""The data sets that are known by name: what they are, where a verified copy lies, and fetching one.

They stand in `known_datasets.toml`. Files are kept as they were published, in a folder of the data set's name in
gradcli's cache.
"""

from __future__ import annotations

import functools
import logging
from collections.abc import Iterator, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any, Final, Literal

from gradcli.errors import DataError, WeightsError

logger = logging.getLogger(__name__)

MANIFEST: Final = Path(__file__).with_name("known_datasets.toml")

Place = Literal["bundled", "cached", "installed", "not here"]


@dataclass(frozen=True, kw_only=True)
class PublishedFile:
    """A file of a data set: its address, its size in bytes and its SHA-256 in lower-case hexadecimal digits."""

    url: str
    size: int
    sha256: str

    @property
    def name(self) -> str:
        """The name it is published under, and kept under."""
        return self.url.rsplit("/", 1)[1]


@dataclass(frozen=True, kw_only=True)
class KnownDataset:
    """An entry of `known_datasets.toml`, which explains the fields."""

    name: str
    title: str
    train: int
    test: int
    classes: tuple[str, ...]
    source: str
    files: tuple[PublishedFile, ...]
    licence: str | None = None
    folders: tuple[str, ...] = ()
    labels_sha256: tuple[str, ...] = ()

    @property
    def size(self) -> int:
        """The size of its files in bytes."""
        return sum(file.size for file in self.files)


def known_datasets() -> dict[str, KnownDataset]:
    """The known data sets by name."""
    return _read_manifest(MANIFEST)


@functools.cache
def _read_manifest(path: Path) -> dict[str, KnownDataset]:
    import tomllib

    known = {}
    for name, table in tomllib.loads(path.read_text(encoding="utf-8")).items():
        files = tuple(PublishedFile(**file) for file in table.pop("files"))
        fields: dict[str, Any] = {
            field: tuple(value) if isinstance(value, list) else value for field, value in table.items()
        }
        known[name] = KnownDataset(name=name, files=files, **fields)
    return known


def known_class_names(labels_sha256: str) -> Sequence[str] | None:
    """The class names of the data set whose labels, as bytes, have this SHA-256; None if no known data set has."""
    for known in known_datasets().values():
        if labels_sha256 in known.labels_sha256:
            return known.classes
    return None


def data_folder() -> Path:
    """Where fetched data sets lie, each in a folder of its name. The folder need not exist."""
    from gradcli.hub.cache import home

    return home() / "data"


def find_dataset(name: str) -> Path | None:
    """Where a known data set lies on this machine, to be opened from there; None if it doesn't.

    That is inside gradcli, or what `fetch_dataset` has fetched, if its checksums are right still (a file that is
    damaged is passed over, and the log says so), or a folder where the operating system has it. It is the folder of
    its files, or its only file. DataError for a name that isn't known.
    """
    return _find(known_dataset(name))[1]


def _find(known: KnownDataset) -> tuple[Place, Path | None]:
    if not known.files:
        return "bundled", Path(__file__).with_name(f"{known.name}.npz")
    fetched = data_folder() / known.name
    if all(_is_right(fetched / file.name, file) for file in known.files):
        return "cached", _opened_from(known, fetched)
    for folder in map(Path, known.folders):
        if all((folder / file.name).is_file() for file in known.files):
            return "installed", _opened_from(known, folder)
    return "not here", None


def fetch_dataset(name: str, *, url: str | None = None, force: bool = False, progress: bool = True) -> Path:
    """Download what is missing of a known data set into gradcli's cache and verify it; gives what `find_dataset` gives.

    Nothing is downloaded if `find_dataset` finds it, unless `force` asks for it. `url` is a mirror: the address of
    the file, or, of a data set of several files, of the folder they are in. DataError for a name that isn't known and
    for everything that is wrong with the server, the network, a file or the cache folder.
    """
    known = known_dataset(name)
    place, found = _find(known)
    if found is not None and (place == "bundled" or not force):
        logger.info("%s: %s is here already and is not downloaded", name, found)
        return found
    from gradcli.hub.download import download

    folder = data_folder() / name
    for file in known.files:
        if not force and _is_right(folder / file.name, file):
            continue
        address = file.url if url is None else url if len(known.files) == 1 else f"{url.rstrip('/')}/{file.name}"
        try:
            download(
                address,
                folder / file.name,
                size=file.size,
                sha256=file.sha256,
                description=f"{name}: {file.name}",
                advice=f"name a mirror with gradcli data fetch {name} --url URL, or put {file.name} into {folder}",
                progress=progress,
            )
        except WeightsError as error:  # the downloader's word for what is wrong with what it fetches
            raise DataError(str(error)) from error
    return _opened_from(known, folder)


@dataclass(frozen=True, kw_only=True)
class FetchedDataset:
    """A known data set that is here now, and the size of its published files in bytes."""

    name: str
    path: Path
    size: int


def fetch_known_datasets(
    names: Sequence[str], *, url: str | None = None, force: bool = False
) -> Iterator[FetchedDataset]:
    """Fetch these known data sets one after the other, as `fetch_dataset` does.

    A name that isn't known raises DataError before anything is downloaded.
    """
    for name in names:
        known_dataset(name)
    for name in dict.fromkeys(names):
        path = fetch_dataset(name, url=url, force=force)
        yield FetchedDataset(name=name, path=path, size=known_dataset(name).size)


def list_known_datasets() -> list[dict[str, Any]]:
    """The fields of all known data sets with their `size`, `place` and `path` (None: not here). Nothing is fetched."""
    listed = []
    for known in known_datasets().values():
        place, path = _find(known)
        listed.append(asdict(known) | {"size": known.size, "place": place, "path": path})
    return listed


def known_dataset(name: str) -> KnownDataset:
    """The data set of this name; DataError lists the names there are."""
    known = known_datasets()
    if name not in known:
        raise DataError(f"{name}: no known data set has this name; known are {', '.join(known)}")
    return known[name]


def _opened_from(known: KnownDataset, folder: Path) -> Path:
    return folder / known.files[0].name if len(known.files) == 1 else folder


def _is_right(path: Path, file: PublishedFile) -> bool:
    """Whether the published file is there, unchanged."""
    from gradcli.hub.checksums import cached_sha256

    try:
        if path.stat().st_size == file.size and cached_sha256(path) == file.sha256:
            return True
    except FileNotFoundError:
        return False
    except (OSError, WeightsError) as error:
        logger.warning("%s: not used: %s", path, error)
        return False
    logger.warning("%s: damaged since it was fetched; it is not used", path)
    return False
