"""Where caches lie, as the environment says."""

from __future__ import annotations

from pathlib import Path

import pytest

from gradcli.errors import DataError
from gradcli.hub import cache


def test_home_is_where_the_environment_says(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setenv("GRADCLI_HOME", str(tmp_path))
    assert cache.home() == tmp_path
    assert cache.weights_folder() == tmp_path / "weights"
    assert cache.downloads_folder() == tmp_path / "downloads"


@pytest.mark.parametrize("value", ["~/caches", "caches"])
def test_home_is_absolute(monkeypatch: pytest.MonkeyPatch, value: str) -> None:
    monkeypatch.setenv("GRADCLI_HOME", value)
    assert cache.home().is_absolute()
    assert cache.home().name == "caches"


@pytest.mark.parametrize("value", [None, ""])
def test_home_is_in_the_platforms_cache_folder_by_default(monkeypatch: pytest.MonkeyPatch, value: str | None) -> None:
    from platformdirs import user_cache_path

    monkeypatch.delenv("GRADCLI_HOME")
    if value is not None:
        monkeypatch.setenv("GRADCLI_HOME", value)
    assert cache.home() == user_cache_path("gradcli", appauthor=False)


def test_torch_hub_folders(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setenv("TORCH_HOME", str(tmp_path))
    assert cache.torch_hub_folders() == [
        tmp_path / "hub" / "checkpoints",
        tmp_path / "checkpoints",
        tmp_path / "models",
    ]
    monkeypatch.delenv("TORCH_HOME")
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))
    oldest = Path("~/.torch/models").expanduser()
    torch_home = tmp_path / "torch"
    assert cache.torch_hub_folders() == [torch_home / "hub" / "checkpoints", torch_home / "checkpoints", oldest]
    monkeypatch.delenv("XDG_CACHE_HOME")
    assert cache.torch_hub_folders()[0] == Path("~/.cache/torch/hub/checkpoints").expanduser()


def test_a_folder_that_cannot_be_made_is_named(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    with pytest.raises(DataError, match=r"file/folder: the cache folder cannot be made: .*GRADCLI_HOME"):
        cache.make_folder(tmp_path / "file" / "folder")
