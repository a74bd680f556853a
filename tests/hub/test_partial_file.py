"""What a download leaves on disk when it stops, going on from that, and places that can't be written."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path

import pytest
from http_file_server import FileServer

from gradcli.errors import DataError, WeightsError
from gradcli.hub.download import download
from tests.hub.downloads import CONTENT, fetch, files_beside

Serve = Callable[..., FileServer]


def keep_part(destination: Path, kept: bytes, **state: object) -> None:
    """Leave behind what a download that was stopped leaves behind."""
    destination.parent.mkdir()
    (destination.parent / "file.bin.part").write_bytes(kept)
    (destination.parent / "file.bin.part.json").write_text(json.dumps(state))


def test_a_download_that_was_given_up_goes_on_at_the_next_call(serve: Serve, destination: Path) -> None:
    server = serve(CONTENT, drops=1, bytes_before_drop=60_000)
    with pytest.raises(WeightsError, match="the first 60,000 bytes are kept") as error:
        fetch(f"{server.url}/file.bin?token=1", destination, fruitless_tries=0, advice="wait")
    assert str(error.value).startswith(f"{server.url}/file.bin: ")
    assert str(error.value).endswith("; wait")
    assert "\n" not in str(error.value)
    assert files_beside(destination) == ["file.bin.part", "file.bin.part.json"]
    fetch(f"{server.url}/file.bin?token=2", destination)
    assert destination.read_bytes() == CONTENT
    assert server.asked("Range") == [None, "bytes=60000-"]
    assert files_beside(destination) == ["file.bin"]


def test_ctrl_c_keeps_what_came(serve: Serve, destination: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    server = serve(CONTENT, drops=1, bytes_before_drop=60_000)

    def interrupted(_: float) -> None:
        raise KeyboardInterrupt

    with monkeypatch.context() as patch:
        patch.setattr(time, "sleep", interrupted)
        with pytest.raises(KeyboardInterrupt):
            fetch(f"{server.url}/file.bin", destination)
    assert (destination.parent / "file.bin.part").read_bytes() == CONTENT[:60_000]
    fetch(f"{server.url}/file.bin", destination)
    assert server.asked("Range") == [None, "bytes=60000-"]


@pytest.mark.parametrize(
    ("kept", "asked"),
    [(CONTENT, ["bytes=204001-"]), (CONTENT + b"more", ["bytes=204005-", None]), (CONTENT[:9], ["bytes=9-"])],
    ids=["whole", "too long", "short"],
)
@pytest.mark.parametrize("size", [len(CONTENT), None], ids=["known size", "unknown size"])
def test_what_an_earlier_process_left_is_gone_on_with(
    serve: Serve, destination: Path, kept: bytes, asked: list[str | None], size: int | None
) -> None:
    server = serve(CONTENT)
    keep_part(destination, kept, source=f"{server.url}/file.bin", validator='"1"', total=None)
    fetch(f"{server.url}/file.bin", destination, size=size)
    assert destination.read_bytes() == CONTENT
    if size is None:
        assert server.asked("Range") == asked
    else:
        assert len(server.requests) == (0 if kept == CONTENT else 1)


def test_a_part_that_was_damaged_on_disk_is_fetched_anew(serve: Serve, destination: Path) -> None:
    server = serve(CONTENT)
    keep_part(destination, bytes(1000), source=f"{server.url}/file.bin", validator='"1"', total=len(CONTENT))
    fetch(f"{server.url}/file.bin", destination)
    assert destination.read_bytes() == CONTENT
    assert server.asked("Range") == ["bytes=1000-", None]


@pytest.mark.parametrize("damage", ["{", "[]", '{"source": 3}', '{"source": "http://elsewhere.invalid/file.bin"}'])
def test_a_part_of_something_else_is_not_gone_on_with(serve: Serve, destination: Path, damage: str) -> None:
    destination.parent.mkdir()
    (destination.parent / "file.bin.part").write_bytes(b"part of something else")
    (destination.parent / "file.bin.part.json").write_text(damage)
    server = serve(CONTENT)
    fetch(f"{server.url}/file.bin", destination)
    assert server.asked("Range") == [None]
    assert destination.read_bytes() == CONTENT
    assert files_beside(destination) == ["file.bin"]


@pytest.mark.parametrize("name", ["file.bin.part", "file.bin.part.json"])
@pytest.mark.skipif(not hasattr(os, "O_NOFOLLOW"), reason="links are followed here")
def test_links_beside_the_destination_change_no_other_file(serve: Serve, destination: Path, name: str) -> None:
    destination.parent.mkdir()
    victim = destination.parent.parent / "victim"
    victim.write_text("precious")
    (destination.parent / name).symlink_to(victim)
    if name.endswith("json"):
        fetch(f"{serve(CONTENT).url}/file.bin", destination)
        assert destination.read_bytes() == CONTENT
    else:
        with pytest.raises(DataError, match=r"file\.bin: cannot be written: "):
            fetch(f"{serve(CONTENT).url}/file.bin", destination)
    assert victim.read_text() == "precious"


@pytest.mark.parametrize("kind", ["pipe", "second name"])
@pytest.mark.skipif(os.name != "posix", reason="needs pipes and hard links")
def test_a_part_that_is_no_file_of_its_own_is_refused(serve: Serve, destination: Path, kind: str) -> None:
    destination.parent.mkdir()
    part = destination.with_name("file.bin.part")
    if kind == "pipe":
        os.mkfifo(part)
    else:
        (destination.parent / "victim").write_text("precious")
        os.link(destination.parent / "victim", part)
    with pytest.raises(DataError, match=r"file\.bin\.part is a link or no regular file; remove it"):
        fetch(f"{serve(CONTENT).url}/file.bin", destination)
    assert not destination.exists()


def test_a_disk_that_is_too_small_is_not_filled(serve: Serve, destination: Path) -> None:
    server = serve(CONTENT, length=10**17)
    with pytest.raises(DataError, match="100,000,000,000,000,000 bytes are missing, and the disk has "):
        download(f"{server.url}/file.bin", destination)
    assert files_beside(destination) == []


def test_a_folder_that_cannot_be_made(serve: Serve, tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    with pytest.raises(DataError, match="cannot be made"):
        fetch(serve(CONTENT).url, tmp_path / "file" / "file.bin")


@pytest.mark.skipif(os.name != "posix", reason="needs limits of file sizes")
def test_a_full_disk_is_one_line(serve: Serve, destination: Path) -> None:
    program = (
        "import resource, sys\n"
        "from gradcli.errors import DataError\n"
        "from gradcli.hub.download import download\n"
        "resource.setrlimit(resource.RLIMIT_FSIZE, (100_000, 100_000))\n"
        "try:\n"
        "    download(*sys.argv[1:])\n"
        "except DataError as error:\n"
        "    print(error)\n"
    )
    url = serve(CONTENT).url
    run = subprocess.run(
        [sys.executable, "-c", program, url, str(destination)], capture_output=True, text=True, check=True
    )
    assert run.stdout.startswith(f"{destination}: cannot be written: ")
    assert run.stdout.count("\n") == 1
    assert not destination.exists()
    fetch(url, destination)  # with more room, from where it stood
    assert destination.read_bytes() == CONTENT
