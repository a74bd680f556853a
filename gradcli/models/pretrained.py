"""Which pretrained weights there are, and where to look for the file of each."""

from __future__ import annotations

import os
from enum import Enum
from pathlib import Path

DEFAULT_WEIGHTS = "random:0"
"""The weights of every command and of `ResNet18_Weights.DEFAULT` while no pretrained file is at hand."""


class ResNet18_Weights(Enum):  # noqa: N801 - torchvision's name
    """Pretrained weights of ResNet-18, named as in torchvision; the value is the file torchvision publishes."""

    IMAGENET1K_V1 = "resnet18-f37072fd.pth"
    DEFAULT = IMAGENET1K_V1

    @property
    def path(self) -> Path:
        """Where `torch.hub` puts the file when it downloads it."""
        return _torch_home() / "hub" / "checkpoints" / str(self.value)

    def find(self) -> Path | None:
        """The file, where `torch.hub` keeps its downloads; None if it is not there."""
        return self.path if self.path.is_file() else None


def _torch_home() -> Path:
    """PyTorch's cache folder: `$TORCH_HOME`, else `torch` in `$XDG_CACHE_HOME` or `~/.cache`."""
    if home := os.environ.get("TORCH_HOME"):
        return Path(home).expanduser()
    return Path(os.environ.get("XDG_CACHE_HOME") or "~/.cache").expanduser() / "torch"
