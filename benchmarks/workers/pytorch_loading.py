"""A worker that loads weights files with PyTorch and safetensors, or only reads and copies their bytes."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Any

import numpy as np
import torch
from safetensors.torch import load_file

from workers.loading_case import answer_lines


def load(path: str) -> dict[str, Any]:
    """The state dict as PyTorch's users load it."""
    if path.endswith(".safetensors"):
        return load_file(path)
    state: dict[str, Any] = torch.load(path, weights_only=True)
    return state


def load_and_copy(path: str) -> dict[str, Any]:
    """The state dict, each tensor in memory of its own."""
    return {name: tensor.clone() for name, tensor in load(path).items()}


def read_and_copy(path: str) -> Any:
    """No tensors: the least that a reader which copies could take."""
    return np.frombuffer(Path(path).read_bytes(), np.uint8).copy()


WAYS = {"load": load, "load and copy": load_and_copy, "read and copy": read_and_copy}

if __name__ == "__main__":
    torch.set_num_threads(int(sys.argv[sys.argv.index("--threads") + 1]))
    answer_lines(WAYS)
