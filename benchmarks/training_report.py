"""From measured turns to the report of training.py: times, ratios, GFLOP/s, memory, and their Markdown tables."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from machine import format_measurement
from training_workers import PYTORCH, Turn, gradcli_configuration, kernels_of, median_and_minimum
from workers.training_case import TrainingCase

STATISTICS = ("median", "minimum")
SPEED_GOALS = {"64:1": 0.95, "64:8": 1.0, "64:32": 1.0, "64:128": 1.0, "224:1": 0.95, "224:8": 1.0}
"""By SIDE:BATCH: PyTorch's time for a step, default layout, divided by that of gradcli's fast kernels."""


def summarize_case(
    case: TrainingCase, turns: Mapping[str, Sequence[Turn]], multiply_adds: int, sgemm_gflops: float
) -> dict[str, Any]:
    """Everything about one case, JSON-ready. `multiply_adds` count one image.

    `time_over` holds each configuration's time divided by that of each of gradcli's, by its kernels.
    """
    operations = 2 * multiply_adds * case.batch
    seconds = {name: median_and_minimum(own) for name, own in turns.items()}
    own_kernels = {kernels: name for name in turns if (kernels := kernels_of(name)) is not None}
    configurations = {}
    for name, own in turns.items():
        gflops = {statistic: operations / seconds[name][statistic] / 1e9 for statistic in STATISTICS}
        configurations[name] = {
            "seconds": seconds[name],
            "gflops": gflops,
            "share_of_sgemm": {statistic: gflops[statistic] / sgemm_gflops for statistic in STATISTICS},
            "time_over": {
                kernels: {statistic: seconds[name][statistic] / seconds[gradcli][statistic] for statistic in STATISTICS}
                for kernels, gradcli in own_kernels.items()
            },
            "peak_rss_mib": own[-1].peak_rss_mib,
            "samples": [turn.seconds for turn in own],
        }
    return {
        "mode": case.mode,
        "side": case.side,
        "batch": case.batch,
        "gflop": operations / 1e9,
        "configurations": configurations,
    }


def goals_met(cases: Sequence[Mapping[str, Any]]) -> dict[str, bool]:
    """What `fast` is to reach beside PyTorch's default layout: the step's time in the sizes of SPEED_GOALS, the time of
    passes that record nothing, and memory. Cases without `fast` have no goal.
    """
    met = {}
    for case in cases:
        own, pytorch = (case["configurations"].get(name) for name in (gradcli_configuration("fast"), PYTORCH))
        if own is None or pytorch is None:
            continue
        mode, size = case["mode"], f"{case['side']}:{case['batch']}"
        speed = SPEED_GOALS.get(size) if mode == "step" else 1.0 if mode in ("eval", "features") else None
        if speed is not None:
            reached = pytorch["time_over"]["fast"]["median"] >= speed
            met[f"{mode} {size}: at least {speed:g} of PyTorch's speed"] = reached
        if mode == "step":
            met[f"{mode} {size}: at most PyTorch's memory"] = own["peak_rss_mib"] <= pytorch["peak_rss_mib"]
    return met


def format_report(report: Mapping[str, Any]) -> str:
    """The report as Markdown for benchmarks/README.md: where it was measured, one table for each mode, the goals."""
    sgemm = ", ".join(f"{library} {gflops:.0f}" for library, gflops in report["sgemm_gflops"].items())
    lines = [
        f"{format_measurement(report)}; {', '.join(report['libraries'])}; sgemm GFLOP/s: {sgemm}. "
        f"Median / minimum of {report['rounds']} rounds."
    ]
    for mode in dict.fromkeys(case["mode"] for case in report["cases"]):
        first_row = next(iter(report["cases"][0]["configurations"].values()))
        ratios = [f"time / {kernels}" for kernels in first_row["time_over"]]
        heading = ["image", "batch", "configuration", "ms", *ratios, "GFLOP/s", "of sgemm", "peak MiB"]
        lines += [
            "",
            f"**{mode}**",
            "",
            f"| {' | '.join(heading)} |",
            f"|---|---:|---|{'---:|' * (len(heading) - 3)}",
        ]
        for case in report["cases"]:
            if case["mode"] == mode:
                lines += [_table_row(case, name) for name in case["configurations"]]
    lines += ["", *(f"- {goal}: {'met' if met else 'missed'}" for goal, met in report["goals_met"].items())]
    return "\n".join(lines)


def _table_row(case: Mapping[str, Any], name: str) -> str:
    row = case["configurations"][name]
    milliseconds = {statistic: 1000 * row["seconds"][statistic] for statistic in STATISTICS}
    cells = [
        f"{case['side']}x{case['side']}",
        str(case["batch"]),
        name,
        _both(milliseconds, ".1f"),
        *("" if kernels == kernels_of(name) else _both(ratio, ".2f") for kernels, ratio in row["time_over"].items()),
        _both(row["gflops"], ".1f"),
        _both(row["share_of_sgemm"], ".0%"),
        f"{row['peak_rss_mib']:.0f}",
    ]
    return f"| {' | '.join(cells)} |"


def _both(values: Mapping[str, float], style: str) -> str:
    return " / ".join(f"{values[statistic]:{style}}" for statistic in STATISTICS)
