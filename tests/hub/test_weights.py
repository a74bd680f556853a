"""Known weights from an empty cache to a verified safetensors file in it, with and without a network."""

from __future__ import annotations

import json
import logging
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

import numpy as np
import pytest
from http_file_server import FileServer
from manifest_writer import entry_of, write_manifest

from gradcli.checkpoints import file_sha256, load_checkpoint, save_safetensors
from gradcli.checkpoints.naming import names_in
from gradcli.errors import DataError, WeightsError
from gradcli.hub import cache
from gradcli.hub.verification import verify_weights
from gradcli.hub.weights import fetch_weights, find_weights

Serve = Callable[..., FileServer]

GENERATOR = np.random.default_rng(0)
TENSORS = {
    "conv1.weight": GENERATOR.normal(size=(4, 3, 7, 7)).astype(np.float32),
    "bn1.running_mean": GENERATOR.normal(size=4).astype(np.float32),
    "layer1.0.conv1.weight": GENERATOR.normal(size=(4, 4, 3, 3)).astype(np.float16),
    "fc.weight": GENERATOR.normal(size=(2, 4)).astype(np.float32),
    "fc.bias": GENERATOR.normal(size=2).astype(np.float32),
}
PREPROCESSING = {"size": [64, 64], "resize": 72, "mean": [0, 0, 0], "std": [1, 1, 1], "interpolation": "bilinear"}


@pytest.fixture
def published(tmp_path: Path) -> Path:
    """The file that stands in the manifest as `ours`, written under Hugging Face's names."""
    names = names_in("hf", TENSORS)
    path = tmp_path / "ours.safetensors"
    save_safetensors(path, {names[name]: array for name, array in TENSORS.items()}, {"trained": "yes"})
    return path


@pytest.fixture
def server(serve: Serve, published: Path) -> FileServer:
    server = serve(published.read_bytes())
    know(f"{server.url}/published.safetensors?download=true", published)
    return server


def know(url: str, published: Path) -> None:
    """Enter the published file in the manifest as `ours`."""
    preprocessing = {"resize": 72, "crop": 64, "interpolation": "bilinear", "mean": [0, 0, 0], "std": [1, 1, 1]}
    fields = {"naming": "hf", "licence": "MIT", "class_names": "imagenet1k", "preprocessing": preprocessing}
    write_manifest({"ours": entry_of(published.read_bytes(), url, file="published.safetensors", **fields)})


def put(folder: Path, content: bytes) -> Path:
    path = cache.make_folder(folder) / "published.safetensors"
    path.write_bytes(content)
    return path


def files_in(folder: Path) -> list[str]:
    return sorted(str(path.relative_to(folder)) for path in folder.rglob("*") if path.is_file())


def test_fetched_weights_are_verified_converted_and_found_again(server: FileServer, published: Path) -> None:
    assert find_weights("ours") is None
    path = fetch_weights("ours")
    assert path == cache.weights_folder() / "ours.safetensors"
    checkpoint = load_checkpoint(path)
    assert checkpoint.tensors.keys() == TENSORS.keys()
    for name, array in TENSORS.items():
        assert checkpoint.tensors[name].dtype == array.dtype
        np.testing.assert_array_equal(checkpoint.tensors[name], array)
    metadata = checkpoint.metadata
    assert json.loads(metadata["gradcli.preprocessing"]) == PREPROCESSING
    assert (metadata["gradcli.weights"], metadata["gradcli.class_names"]) == ("ours", "imagenet1k")
    assert (metadata["licence"], metadata["trained"]) == ("MIT", "yes")
    assert metadata["source_url"] == f"{server.url}/published.safetensors"
    assert metadata["source_sha256"] == file_sha256(published)
    assert files_in(cache.home()) == ["manifest.toml", "weights/ours.json", "weights/ours.safetensors"]
    assert find_weights("ours") == path
    assert verify_weights(path).ok
    assert fetch_weights("ours") == path
    assert len(server.requests) == 1
    assert fetch_weights("ours", force=True) == path
    assert len(server.requests) == 2


def test_drops_on_the_way(server: FileServer) -> None:
    server.drops, server.bytes_before_drop = 10, 100
    assert verify_weights(fetch_weights("ours")).ok
    assert len(server.requests) == 11


def test_a_download_stopped_by_ctrl_c_says_that_it_goes_on_and_does(
    server: FileServer, published: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    half = server.content[: len(server.content) // 2]

    @contextmanager
    def pressing(description: str, *, wanted: bool = True) -> Iterator[Callable[[int, int | None], None]]:
        def report(done: int, total: int | None) -> None:
            if done >= len(half):
                raise KeyboardInterrupt

        yield report

    server.drops, server.bytes_before_drop = 1, len(half)
    with monkeypatch.context() as patch, caplog.at_level(logging.INFO, "gradcli"):
        patch.setattr("gradcli.hub.download.download_progress", pressing)
        with pytest.raises(KeyboardInterrupt):
            fetch_weights("ours")
    assert "ours: what has arrived is kept, and the next try goes on from there" in caplog.text
    server.drops = 0
    fetch_weights("ours")
    assert server.asked("Range")[-1] == f"bytes={len(half)}-"


@pytest.mark.parametrize("folder", [0, 1, 2])
def test_what_torch_hub_has_downloaded_is_used(server: FileServer, published: Path, folder: int) -> None:
    downloaded = put(cache.torch_hub_folders()[folder], published.read_bytes())
    assert find_weights("ours") == downloaded
    path = fetch_weights("ours")
    assert path.parent == cache.weights_folder()
    assert find_weights("ours") == path
    assert downloaded.exists()
    assert server.requests == []


def test_a_file_that_was_put_there_by_hand_is_used(server: FileServer, published: Path) -> None:
    put(cache.downloads_folder(), published.read_bytes())
    fetch_weights("ours")
    assert server.requests == []


def test_a_damaged_file_of_torch_hub_is_passed_over(
    server: FileServer, published: Path, caplog: pytest.LogCaptureFixture
) -> None:
    damaged = put(cache.torch_hub_folders()[0], published.read_bytes()[:-1] + b"?")
    assert find_weights("ours") is None
    assert f"{damaged}: not used: its SHA-256 is {file_sha256(damaged)}" in caplog.text
    assert find_weights("ours", verify=False) == damaged
    assert verify_weights(fetch_weights("ours")).ok
    assert len(server.requests) == 1


def test_a_damaged_file_of_the_cache_is_fetched_again(server: FileServer, caplog: pytest.LogCaptureFixture) -> None:
    path = fetch_weights("ours")
    path.write_bytes(path.read_bytes()[:-1])
    assert find_weights("ours") is None
    assert f"{path}: damaged since it was fetched" in caplog.text
    assert verify_weights(fetch_weights("ours")).ok
    assert len(server.requests) == 2


def test_weights_of_which_the_manifest_names_another_file_by_now_are_fetched_again(
    server: FileServer, published: Path
) -> None:
    fetch_weights("ours")
    save_safetensors(published, dict(list(TENSORS.items())[:3]), {})
    server.content = published.read_bytes()
    know(f"{server.url}/new.safetensors", published)
    assert find_weights("ours") is None
    assert load_checkpoint(fetch_weights("ours")).tensors.keys() == set(list(TENSORS)[:3])


def test_a_mirror_is_asked_in_place_of_the_publisher(server: FileServer, serve: Serve, published: Path) -> None:
    mirror = serve(published.read_bytes())
    path = fetch_weights("ours", url=f"{mirror.url}/copy")
    assert (len(server.requests), len(mirror.requests)) == (0, 1)
    assert load_checkpoint(path).metadata["source_url"] == f"{mirror.url}/copy"


def test_a_mirror_with_another_file_is_refused(server: FileServer, serve: Serve) -> None:
    with pytest.raises(WeightsError, match="expected"):
        fetch_weights("ours", url=f"{serve(server.content[::-1]).url}/copy")
    assert files_in(cache.home()) == ["manifest.toml"]
    assert find_weights("ours") is None


@pytest.mark.parametrize("url", ["file:///tmp/published.safetensors", "published.safetensors"])
def test_a_mirror_is_an_address(server: FileServer, url: str) -> None:
    with pytest.raises(WeightsError, match="not an http or https address"):
        fetch_weights("ours", url=url)


def test_offline_is_one_clear_line(published: Path) -> None:
    with FileServer(b"") as closed:
        url = closed.url
    know(f"{url}/published.safetensors", published)
    with pytest.raises(WeightsError) as error:
        fetch_weights("ours")
    message = str(error.value)
    assert message.startswith(f"{url}/published.safetensors: cannot be fetched: 127.0.0.1 cannot be reached (")
    assert "gradcli weights fetch ours --url URL" in message
    assert f"put published.safetensors into {cache.downloads_folder()}" in message
    assert "\n" not in message


def test_an_interrupted_conversion_leaves_no_weights_and_no_second_download(
    server: FileServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    def interrupted(*_: object, **__: object) -> None:
        raise KeyboardInterrupt

    with monkeypatch.context() as patch:
        patch.setattr("gradcli.hub.weights.convert_checkpoint", interrupted)
        with pytest.raises(KeyboardInterrupt):
            fetch_weights("ours")
    assert find_weights("ours") is None
    assert verify_weights(fetch_weights("ours")).ok
    assert len(server.requests) == 1
    assert files_in(cache.home()) == ["manifest.toml", "weights/ours.json", "weights/ours.safetensors"]


def test_a_file_that_is_no_resnet_is_refused_and_dropped(server: FileServer, published: Path) -> None:
    save_safetensors(published, {"embedding.weight": np.zeros((3, 4), np.float32)}, {})
    server.content = published.read_bytes()
    know(f"{server.url}/published.safetensors", published)
    with pytest.raises(WeightsError, match="its names are not those of a ResNet"):
        fetch_weights("ours")
    assert files_in(cache.home()) == ["manifest.toml"]


def test_two_at_once_download_once(server: FileServer) -> None:
    threads = [threading.Thread(target=fetch_weights, args=("ours",)) for _ in range(2)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len(server.requests) == 1
    assert files_in(cache.home()) == ["manifest.toml", "weights/ours.json", "weights/ours.safetensors"]


def test_weights_without_their_record_are_not_used(server: FileServer) -> None:
    fetch_weights("ours")
    (cache.weights_folder() / "ours.json").unlink()
    assert find_weights("ours") is None


def test_a_cache_that_cannot_be_written(server: FileServer) -> None:
    cache.weights_folder().write_text("a file in the folder's place")
    with pytest.raises(DataError, match="cannot be made"):
        fetch_weights("ours")


def test_it_says_where_the_file_comes_from(
    server: FileServer, published: Path, caplog: pytest.LogCaptureFixture
) -> None:
    downloaded = put(cache.torch_hub_folders()[0], published.read_bytes())
    with caplog.at_level(logging.INFO, "gradcli"):
        fetch_weights("ours")
    assert caplog.messages == [f"ours: {downloaded} is here already and is not downloaded"]


@pytest.mark.parametrize("function", [find_weights, fetch_weights])
def test_unknown_names(function: Callable[[str], object]) -> None:
    with pytest.raises(WeightsError, match="imagenet: no known weights have this name"):
        function("imagenet")
