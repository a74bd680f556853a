"""What weights files hold, and which known weights are where."""

from __future__ import annotations

import hashlib
from pathlib import Path

import numpy as np
import pytest
from manifest_writer import entry_of, write_manifest

from gradcli.checkpoints import convert_checkpoint, save_safetensors
from gradcli.errors import WeightsError
from gradcli.inspection.weights import (
    fetch_known_weights,
    inspect_weights,
    list_known_weights,
    verify_known_weights,
)

# A tiny network with the names of a ResNet-18: only names and shapes matter here.
TENSORS = {
    "conv1.weight": np.ones((64, 3, 7, 7), np.float32),
    **{
        f"layer{stage}.{block}.conv{convolution}.weight": np.zeros((64, 1, 1, 1), np.float32)
        for stage in range(1, 5)
        for block in range(2)
        for convolution in (1, 2)
    },
    "fc.weight": np.zeros((7, 512), np.float32),
}


@pytest.fixture
def published(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A published file that is known as `tiny`; the cache folder is `home` beside it."""
    monkeypatch.setenv("GRADCLI_HOME", str(tmp_path / "home"))
    monkeypatch.setenv("TORCH_HOME", str(tmp_path / "torch"))
    path = tmp_path / "tiny.safetensors"
    save_safetensors(path, TENSORS)
    write_manifest({"tiny": entry_of(path.read_bytes(), "https://example.org/tiny.safetensors")})
    return path


def place_of_tiny() -> tuple[str, Path | None]:
    (listed,) = (listed for listed in list_known_weights() if listed.weights.name == "tiny")
    return listed.place, listed.path


def test_the_published_file_is_known_whatever_its_name(published: Path) -> None:
    renamed = published.rename(published.with_name("renamed.safetensors"))
    inspected = inspect_weights(str(renamed))
    assert (inspected.known_as, inspected.converted_from, inspected.suspicion) == ("tiny", None, None)
    assert (inspected.architecture, inspected.classes) == ("resnet18", 7)
    assert inspected.description.naming == "torchvision"


def test_a_converted_file_says_what_it_was_made_from(published: Path, tmp_path: Path) -> None:
    convert_checkpoint(published, tmp_path / "other.safetensors", dtype="float16", naming="hf")
    inspected = inspect_weights(str(tmp_path / "other.safetensors"))
    assert (inspected.known_as, inspected.converted_from) == (None, "tiny")
    assert (inspected.description.naming, inspected.architecture, inspected.classes) == ("hf", "resnet18", 7)


def test_a_file_that_is_not_what_its_name_says(published: Path) -> None:
    content = bytearray(published.read_bytes())
    content[-1] ^= 1
    published.write_bytes(content)
    inspected = inspect_weights(str(published))
    assert inspected.known_as is None
    assert inspected.suspicion is not None
    assert hashlib.sha256(content).hexdigest() in inspected.suspicion
    assert not verify_known_weights(str(published)).ok


def test_the_published_file_is_found_where_it_was_put(published: Path, tmp_path: Path) -> None:
    assert place_of_tiny() == ("not here", None)
    with pytest.raises(WeightsError, match="tiny: is not here; gradcli weights fetch tiny downloads it"):
        verify_known_weights("tiny")
    for place, folder in (
        ("torch.hub", tmp_path / "torch/hub/checkpoints"),
        ("downloaded", tmp_path / "home/downloads"),
    ):
        folder.mkdir(parents=True)
        path = folder / "tiny.safetensors"
        path.write_bytes(published.read_bytes())
        assert place_of_tiny() == (place, path)
        assert verify_known_weights("tiny").path == path


def test_what_was_fetched_is_in_the_cache(published: Path, tmp_path: Path) -> None:
    downloads = tmp_path / "home" / "downloads"
    downloads.mkdir()
    published.rename(downloads / published.name)
    (fetched,) = fetch_known_weights(["tiny", "tiny"])
    assert place_of_tiny() == ("cached", fetched.path)
    assert fetched.sha256 == hashlib.sha256(fetched.path.read_bytes()).hexdigest()
    assert inspect_weights("tiny").known_as == "tiny"
    assert verify_known_weights("tiny").ok


def test_an_unknown_name_stops_before_anything_is_fetched(published: Path, tmp_path: Path) -> None:
    with pytest.raises(WeightsError, match="tinny: no known weights have this name; known are tiny, "):
        next(fetch_known_weights(["tiny", "tinny"]))
    assert not (tmp_path / "home" / "weights").exists()
