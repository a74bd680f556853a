"""Known data sets: the manifest, where copies are looked for, and fetching from a server on loopback."""

from __future__ import annotations

import functools
import hashlib
import http.server
import json
import logging
import threading
from collections.abc import Iterator
from pathlib import Path

import pytest
from idx_files import write_mnist

from gradcli.data import known_datasets
from gradcli.data.known_datasets import (
    fetch_dataset,
    fetch_known_datasets,
    find_dataset,
    known_class_names,
    list_known_datasets,
)
from gradcli.data.sources import BUNDLED_DATASETS, open_dataset
from gradcli.errors import DataError


class QuietHandler(http.server.SimpleHTTPRequestHandler):
    """Serves a folder and tells nobody."""

    def log_message(self, format: str, *arguments: object) -> None:
        pass


@pytest.fixture
def published(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    """A folder that is served on loopback; the manifest knows its files as `mine`, and one of them as `single`."""
    folder = write_mnist(tmp_path / "published", suffix=".gz")
    (folder / "set.npz").write_bytes((Path(known_datasets.__file__).parent / "digits.npz").read_bytes())
    monkeypatch.setenv("GRADCLI_HOME", str(tmp_path / "home"))
    monkeypatch.setenv("NO_PROXY", "127.0.0.1")
    handler = functools.partial(QuietHandler, directory=str(folder))
    with http.server.ThreadingHTTPServer(("127.0.0.1", 0), handler) as server:
        thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01})
        thread.start()
        write_manifest(folder, f"http://127.0.0.1:{server.server_port}", monkeypatch)
        yield folder
        server.shutdown()
        thread.join()


def write_manifest(folder: Path, address: str, monkeypatch: pytest.MonkeyPatch) -> None:
    entries = {"mine": sorted(path.name for path in folder.glob("*ubyte.gz")), "single": ["set.npz"]}
    lines = []
    for name, files in entries.items():
        lines += [f"[{name}]", 'title = "Mine"', "train = 12", "test = 4", 'classes = ["a", "b", "c"]']
        lines += [f'source = "{address}"', f"folders = {json.dumps([str(folder.parent / 'installed')])}", "files = ["]
        for file in files:
            content = (folder / file).read_bytes()
            sha256 = hashlib.sha256(content).hexdigest()
            lines.append(f'{{ url = "{address}/{file}", size = {len(content)}, sha256 = "{sha256}" }},')
        lines.append("]")
    manifest = folder.parent / "manifest.toml"
    manifest.write_text("\n".join(lines))
    monkeypatch.setattr(known_datasets, "MANIFEST", manifest)


def test_every_entry_of_the_manifest_is_complete() -> None:
    known = known_datasets.known_datasets()
    assert list(known) == ["digits", "fashion-mnist", "cifar10"]
    for name, entry in known.items():
        assert len(set(entry.classes)) == len(entry.classes) == 10
        assert bool(entry.files) == (name not in BUNDLED_DATASETS)
        for file in entry.files:
            assert file.url.startswith("https://")
            assert file.size > 0
            assert len(bytes.fromhex(file.sha256)) == 32
        assert len({file.name for file in entry.files}) == len(entry.files)
        for digest in entry.labels_sha256:
            assert known_class_names(digest) == entry.classes
    assert known["fashion-mnist"].licence == "MIT"
    assert known_class_names("0" * 64) is None


def test_bundled_data_sets_are_always_here() -> None:
    path = find_dataset("digits")
    assert path is not None
    assert path.is_file()
    assert fetch_dataset("digits", force=True) == path


def test_fetched_data_sets_are_found_and_opened_by_name(published: Path, tmp_path: Path) -> None:
    assert find_dataset("mine") is None
    folder = fetch_dataset("mine")
    assert folder == tmp_path / "home" / "data" / "mine"
    assert sorted(path.name for path in folder.iterdir() if path.suffix == ".gz") == sorted(
        path.name for path in published.glob("*.gz")
    )
    for path in published.iterdir():  # from here on nothing is downloaded
        path.unlink()
    assert fetch_dataset("mine") == find_dataset("mine") == folder
    dataset = open_dataset("mine")
    assert (dataset.source, len(dataset), list(dataset.splits())) == ("mine", 12, ["train", "test"])


def test_a_data_set_of_one_file_is_opened_from_it(published: Path, tmp_path: Path) -> None:
    assert fetch_dataset("single") == find_dataset("single") == tmp_path / "home" / "data" / "single" / "set.npz"


def test_only_what_is_missing_or_damaged_is_downloaded(
    published: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    folder = fetch_dataset("mine")
    for path in published.glob("train-*"):
        path.unlink()
    damaged = folder / "t10k-labels-idx1-ubyte.gz"
    damaged.write_bytes(bytes(damaged.stat().st_size))
    assert find_dataset("mine") is None
    assert f"{damaged}: damaged since it was fetched; it is not used" in caplog.messages
    assert fetch_dataset("mine") == folder
    assert find_dataset("mine") == folder


def test_installed_files_are_taken_instead(published: Path, tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    installed = write_mnist(tmp_path / "installed", suffix=".gz")
    assert find_dataset("mine") == installed
    with caplog.at_level(logging.INFO, "gradcli"):
        assert fetch_dataset("mine") == installed
    assert f"mine: {installed} is here already and is not downloaded" in caplog.messages
    assert fetch_dataset("mine", force=True) == tmp_path / "home" / "data" / "mine"
    (installed / "t10k-images-idx3-ubyte.gz").unlink()
    assert find_dataset("mine") == tmp_path / "home" / "data" / "mine"


def test_a_mirror_takes_the_place_of_the_published_address(published: Path) -> None:
    address = known_datasets.known_dataset("mine").source
    for name in ("files", "file"):
        (published / name).mkdir()
    for path in list(published.glob("*.gz")):
        path.rename(published / "files" / path.name)
    (published / "set.npz").rename(published / "file" / "other.npz")
    with pytest.raises(DataError, match=r"404.*; name a mirror with gradcli data fetch mine --url URL, or put "):
        fetch_dataset("mine")
    fetch_dataset("mine", url=f"{address}/files/")
    assert len(open_dataset("mine")) == 12
    assert fetch_dataset("single", url=f"{address}/file/other.npz").name == "set.npz"


def test_another_file_at_the_address_is_refused_and_not_kept(published: Path) -> None:
    path = published / "set.npz"
    path.write_bytes(bytes(path.stat().st_size))
    with pytest.raises(DataError, match=r"set\.npz: the SHA-256 of its [\d,]+ bytes is .*, expected "):
        fetch_dataset("single")
    assert find_dataset("single") is None


def test_what_is_known_is_listed_with_its_place(published: Path, tmp_path: Path) -> None:
    write_mnist(tmp_path / "installed", suffix=".gz")
    listed = {entry["name"]: entry for entry in list_known_datasets()}
    assert (listed["mine"]["place"], listed["mine"]["path"]) == ("installed", tmp_path / "installed")
    assert (listed["single"]["place"], listed["single"]["path"]) == ("not here", None)
    (fetched,) = fetch_known_datasets(["single", "single"])
    assert (fetched.name, fetched.size) == ("single", fetched.path.stat().st_size)
    listed = {entry["name"]: entry for entry in list_known_datasets()}
    assert (listed["single"]["place"], listed["single"]["path"]) == ("cached", fetched.path)


def test_unknown_names_are_refused_before_anything_is_fetched(published: Path, tmp_path: Path) -> None:
    with pytest.raises(DataError, match=r"^mnist: no known data set has this name; known are mine, single$"):
        list(fetch_known_datasets(["single", "mnist"]))
    assert not (tmp_path / "home").exists()
