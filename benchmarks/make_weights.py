"""Writes one random ResNet-18 in several containers, for the two sides of a benchmark.

    python benchmarks/make_weights.py FOLDER

makes FOLDER/resnet18.pth for PyTorch and, with the same numbers, FOLDER/resnet18.safetensors and
FOLDER/resnet18-legacy.pth, the container that PyTorch wrote before 2020.
"""

from __future__ import annotations

import sys
from pathlib import Path

import torch
from safetensors.torch import save_file

sys.path.insert(0, str(Path(__file__).resolve().parents[1] / "tests"))
from reference.torch_resnet18 import randomize_batch_norm, resnet18


def main(folder: Path) -> None:
    """Write the files into an existing folder."""
    torch.manual_seed(0)
    model = resnet18()
    randomize_batch_norm(model, seed=0)
    torch.save(model.state_dict(), folder / "resnet18.pth")
    torch.save(model.state_dict(), folder / "resnet18-legacy.pth", _use_new_zipfile_serialization=False)
    save_file(model.state_dict(), folder / "resnet18.safetensors")


if __name__ == "__main__":
    if len(sys.argv) != 2:
        sys.exit("usage: python benchmarks/make_weights.py FOLDER")
    main(Path(sys.argv[1]))
