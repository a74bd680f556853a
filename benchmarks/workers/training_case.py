"""What a training worker is asked to do, and the numbers it does it with: the same for PyTorch and gradcli.

NumPy is imported by the functions that need it, so that the benchmark's parent process can stay small.
"""

from __future__ import annotations

import argparse
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from numpy.typing import NDArray

MODES = ("step", "frozen-step", "eval", "features")
CLASSES = 1000
FEATURES = 512
HEAD_CLASSES = 10
"""Classes of the new head that `frozen-step` trains."""
LOSS_SCALE = 1e-6
"""Keeps the weights of `step` from running away over many steps on one batch; it changes no amount of work."""
LEARNING_RATE = 1e-2
MOMENTUM = 0.9


@dataclass(frozen=True)
class TrainingCase:
    """One row of the table: a mode (one of MODES) on a batch of square images, `side` pixels wide."""

    mode: str
    side: int
    batch: int

    def arguments(self) -> list[str]:
        """The options that `argument_parser` and `case_of` turn back into this case."""
        return ["--mode", self.mode, "--side", str(self.side), "--batch", str(self.batch)]

    def images(self) -> NDArray[Any]:
        """The input, float32 of shape (batch, 3, side, side), uniform in [0, 1)."""
        import numpy as np

        return np.random.default_rng(0).random((self.batch, 3, self.side, self.side), dtype=np.float32)

    def labels(self) -> NDArray[Any]:
        """What `step` subtracts from the prediction, float32 of shape (batch, 1000), uniform in [0, 1)."""
        import numpy as np

        return np.random.default_rng(1).random((self.batch, CLASSES), dtype=np.float32)

    def class_indices(self) -> NDArray[Any]:
        """The classes that `frozen-step` trains towards, int64 of shape (batch,)."""
        import numpy as np

        return np.random.default_rng(2).integers(HEAD_CLASSES, size=self.batch)


def head_state() -> dict[str, NDArray[Any]]:
    """Weight (10, 512) and bias (10,) of the new head of `frozen-step`, float32, in nn.Linear's initial range."""
    import numpy as np

    generator = np.random.default_rng(3)
    bound = FEATURES**-0.5
    return {
        "weight": generator.uniform(-bound, bound, (HEAD_CLASSES, FEATURES)).astype(np.float32),
        "bias": generator.uniform(-bound, bound, HEAD_CLASSES).astype(np.float32),
    }


def argument_parser() -> argparse.ArgumentParser:
    """The options that all training workers have; `--weights` names what make_weights.py wrote."""
    parser = argparse.ArgumentParser()
    parser.add_argument("--mode", choices=MODES, required=True)
    parser.add_argument("--side", type=int, required=True)
    parser.add_argument("--batch", type=int, required=True)
    parser.add_argument("--weights", type=Path, required=True)
    parser.add_argument("--threads", type=int, required=True)
    return parser


def case_of(arguments: argparse.Namespace) -> TrainingCase:
    """The case that the parsed options describe."""
    return TrainingCase(arguments.mode, arguments.side, arguments.batch)
