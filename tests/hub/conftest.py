"""What the tests of the hub share: a server on loopback, no proxies, and empty cache folders."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from pathlib import Path
from typing import Any

import pytest
from http_file_server import FileServer


@pytest.fixture(autouse=True)
def own_environment(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """Empty cache folders, and none of the proxies that the machine's own downloads go through."""
    monkeypatch.setenv("GRADCLI_HOME", str(tmp_path / "gradcli-home"))
    monkeypatch.setenv("TORCH_HOME", str(tmp_path / "torch-home"))
    for name in list(os.environ):
        if name.lower().endswith("_proxy"):
            monkeypatch.delenv(name)


@pytest.fixture
def serve() -> Iterator[Callable[..., FileServer]]:
    """Starts a server with the settings given, as often as called."""
    with ExitStack() as stack:

        def start(content: bytes, **settings: Any) -> FileServer:
            return stack.enter_context(FileServer(content, **settings))

        yield start


@pytest.fixture
def destination(tmp_path: Path) -> Path:
    """Where a download goes; its folder isn't there yet."""
    return tmp_path / "folder" / "file.bin"
