"""From measured turns to the report of training.py: times, ratios, GFLOP/s, memory, and their Markdown tables."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from machine import format_measurement
from training_workers import GRADCLI, Turn, median_and_minimum
from workers.training_case import TrainingCase

STATISTICS = ("median", "minimum")


def summarize_case(
    case: TrainingCase, turns: Mapping[str, Sequence[Turn]], multiply_adds: int, sgemm_gflops: float
) -> dict[str, Any]:
    """Everything about one case, JSON-ready. `multiply_adds` count one image; ratios are PyTorch / gradcli."""
    operations = 2 * multiply_adds * case.batch
    seconds = {name: median_and_minimum(own) for name, own in turns.items()}
    configurations = {}
    for name, own in turns.items():
        gflops = {statistic: operations / seconds[name][statistic] / 1e9 for statistic in STATISTICS}
        configurations[name] = {
            "seconds": seconds[name],
            "gflops": gflops,
            "share_of_sgemm": {statistic: gflops[statistic] / sgemm_gflops for statistic in STATISTICS},
            "time_over_gradcli": {
                statistic: seconds[name][statistic] / seconds[GRADCLI][statistic] for statistic in STATISTICS
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


def format_report(report: Mapping[str, Any]) -> str:
    """The report as Markdown for benchmarks/README.md: where it was measured, then one table for each mode."""
    sgemm = ", ".join(f"{library} {gflops:.0f}" for library, gflops in report["sgemm_gflops"].items())
    lines = [
        f"{format_measurement(report)}; {', '.join(report['libraries'])}; sgemm GFLOP/s: {sgemm}. "
        f"Median / minimum of {report['rounds']} rounds."
    ]
    for mode in dict.fromkeys(case["mode"] for case in report["cases"]):
        lines += [
            "",
            f"**{mode}**",
            "",
            "| image | batch | configuration | ms | time / gradcli's | GFLOP/s | of sgemm | peak MiB |",
            "|---|---:|---|---:|---:|---:|---:|---:|",
        ]
        for case in report["cases"]:
            if case["mode"] == mode:
                lines += [_table_row(case, name) for name in case["configurations"]]
    return "\n".join(lines)


def _table_row(case: Mapping[str, Any], name: str) -> str:
    row = case["configurations"][name]
    milliseconds = {statistic: 1000 * row["seconds"][statistic] for statistic in STATISTICS}
    cells = [
        f"{case['side']}x{case['side']}",
        str(case["batch"]),
        name,
        _both(milliseconds, ".1f"),
        "" if name == GRADCLI else _both(row["time_over_gradcli"], ".2f"),
        _both(row["gflops"], ".1f"),
        _both(row["share_of_sgemm"], ".0%"),
        f"{row['peak_rss_mib']:.0f}",
    ]
    return f"| {' | '.join(cells)} |"


def _both(values: Mapping[str, float], style: str) -> str:
    return " / ".join(f"{values[statistic]:{style}}" for statistic in STATISTICS)
