"""What tests of several readers of weights files are given."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.checkpoints.torch_zip_writer import TorchZip


@pytest.fixture
def torch_zip(tmp_path: Path) -> TorchZip:
    """A builder of torch.save files in the test's folder."""
    return TorchZip(tmp_path)
