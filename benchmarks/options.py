"""Command-line options that the benchmarks share."""

from __future__ import annotations

import argparse
import json
import os
import shlex
import sys
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any


@dataclass(frozen=True)
class Size:
    """A batch of square images `side` pixels wide."""

    side: int
    batch: int

    def __str__(self) -> str:
        return f"{self.side}:{self.batch}"


def size(text: str) -> Size:
    """Read SIDE:BATCH."""
    side, _, batch = text.partition(":")
    if not all(part.isascii() and part.isdecimal() and int(part) >= 1 for part in (side, batch)):
        raise argparse.ArgumentTypeError(f"{text!r} is no SIDE:BATCH of two positive numbers, such as 64:8")
    return Size(int(side), int(batch))


def count(text: str) -> int:
    """Read a number that is at least one."""
    if not (text.isascii() and text.isdecimal() and int(text) >= 1):
        raise argparse.ArgumentTypeError(f"{text!r} is no number of at least 1")
    return int(text)


def file_path(text: str) -> Path:
    """Read the path of a file to write: found out before the measurement, not after it, that its folder is missing."""
    path = Path(text)
    if not path.parent.is_dir() or path.is_dir():
        raise argparse.ArgumentTypeError(f"{text!r} is no file in a folder that exists")
    return path


def parser_with_shared_options(
    description: str, rounds_option: str, rounds: int, threads: int | None = None
) -> argparse.ArgumentParser:
    """A parser with the options that all benchmarks have.

    `rounds` is the default of `rounds_option`, and `threads`, all CPUs where it is None, that of `--threads`.
    """
    parser = argparse.ArgumentParser(description=description.partition("\n")[0])
    parser.add_argument(
        rounds_option, type=count, default=rounds, metavar="N", help="measured rounds (default: %(default)s)"
    )
    parser.add_argument(
        "--threads",
        type=count,
        default=threads or os.cpu_count() or 1,
        metavar="N",
        help=f"compute threads of both (default: {threads or 'all CPUs'})",
    )
    parser.add_argument("--json", type=file_path, metavar="PATH", help="write every sample and the summary here too")
    parser.add_argument(
        "--pytorch-python",
        default=sys.executable,
        metavar="PYTHON",
        help="the Python that has PyTorch, NumPy and safetensors installed (default: this one)",
    )
    return parser


KERNELS = ("exact", "fast")


def add_kernels_option(parser: argparse.ArgumentParser, default: Sequence[str]) -> None:
    """`--kernels`, whose every value is a configuration of gradcli; `default` are those measured without it."""
    parser.add_argument(
        "--kernels",
        choices=KERNELS,
        nargs="+",
        default=list(default),
        help=f"gradcli's kernels, each a configuration of its own (default: {' '.join(default)})",
    )


def add_gradcli_command_option(parser: argparse.ArgumentParser) -> None:
    """`--gradcli-command`: how whole processes of gradcli are started.

    By default the `gradcli` script installed beside this Python, or the module where there is none.
    """
    script = Path(sys.executable).parent / "gradcli"
    parser.add_argument(
        "--gradcli-command",
        default=shlex.quote(str(script)) if script.exists() else shlex.join([sys.executable, "-m", "gradcli"]),
        metavar="COMMAND",
        help="how to start gradcli (default: %(default)s)",
    )


def add_sizes_option(parser: argparse.ArgumentParser, default: Sequence[Size]) -> None:
    """`--sizes`, each a batch that is measured; `default` are those measured without it."""
    parser.add_argument(
        "--sizes",
        type=size,
        nargs="+",
        default=list(default),
        metavar="SIDE:BATCH",
        help=f"default: {' '.join(map(str, default))}",
    )


def measure_and_report(
    description: str,
    rounds: int,
    measure: Callable[[str, int, int], dict[str, Any]],
    format_report: Callable[[dict[str, Any]], str],
) -> None:
    """A program with no options but the shared ones: it measures, prints the report and writes the JSON file.

    `measure` takes PyTorch's Python, the threads and the rounds, by default `rounds`.
    """
    arguments = parser_with_shared_options(description, "--rounds", rounds).parse_args()
    report = measure(arguments.pytorch_python, arguments.threads, arguments.rounds)
    print(format_report(report))
    write_json(arguments.json, report)


def write_json(path: Path | None, report: dict[str, Any]) -> None:
    """Write the report where `--json` asks for it."""
    if path is not None:
        path.write_text(json.dumps(report, indent=2) + "\n", encoding="utf-8")
