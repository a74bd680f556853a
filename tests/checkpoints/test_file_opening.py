"""What stands behind a name is looked at before it is opened."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from gradcli.checkpoints.file_opening import read_opening
from gradcli.errors import WeightsError


def test_the_opening_is_what_there_is_of_512_bytes(tmp_path: Path) -> None:
    path = tmp_path / "w"
    path.write_bytes(b"abc")
    assert read_opening(path) == b"abc"
    path.write_bytes(bytes(1000))
    assert read_opening(path) == bytes(512)


@pytest.mark.parametrize(
    ("name", "message"),
    [
        ("resnet18.pth", r"no such file; did you mean resnet18\.safetensors or resnet18-f37072fd\.pth\?$"),
        ("resnet18-f37072df.pth", r"no such file; did you mean resnet18-f37072fd\.pth\?$"),
        ("other", "no such file$"),
        ("missing/resnet18.pth", "no such file; the folder .*missing does not exist$"),
        ("notes.txt/resnet18.pth", "no such file; the folder .*notes.txt does not exist$"),
        ("folder", "is a directory; name the weights file inside it"),
        ("pipe", "is a device or a pipe; weights are read from files only"),
        ("empty", "is empty; download or write it again"),
        ("loop", "cannot be read: Too many levels of symbolic links"),
        ("dangling", "no such file"),
        ("nul\0byte", "cannot be read: embedded null byte"),
        ("x" * 300, "cannot be read: File name too long"),
    ],
)
def test_what_is_no_file_with_content_is_named(tmp_path: Path, name: str, message: str) -> None:
    (tmp_path / "resnet18.safetensors").write_bytes(b"abc")
    (tmp_path / "resnet18-f37072fd.pth").write_bytes(b"abc")
    (tmp_path / "notes.txt").write_bytes(b"abc")
    (tmp_path / "folder").mkdir()
    os.mkfifo(tmp_path / "pipe")
    (tmp_path / "empty").touch()
    (tmp_path / "loop").symlink_to(tmp_path / "loop")
    (tmp_path / "dangling").symlink_to(tmp_path / "nowhere")
    with pytest.raises(WeightsError, match=message) as caught:
        read_opening(tmp_path / name)
    assert str(caught.value).startswith(f"{tmp_path / name}: ")


def test_a_file_that_may_not_be_read(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = tmp_path / "w"
    path.write_bytes(b"abc")

    def denied(*arguments: object, **options: object) -> None:
        raise PermissionError(13, "Permission denied")

    monkeypatch.setattr(Path, "open", denied)
    with pytest.raises(WeightsError, match="w: cannot be read: Permission denied"):
        read_opening(path)
