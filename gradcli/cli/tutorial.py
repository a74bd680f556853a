"""`gradcli tutorial`: PyTorch's introduction to autograd, run on gradcli, each derivative beside its formula."""

from __future__ import annotations

import dataclasses
import logging
from collections.abc import Iterator, Sequence
from enum import StrEnum
from typing import TYPE_CHECKING, Annotated, Any, Literal, get_args

import typer

from gradcli.cli.option_groups import OutputOptions
from gradcli.cli.options import FORMAT, SeedOption, WeightsOption
from gradcli.cli.plain_values import without_control_characters
from gradcli.cli.tables import Column
from gradcli.models.weights_source import DEFAULT_WEIGHTS, weights_name

if TYPE_CHECKING:
    from gradcli.inspection.tutorial.cells import ComparedFormula, SectionResult

logger = logging.getLogger(__name__)

TutorialFormat = Literal["text", "json", "table", "csv"]


class SectionName(StrEnum):
    """The workflow's names, written down again: its modules import NumPy, which a help page does without."""

    TRAINING_STEP = "training-step"
    DIFFERENTIATION = "differentiation"
    VECTOR_JACOBIAN = "vector-jacobian"
    GRAPH = "graph"
    REQUIRES_GRAD = "requires-grad"
    FROZEN = "frozen"
    ONE_LAYER = "one-layer"


COLUMNS = [
    Column("section", optional=3),
    Column("code", "value"),
    Column("text", "formula"),
    Column("formula", "as code", optional=4),
    Column("shape", optional=1),
    Column("norm", format=".6g"),
    Column("formula_norm", "formula's norm", ".6g"),
    Column("relative", format=".2g", optional=2),
    Column("ok"),
]


def tutorial(
    output: OutputOptions,
    section: Annotated[
        list[SectionName] | None,
        typer.Option(
            "--section",
            metavar="NAME",
            help=f"Run this section only; repeatable: {', '.join(SectionName)}.",
            show_default=False,
        ),
    ] = None,
    weights: WeightsOption = DEFAULT_WEIGHTS,
    seed: SeedOption = 0,
    format: Annotated[TutorialFormat | None, FORMAT] = None,
) -> None:
    """PyTorch's introduction to autograd: formulas and numbers side by side.

    The lines shown are those that run. Every number is computed, every formula too, as code of its own; exit code 6
    says that the two disagree somewhere. table and csv have the comparisons alone.

    \b
    gradcli tutorial
    gradcli tutorial --section differentiation --section vector-jacobian
    gradcli tutorial -w imagenet1k-v1 --json | jq .ok
    """
    destination = output.resolve(format, get_args(TutorialFormat))
    from gradcli.inspection.tutorial.cells import require_agreement, run_section
    from gradcli.inspection.tutorial.sections import SECTIONS

    weights = weights_name(weights)
    chosen = [each for each in SECTIONS if not section or each.name in section]
    results = [run_section(each, weights=weights, seed=seed) for each in chosen]
    records = [
        {"section": result.name, **dataclasses.asdict(check)}
        for result in results
        for cell in result.cells
        for check in cell.checks
    ]
    agreeing = sum(record["ok"] for record in records)
    if destination.format == "text":
        destination.write_text("\n".join(_section_lines(results)) + "\n")
    else:
        destination.write_records(
            results if destination.format == "json" else records,
            COLUMNS,
            document={"weights": weights, "seed": seed, "ok": agreeing == len(records)},
            records_field="sections",
        )
    logger.info("%d of %d values are what their formulas give; weights %s", agreeing, len(records), weights)
    require_agreement(results)


def _section_lines(results: Sequence[SectionResult]) -> Iterator[str]:
    for number, result in enumerate(results):
        if number:
            yield ""
        title = f"{result.title} ({result.name})"
        yield from (title, "-" * len(title))
        for cell in result.cells:
            yield ""
            yield from (f"{'... ' if line.startswith(' ') else '>>> '}{_plain(line)}" for line in cell.code)
            for expression, shown in cell.shown.items():
                yield from (f">>> {expression}", _plain(shown))
            for check in cell.checks:
                yield from _check_lines(check)


def _check_lines(check: ComparedFormula) -> Iterator[str]:
    width = max(len(check.code), len("formula"))
    verdict = "ok" if check.ok else f"FAILED, relative difference {check.relative:.3g}"
    yield f"    {check.code:<{width}}  {_number_text(check.value, check.shape, check.norm)}"
    yield f"    {'formula':<{width}}  {_number_text(check.formula_value, check.shape, check.formula_norm)}" + (
        f"  {check.text}  [{verdict}]"
    )


def _number_text(value: Any, shape: tuple[int, ...], norm: float) -> str:
    if value is None:
        return f"{'x'.join(map(str, shape))} numbers, norm {norm:.6g}"
    if isinstance(value, list):
        return f"[{', '.join(_number_text(each, (), norm) for each in value)}]"
    return f"{value:.6g}"


def _plain(text: str) -> str:
    return without_control_characters(text, keep_lines=True)
