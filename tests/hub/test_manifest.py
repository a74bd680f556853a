"""The manifest that comes with gradcli, users' own ones, and broken ones."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

import pytest

from gradcli.data.preprocessing import Preprocessing
from gradcli.errors import WeightsError
from gradcli.hub.manifest import Accuracy, known_entry, known_weights, published_manifest, read_manifest

ENTRY = 'url = "https://host/resnet18.pth"\nsha256 = "0123abcd"\n'


@pytest.fixture
def own_manifest(tmp_path: Path) -> Path:
    path = tmp_path / "gradcli-home" / "manifest.toml"
    path.parent.mkdir()
    return path


def test_imagenet_v1_is_torchvisions_file() -> None:
    entry = known_weights()["imagenet1k-v1"]
    assert entry.url == "https://download.pytorch.org/models/resnet18-f37072fd.pth"
    assert entry.file == "resnet18-f37072fd.pth"
    assert entry.size == 46_830_571
    assert entry.sha256 == "f37072fd47e89c5e827621c5baffa7500819f7896bbacec160b1a16c560e07ec"
    assert (entry.classes, entry.class_names, entry.naming) == (1000, "imagenet1k", "torchvision")
    assert entry.accuracy == Accuracy(acc1=69.758, acc5=89.078, at=224)
    assert entry.preprocessing == Preprocessing.imagenet().to_dict()


@pytest.mark.parametrize("name", read_manifest(published_manifest(), bundled_files=True))
def test_every_published_entry_is_complete(name: str) -> None:
    entry = known_weights()[name]
    if entry.path is None:
        assert entry.url.startswith("https://")
        assert entry.source is not None
        assert entry.source.startswith("https://")
    else:
        assert entry.url == ""
        assert entry.path == published_manifest().with_name(entry.file)
        assert entry.size is not None
        assert len(entry.sha256) == 64
        assert entry.notes
    assert entry.licence
    assert re.fullmatch("[0-9a-f]{8,64}", entry.sha256)
    if entry.preprocessing is not None:
        assert Preprocessing.from_dict(entry.preprocessing, name).to_dict() == entry.preprocessing


def test_only_the_manifest_of_gradcli_names_files_beside_it(own_manifest: Path) -> None:
    own_manifest.write_text('[ours]\nfile = "ours.safetensors"\nsha256 = "0123abcd"\n')
    with pytest.raises(WeightsError, match="the entry ours has no url"):
        known_weights()
    entry = read_manifest(own_manifest, bundled_files=True)["ours"]
    assert (entry.url, entry.path) == ("", own_manifest.with_name("ours.safetensors"))
    own_manifest.write_text('[ours]\nsha256 = "0123abcd"\n')
    with pytest.raises(WeightsError, match="the entry ours has no file"):
        read_manifest(own_manifest, bundled_files=True)


def test_users_add_and_replace_entries(own_manifest: Path) -> None:
    own_manifest.write_text(
        f'["our-backbone.v2"]\n{ENTRY}size = 12\nnaming = "hf"\n[imagenet1k-v1]\n{ENTRY}licence = "ours"\n'
        "accuracy = { acc1 = 70 }\n"
        'preprocessing = { crop = 64, interpolation = "bicubic", mean = [0, 0, 0], std = [1, 1, 1] }\n'
    )
    ours = known_weights()["our-backbone.v2"]
    assert (ours.name, ours.file, ours.size, ours.naming) == ("our-backbone.v2", "resnet18.pth", 12, "hf")
    assert (ours.classes, ours.preprocessing, ours.accuracy) == (None, None, None)
    replaced = known_weights()["imagenet1k-v1"]
    assert replaced.licence == "ours"
    assert replaced.accuracy == Accuracy(70)
    assert replaced.preprocessing is not None
    assert Preprocessing.from_dict(replaced.preprocessing, "manifest") == Preprocessing(
        size=(64, 64), resize=None, mean=(0, 0, 0), std=(1, 1, 1), interpolation="bicubic"
    )
    assert "imagenet1k-v1-2017" in known_weights()


def test_checksums_are_compared_as_far_as_they_are_known(own_manifest: Path) -> None:
    own_manifest.write_text(
        f"[ours]\n{ENTRY.upper().replace('URL', 'url').replace('SHA', 'sha')}".replace("HTTPS", "https")
    )
    entry = known_entry("ours")
    assert entry.accepts("0123abcd" + "0" * 56)
    assert not entry.accepts("0123abce" + "0" * 56)


@pytest.mark.parametrize(
    ("content", "message"),
    [
        ("[", "is no TOML"),
        (b"\xff", "is no TOML"),
        ("a = 1", "the entry a is 1; expected a table"),
        ("[A]", "'A' can't be the name"),
        ('["../a"]', "can't be the name"),
        ("[random]", "'random' can't be the name"),
        ("[a]", "the entry a has no url"),
        ('[a]\nurl = "https://host/file"', "the entry a has no sha256"),
        (f"[a]\n{ENTRY}colour = 1", "unknown field colour; known are url, file"),
        ('[a]\nsha256 = "01234567"\nurl = "file:///a"', "give an http or https address"),
        ('[a]\nsha256 = "01234567"\nurl = 3', "url is 3; expected text"),
        ('[a]\nurl = "https://host/file"\nsha256 = "0123"', "sha256 is '0123'; give 8 to 64"),
        ('[a]\nurl = "https://host/"\nsha256 = "01234567"', "give an http or https address"),
        ('[a]\nurl = "https://host/?q"\nsha256 = "01234567"', "file is ''; give the plain name"),
        (f'[a]\n{ENTRY}file = "a/b"', "file is 'a/b'; give the plain name"),
        (f"[a]\n{ENTRY}size = 0", "size is 0; expected a whole number above 0"),
        (f"[a]\n{ENTRY}classes = true", "classes is True"),
        (f'[a]\n{ENTRY}naming = "keras"', "naming is 'keras'; expected one of torchvision, timm, hf"),
        (f"[a]\n{ENTRY}accuracy = 70", "accuracy is 70; expected a table"),
        (f"[a]\n{ENTRY}accuracy = {{ acc5 = 70 }}", "accuracy has no acc1"),
        (f"[a]\n{ENTRY}preprocessing = {{ crop = 3 }}", "preprocessing has no interpolation"),
        (
            f'[a]\n{ENTRY}preprocessing = {{ crop = 3, interpolation = "box", mean = [1], std = [1, 2, 3] }}',
            "mean is [1]; expected a list of three numbers",
        ),
    ],
)
def test_a_broken_manifest_is_one_line(own_manifest: Path, content: Any, message: str) -> None:
    own_manifest.write_bytes(content if isinstance(content, bytes) else content.encode())
    with pytest.raises(WeightsError) as error:
        known_weights()
    assert str(error.value).startswith(f"{own_manifest}: ")
    assert message in str(error.value)
    assert "\n" not in str(error.value)


def test_an_unknown_name_lists_near_ones_first() -> None:
    with pytest.raises(WeightsError, match="imagenet-v1: no known weights have this name; known are imagenet1k-v1, "):
        known_entry("imagenet-v1")
