"""The real `gradcli` command as a process: start-up, version, help, and its table of commands."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Iterator

import pytest
import typer
from typer.main import get_command
from typer.testing import CliRunner

import gradcli
from gradcli.cli.main import COMMANDS, app


def run(*arguments: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, "-m", "gradcli", *arguments], capture_output=True, text=True, timeout=60, check=False
    )


def test_the_version_is_printed() -> None:
    result = run("--version")
    assert (result.returncode, result.stdout, result.stderr) == (0, f"gradcli {gradcli.__version__}\n", "")


def test_help_imports_neither_numpy_nor_any_other_heavy_package() -> None:
    code = (
        "import sys\n"
        "from gradcli.cli.main import main\n"
        "sys.argv = ['gradcli', '--help']\n"
        "try:\n    main()\n"
        "except SystemExit as leaving:\n"
        "    heavy = {'numpy', 'PIL', 'safetensors', 'rich', 'pydantic'} & set(sys.modules)\n"
        "    print(leaving.code, sorted(heavy), file=sys.stderr)\n"
    )
    result = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, timeout=60, check=False)
    assert result.stdout.startswith("Usage: gradcli [OPTIONS] COMMAND")
    assert result.stderr == "0 []\n"


def commands(group: typer.Typer, *path: str) -> Iterator[tuple[str, ...]]:
    built = get_command(group)
    for name in built.list_commands(None):
        command = built.get_command(None, name)
        yield (*path, name)
        if hasattr(command, "list_commands"):
            yield from ((*path, name, each) for each in command.list_commands(None))


@pytest.mark.parametrize("path", list(commands(app)), ids=" ".join)
def test_every_command_has_help(path: tuple[str, ...]) -> None:
    result = CliRunner().invoke(app, [*path, "--help"])
    assert result.exit_code == 0
    assert result.stdout.startswith(f"Usage: gradcli {' '.join(path)} ")
    purpose = result.stdout.splitlines()[2].strip()
    assert purpose.endswith("."), "the first line of help is a sentence"


@pytest.mark.parametrize("path", [(), *commands(app)], ids=" ".join)
def test_help_fits_a_terminal_of_80_columns(path: tuple[str, ...], monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("COLUMNS", "80")
    result = CliRunner().invoke(app, [*path, "--help"])
    assert [line for line in result.stdout.splitlines() if len(line) > 80] == []


def test_an_unknown_command_is_one_line() -> None:
    result = run("wieghts")
    assert (result.returncode, result.stdout) == (2, "")
    assert result.stderr == "gradcli: error: no such command 'wieghts'; did you mean weights?\n"


def test_the_table_holds_the_weights_group() -> None:
    assert "weights" in COMMANDS
