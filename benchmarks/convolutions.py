"""Measures every convolution of ResNet-18 by every algorithm that gradcli has for it, and by PyTorch.

    python benchmarks/convolutions.py [--sizes 64:1 64:8] [--rounds N] [--threads N] [--json PATH]

gradcli and PyTorch have a process each, and take turns convolution by convolution; the algorithms take turns call by
call.
"""

from __future__ import annotations

import argparse
import json
import sys
import time
from collections import defaultdict
from collections.abc import Mapping, Sequence
from typing import Any

from machine import describe_measurement, format_measurement
from options import Size, add_sizes_option, parser_with_shared_options, write_json
from paired_workers import paired_workers, prepared_environment
from processes import output_of
from workers.convolution_case import Convolution

SIZES = (Size(64, 1), Size(64, 8), Size(64, 32), Size(224, 1))
SETTLE_SECONDS = 0.05
"""The pause before a worker's turn: threads of the other one may spin for a while until they sleep."""
LAYOUTS = ("PyTorch", "PyTorch channels-last")


def measure_all(pytorch_python: str, threads: int, rounds: int, sizes: Sequence[Size]) -> dict[str, Any]:
    """Everything that there is to report: each convolution's samples, and the sums over the network."""
    environment = prepared_environment(pytorch_python, threads)
    listing = [sys.executable, "-P", "-m", "workers.resnet_convolutions", *map(str, sizes)]
    cases: list[dict[str, Any]] = json.loads(output_of(listing, environment))
    report = {"schema": "gradcli.benchmarks.convolutions/1", **describe_measurement(threads), "rounds": rounds}
    options = ["--threads", str(threads), "--rounds", str(rounds)]
    with paired_workers("convolutions", pytorch_python, environment, options) as workers:
        report["libraries"] = [json.loads(worker.read())["library"] for worker in workers]
        for case in cases:
            convolution = Convolution.from_fields(case["convolution"])
            print(f"{case['size']} {convolution.layers[0]}", file=sys.stderr)
            case["samples"] = {}
            for worker in workers:
                time.sleep(SETTLE_SECONDS)
                case["samples"] |= json.loads(worker.ask(json.dumps(case["convolution"])))
            case["rows"] = {name: _summarize(convolution, samples) for name, samples in case["samples"].items()}
    report["cases"] = cases
    report["totals"] = network_totals(cases)
    return report


def _summarize(convolution: Convolution, samples: Mapping[str, Sequence[float]]) -> dict[str, float]:
    """The shortest times, and the rate that they come to."""
    forward, gradients = min(samples["forward"]), min(samples["gradients"])
    results = 3 if convolution.needs_image_gradient else 2
    gflops = 2 * results * convolution.multiply_adds / (forward + gradients) / 1e9
    return {"forward_seconds": forward, "gradients_seconds": gradients, "gflops": gflops}


def network_totals(cases: Sequence[Mapping[str, Any]]) -> dict[str, dict[str, float]]:
    """By size, the seconds of all of ResNet-18's convolutions: as `exact` and `fast` choose, and PyTorch's."""
    totals: dict[str, dict[str, float]] = defaultdict(lambda: defaultdict(float))
    for case in cases:
        chosen = {f"gradcli {kernels}": name for kernels, name in case["chosen"].items()}
        for label, name in {**chosen, **{layout: layout for layout in LAYOUTS}}.items():
            row = case["rows"][name]
            seconds = row["forward_seconds"] + row["gradients_seconds"]
            totals[case["size"]][label] += seconds * len(case["convolution"]["layers"])
    return totals


def format_report(report: Mapping[str, Any]) -> str:
    """The report as Markdown for benchmarks/README.md."""
    lines = [
        f"{format_measurement(report)}; {', '.join(report['libraries'])}. Minimum of {report['rounds']} rounds.",
        "",
        "| size | first layer | images to channels, window | times | computed by | chosen by | forward ms "
        "| gradients ms | GFLOP/s |",
        "|---|---|---|---:|---|---|---:|---:|---:|",
    ]
    for case in report["cases"]:
        lines += [_table_row(case, name) for name in case["rows"]]
    labels = list(next(iter(report["totals"].values())))
    lines += [
        "",
        f"| all convolutions, ms | {' | '.join(labels)} |",
        f"|---|{'---:|' * len(labels)}",
        *(
            f"| {size} | {' | '.join(f'{1000 * totals[label]:.1f}' for label in labels)} |"
            for size, totals in report["totals"].items()
        ),
    ]
    return "\n".join(lines)


def _table_row(case: Mapping[str, Any], name: str) -> str:
    of, row = case["convolution"], case["rows"][name]
    cells = [
        case["size"],
        of["layers"][0],
        f"{of['side']}x{of['side']}x{of['channels']} to {of['out_channels']}, {of['kernel']}x{of['kernel']}"
        + (f" by {of['stride']}" if of["stride"] > 1 else ""),
        str(len(of["layers"])),
        name,
        ", ".join(kernels for kernels, chosen in case["chosen"].items() if chosen == name),
        f"{1000 * row['forward_seconds']:.2f}",
        f"{1000 * row['gradients_seconds']:.2f}",
        f"{row['gflops']:.0f}",
    ]
    return f"| {' | '.join(cells)} |"


def parse_arguments() -> argparse.Namespace:
    """The command line."""
    parser = parser_with_shared_options(__doc__ or "", "--rounds", 10)
    add_sizes_option(parser, SIZES)
    return parser.parse_args()


def main() -> None:
    """Measure, print the tables and write the JSON file that was asked for."""
    arguments = parse_arguments()
    report = measure_all(arguments.pytorch_python, arguments.threads, arguments.rounds, arguments.sizes)
    print(format_report(report))
    write_json(arguments.json, report)


if __name__ == "__main__":
    main()
