"""How many of the held-out drawings are recognised, by the pack that they are from.

The data is what build.py writes: its validation part counts, of which `pack_val` tells whose each drawing is. Two packs
may show the same drawings in other shades (`--apart`), so that a held-out one of theirs was nearly seen in training:
there is a row without them.

    python held_out.py emoji1k.npz --weights model.safetensors --json held-out.json
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import asdict, dataclass

import numpy as np
from five_shot import SAME_DRAWINGS
from linear_classifier import Labels
from measuring import markdown_table, parser, run, straight_preprocessing, write_json

from gradcli.data.dataset import Subset
from gradcli.data.numpy_files import read_npz
from gradcli.data.sources import open_dataset
from gradcli.errors import DataError
from gradcli.inspection.evaluation import evaluate
from gradcli.models import LoadedModel, load_model


@dataclass(frozen=True, kw_only=True)
class Case:
    """Accuracies in percent on some of the held-out drawings."""

    drawings: str
    image_size: int
    images: int
    top1: float
    top5: float


def groups(pack: Labels, packs: Sequence[str], apart: Sequence[str]) -> dict[str, Labels]:
    """Positions of all drawings, of those that are of no pack `apart`, and of each pack; without groups of none."""
    others = [index for index, name in enumerate(packs) if name not in apart]
    found = {"all": np.arange(len(pack)), f"all but {' and '.join(apart)}": np.flatnonzero(np.isin(pack, others))}
    found |= {name: np.flatnonzero(pack == index) for index, name in enumerate(packs)}
    return {name: positions for name, positions in found.items() if len(positions)}


def measure(data: str, loaded: LoadedModel, image_size: int, apart: Sequence[str]) -> Iterator[Case]:
    """A case for each group. DataError for data without a validation part or without its packs."""
    dataset = open_dataset(data, straight_preprocessing(loaded, image_size), loaded.classes)
    held_out = dataset.validation
    if held_out is None:
        raise DataError(f"{data}: has no validation part; expected what build.py writes")
    pack, packs = read_npz(data, ["pack_val", "packs"])
    for name, positions in groups(pack, [str(each) for each in packs], apart).items():
        result = evaluate(loaded, [Subset(held_out, positions)])
        yield Case(
            drawings=name,
            image_size=image_size,
            images=result.images,
            top1=100 * result.accuracy,
            top5=100 * result.top_accuracy,
        )


def format_cases(cases: Sequence[Case]) -> str:
    """The table in Markdown."""
    rows = []
    for case in cases:
        size = f"{case.image_size}x{case.image_size}"
        rows.append([case.drawings, size, str(case.images), f"{case.top1:.1f}", f"{case.top5:.1f}"])
    return markdown_table(["drawings", "pixels", "images", "top-1", "top-5"], rows)


def main() -> None:
    """Measure, print the table and write the JSON file that was asked for."""
    arguments_parser = parser(__doc__ or "")
    arguments_parser.add_argument("data", metavar="DATA", help="an .npz file of x_val, y_val, classes, pack_val, packs")
    arguments_parser.add_argument(
        "--apart",
        nargs="*",
        default=list(SAME_DRAWINGS),
        metavar="PACK",
        help=f"packs of the same drawings (default: {' '.join(SAME_DRAWINGS)})",
    )
    arguments = arguments_parser.parse_args()
    loaded = load_model(arguments.weights)
    cases = [case for size in arguments.image_sizes for case in measure(arguments.data, loaded, size, arguments.apart)]
    print(format_cases(cases))
    write_json(arguments.json, "held_out", {"weights": arguments.weights, "cases": [asdict(case) for case in cases]})


if __name__ == "__main__":
    run(main)
