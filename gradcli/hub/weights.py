"""Known weights by name: where a verified copy lies, and fetching one that isn't here."""

from __future__ import annotations

import json
import logging
from contextlib import suppress
from pathlib import Path

from gradcli.checkpoints import convert_checkpoint, file_sha256
from gradcli.errors import WeightsError
from gradcli.hub import cache
from gradcli.hub.cache_record import CacheRecord, converted_path, read_record, write_record
from gradcli.hub.checksums import cached_sha256
from gradcli.hub.download import download
from gradcli.hub.file_lock import locked
from gradcli.hub.http_requests import checked_url, shown_url
from gradcli.hub.manifest import KnownWeights, known_entry
from gradcli.hub.verification import claims_to_be, compare_weights

logger = logging.getLogger(__name__)


def find_weights(name: str, *, verify: bool = True) -> Path | None:
    """A file with these known weights on this machine, its checksum right; None if there is none.

    That is the one that comes with gradcli, for weights that do; else the one that `fetch_weights` made, else the
    published file, under its own name, among gradcli's downloads or in `torch.hub`'s cache folders. A file that is
    damaged is passed over, and the log says so. `verify` False trusts every file by its name. WeightsError for a name
    that isn't known.
    """
    entry = known_entry(name)
    if entry.path is not None:
        return _find_bundled(entry, entry.path, verify)
    return _find_converted(entry, verify) or _find_published(entry, verify)


def fetch_weights(name: str, *, url: str | None = None, force: bool = False, progress: bool = True) -> Path:
    """The safetensors file of these known weights in gradcli's cache folder, fetched now if it isn't there.

    The published file is taken from where `find_weights` looks for it if it lies there, else downloaded, from the
    mirror `url` if one is given; its checksum is verified, its tensors are written under torchvision's names, and the
    download is removed. The metadata of the result holds `gradcli.weights` (the name), `gradcli.class_names`,
    `gradcli.preprocessing`, `licence`, `source_url` and `source_sha256`. `force` downloads whatever is here. Progress
    is shown on standard error as `gradcli.hub.progress` says. Weights that come with gradcli are where they are.

    WeightsError for a name that isn't known and for everything that is wrong with the server, the network or the file,
    or with the file that comes with gradcli; DataError if the cache folder can't be written.
    """
    entry = known_entry(name)
    if entry.path is not None:
        return _bundled(entry, entry.path, url)
    if url is not None:
        checked_url(url)
    folder = cache.make_folder(cache.weights_folder())
    with locked(folder / f".{name}.lock", f"fetching the weights {name}") as waited:
        if (waited or not force) and (converted := _find_converted(entry)) is not None:
            return converted
        published = None if force or url is not None else _find_published(entry)
        if published is not None:
            logger.info("%s: %s is here already and is not downloaded", name, published)
            return _converted(entry, published, entry.url)
        downloaded = cache.downloads_folder() / f"{name}-{entry.file}"
        # One that lies here was whole when its conversion was interrupted.
        if force or not (downloaded.is_file() and entry.accepts(file_sha256(downloaded))):
            try:
                download(
                    url or entry.url,
                    downloaded,
                    size=entry.size,
                    sha256=entry.sha256,
                    description=name,
                    advice=f"name a mirror with gradcli weights fetch {name} --url URL, "
                    f"or put {entry.file} into {downloaded.parent}",
                    progress=progress,
                )
            except KeyboardInterrupt:
                logger.info("%s: what has arrived is kept, and the next try goes on from there", name)
                raise
        try:
            converted = _converted(entry, downloaded, shown_url(url or entry.url))
        except WeightsError:  # the next try would end as this one
            _remove_download(downloaded)
            raise
        _remove_download(downloaded)
    return converted


def _remove_download(path: Path) -> None:
    with suppress(OSError):
        path.unlink()
        path.parent.rmdir()  # if it's empty


def _bundled(entry: KnownWeights, path: Path, url: str | None) -> Path:
    """The file that comes with gradcli; WeightsError if it isn't right, or is to come from elsewhere."""
    if url is not None:
        raise WeightsError(f"--url {url}: {entry.name} comes with gradcli and is not downloaded; leave it out")
    if not path.is_file():
        raise WeightsError(f"{path}: is missing; {entry.name} comes with gradcli, so install that again")
    verification = compare_weights(path, entry)
    if not verification.ok:
        raise WeightsError(f"{path}: {verification.reason}; install gradcli again")
    return path


def _find_bundled(entry: KnownWeights, path: Path, verify: bool) -> Path | None:
    return path if path.is_file() and (not verify or entry.accepts(cached_sha256(path))) else None


def _find_converted(entry: KnownWeights, verify: bool = True) -> Path | None:
    """The converted file, if it is as it was written and was made from what the manifest names today."""
    path = converted_path(entry.name)
    record = read_record(entry.name)
    if not path.is_file() or record is None or not entry.accepts(record.source_sha256):
        return None
    if verify and cached_sha256(path) != record.sha256:
        logger.warning("%s: damaged since it was fetched; it is not used", path)
        return None
    return path


def _find_published(entry: KnownWeights, verify: bool = True) -> Path | None:
    """The file as published, where it was put by hand or by `torch.hub`."""
    for folder in (cache.downloads_folder(), *cache.torch_hub_folders()):
        path = folder / entry.file
        if not path.is_file() or not claims_to_be(path, entry):
            continue
        if not verify:
            return path
        verification = compare_weights(path, entry)
        if verification.ok:
            return path
        logger.warning("%s: not used: %s", path, verification.reason)
    return None


def _converted(entry: KnownWeights, source: Path, url: str) -> Path:
    """Write the published file's tensors as the safetensors file of the cache, and note its checksum."""
    metadata = {"gradcli.weights": entry.name, "source_url": url}
    if entry.class_names is not None:
        metadata["gradcli.class_names"] = entry.class_names
    if entry.preprocessing is not None:
        metadata["gradcli.preprocessing"] = json.dumps(entry.preprocessing)
    if entry.licence is not None:
        metadata["licence"] = entry.licence
    destination = converted_path(entry.name)
    conversion = convert_checkpoint(source, destination, naming="torchvision", metadata=metadata)
    # Last: without the record the file counts as not there.
    size = destination.stat().st_size
    write_record(entry.name, CacheRecord(conversion.destination_sha256, size, conversion.source_sha256))
    return destination
