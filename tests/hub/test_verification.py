"""Which files claim to be known weights, and what is said of those that aren't."""

from __future__ import annotations

import hashlib
from pathlib import Path

import pytest
from manifest_writer import entry_of, write_manifest

from gradcli.errors import WeightsError
from gradcli.hub import cache
from gradcli.hub.cache_record import CacheRecord, converted_path, read_record, write_record
from gradcli.hub.verification import compare_weights, identify, verify_weights

CONTENT = b"the published weights"
SHA256 = hashlib.sha256(CONTENT).hexdigest()
NAMED = f"resnet18-{SHA256[:8]}.pth"


@pytest.fixture(autouse=True)
def manifest() -> None:
    write_manifest(
        {
            "digits": entry_of(CONTENT, f"https://host/{NAMED}"),
            "plain": entry_of(CONTENT, "https://host/model.safetensors"),
            "prefix": {"url": "https://host/old-01234567.pth", "sha256": "01234567"},
        }
    )


def written(path: Path, content: bytes) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(content)
    return path


def converted(name: str, content: bytes) -> Path:
    path = written(converted_path(name), content)
    write_record(name, CacheRecord(hashlib.sha256(content).hexdigest(), len(content), SHA256))
    return path


def identified(path: Path) -> str | None:
    known = identify(path)
    return known and known.name


def test_a_name_with_digits_of_the_checksum_is_enough(tmp_path: Path) -> None:
    assert identified(written(tmp_path / NAMED, b"cut")) == "digits"
    assert identified(tmp_path / "old-01234567.pth") == "prefix"


def test_another_name_needs_the_size(tmp_path: Path) -> None:
    assert identified(written(tmp_path / "model.safetensors", CONTENT)) == "plain"
    assert identified(written(tmp_path / "model.safetensors", CONTENT + b"!")) is None
    assert identified(tmp_path / "missing" / "model.safetensors") is None


def test_converted_files_are_known_by_their_place(tmp_path: Path) -> None:
    path = converted("plain", b"converted")
    assert identified(path) == "plain"
    link = tmp_path / "link.safetensors"
    link.symlink_to(path)
    assert identified(link) == "plain"
    assert identified(written(tmp_path / "plain.safetensors", b"")) is None


def test_torch_hubs_names_count_in_its_folders_only(tmp_path: Path) -> None:
    for folder in cache.torch_hub_folders()[:2]:
        known = identify(written(folder / "resnet34-20240115.pth", b""))
        assert known is not None
        assert (known.name, known.sha256) == ("resnet34-20240115", "20240115")
    assert identify(written(tmp_path / "resnet34-20240115.pth", b"")) is None
    assert identify(written(cache.torch_hub_folders()[0] / "resnet34.pth", b"")) is None


@pytest.mark.parametrize("name", [NAMED, "model.safetensors", "renamed.pth", f"mine-{SHA256[:9]}.pt"])
def test_right_files(tmp_path: Path, name: str) -> None:
    verification = verify_weights(written(tmp_path / name, CONTENT))
    assert verification.ok
    assert verification.found == SHA256
    assert (verification.expected or "").startswith(SHA256[:8])
    assert (verification.size, verification.reason) == (len(CONTENT), "")


@pytest.mark.parametrize(
    ("content", "cause"),
    [
        (CONTENT[:5], f"cut short after 5 of {len(CONTENT)} bytes"),
        (CONTENT + b"!", f"another file has this name: {len(CONTENT) + 1} bytes instead of {len(CONTENT)}"),
        (CONTENT.swapcase(), "it has the right size, so bytes of it were changed"),
        (b"\n<!doctype html><p>", "it is a web page (HTML)"),
    ],
)
def test_wrong_files_name_both_checksums_and_the_likely_cause(tmp_path: Path, content: bytes, cause: str) -> None:
    path = written(tmp_path / NAMED, content)
    verification = compare_weights(path)
    found = hashlib.sha256(content).hexdigest()
    assert not verification.ok
    assert (verification.name, verification.expected, verification.found) == ("digits", SHA256, found)
    with pytest.raises(WeightsError) as error:
        verify_weights(path)
    assert str(error.value).startswith(f"{path}: its SHA-256 is {found}, that of digits is {SHA256}: ")
    assert cause in str(error.value)
    assert "\n" not in str(error.value)


def test_a_wrong_file_of_unknown_size(tmp_path: Path) -> None:
    with pytest.raises(WeightsError, match="that of prefix is 01234567…: it was cut short or changed"):
        verify_weights(written(tmp_path / "old-01234567.pth", CONTENT))


def test_digits_in_a_name_are_compared_when_it_is_asked_for(tmp_path: Path) -> None:
    with pytest.raises(WeightsError, match="that of mine-0a1b2c3d is 0a1b2c3d…"):
        verify_weights(written(tmp_path / "mine-0a1b2c3d.pth", b"other"))


def test_unknown_files_are_not_right(tmp_path: Path) -> None:
    verification = compare_weights(written(tmp_path / "mine.pth", b"other"))
    assert (verification.ok, verification.name, verification.expected) == (False, None, None)
    with pytest.raises(WeightsError, match="is not that of any known weights"):
        verify_weights(tmp_path / "mine.pth")


def test_converted_files_are_compared_with_what_was_written() -> None:
    path = converted("plain", b"converted")
    assert verify_weights(path).expected == hashlib.sha256(b"converted").hexdigest()
    path.write_bytes(b"convertee")
    with pytest.raises(WeightsError, match="it has the right size, so bytes of it were changed"):
        verify_weights(path)


def test_a_missing_file(tmp_path: Path) -> None:
    with pytest.raises(WeightsError, match="cannot be read"):
        verify_weights(tmp_path / NAMED)


@pytest.mark.parametrize("damage", ["", "{", "[]", "{}", '{"sha256": 1, "size": 1, "source_sha256": "a"}'])
def test_damaged_records_count_as_none(damage: str) -> None:
    converted("plain", b"converted")
    assert read_record("plain") is not None
    (cache.weights_folder() / "plain.json").write_text(damage)
    assert read_record("plain") is None
