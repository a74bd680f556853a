"""Accuracy by epoch over runs of which each went on with the weights of the one before, as a picture.

    python training_curves.py runs/emoji1k runs/emoji1k-finish -o training.png

It needs `pip install 'gradcli[plot]'`.
"""

from __future__ import annotations

import argparse
from collections.abc import Sequence
from pathlib import Path

from measuring import run

from gradcli.inspection.plots.curves import Axes, Curve
from gradcli.inspection.plots.pictures import plot_curves
from gradcli.inspection.training_runs.history import RunHistory, read_history

AXES = Axes("epoch", "top-1 accuracy, %")
SERIES = {"drawings held out, as they are": "val_accuracy", "drawings trained on, distorted": "train_accuracy"}


def accuracy_curves(runs: Sequence[RunHistory]) -> list[Curve]:
    """Percentages by epoch, counted through all runs."""
    records = [record for history in runs for record in history.epochs]
    epochs = range(1, len(records) + 1)
    return [Curve(label, "*", epochs, [100 * record[field] for record in records]) for label, field in SERIES.items()]


def first_epochs(runs: Sequence[RunHistory]) -> dict[str, float]:
    """The epoch that each run but the first began with, by the run's name."""
    starts, done = {}, 1
    for history in runs:
        starts[history.path.name] = float(done)
        done += len(history.epochs)
    return dict(list(starts.items())[1:])


def main() -> None:
    """Read the runs and write the picture."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("runs", type=Path, nargs="+", metavar="RUN", help="folders of runs, in order")
    parser.add_argument("-o", "--output", type=Path, required=True, metavar="PATH", help="the PNG file to write")
    arguments = parser.parse_args()
    runs = [read_history(path) for path in arguments.runs]
    picture = plot_curves(accuracy_curves(runs), AXES, "Training on emoji", first_epochs(runs))
    arguments.output.write_bytes(picture)


if __name__ == "__main__":
    run(main)
