"""A worker that loads weights files with gradcli: a JSON line with the file and the way for each line with seconds."""

from __future__ import annotations

import numpy as np

from gradcli.checkpoints import load_checkpoint
from workers.loading_case import answer_lines

WAYS = {
    "load": lambda path: load_checkpoint(path).tensors,
    "load and copy": lambda path: {name: np.array(array) for name, array in load_checkpoint(path).tensors.items()},
}

if __name__ == "__main__":
    answer_lines(WAYS)
