"""Fixtures that run the test application: in process, and as a process of its own."""

from __future__ import annotations

import importlib.util
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from types import ModuleType
from typing import Any

import pytest
import typer.testing

PROBE_APP = Path(__file__).with_name("probe_app.py")

Result = subprocess.CompletedProcess[str]


@pytest.fixture(scope="session")
def probe_app() -> ModuleType:
    """The module of the test application."""
    spec = importlib.util.spec_from_file_location("gradcli_probe_app", PROBE_APP)
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    sys.modules[spec.name] = module  # annotations are looked up there
    spec.loader.exec_module(module)
    return module


@pytest.fixture
def invoke(probe_app: ModuleType) -> Callable[..., Any]:
    """Run the test application in process; the result has exit_code, stdout and stderr."""

    def run(*arguments: object, **options: Any) -> Any:
        return typer.testing.CliRunner().invoke(probe_app.app, [str(each) for each in arguments], **options)

    return run


@pytest.fixture
def run_probe() -> Callable[..., Result]:
    """Run the test application as a process."""

    def run(*arguments: object, **options: Any) -> Result:
        command = [sys.executable, str(PROBE_APP), *(str(each) for each in arguments)]
        return subprocess.run(command, capture_output=True, text=True, timeout=60, check=False, **options)

    return run


@pytest.fixture
def start_probe() -> Callable[..., subprocess.Popen[str]]:
    """Start the test application and leave it running."""

    def start(*arguments: object) -> subprocess.Popen[str]:
        command = [sys.executable, str(PROBE_APP), *(str(each) for each in arguments)]
        return subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)

    return start
