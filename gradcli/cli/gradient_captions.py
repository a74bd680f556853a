"""What stands below the tables of `gradcli grads`: the pass, what a norm is of, what the words of the table mean."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import TYPE_CHECKING

from gradcli.cli.tables import Column

if TYPE_CHECKING:
    from gradcli.inspection.gradients.collection import Gradients
    from gradcli.training.passes import Pass


def describe_gradients(run: Pass, gradients: Gradients) -> str:
    """Loss, gradient norm if parameters have one, and the pass; of how many parameters, unless they are all."""
    from gradcli.inspection.gradients.statistics import norm_of

    parts = [f"loss {gradients.loss:.6g}"]
    if gradients.parameters:
        count, total = len(gradients.parameters), sum(1 for _ in run.model.parameters())
        of_some = "" if count == total else f" ({count} of {total} parameters)"
        norm = norm_of([gradients.arrays[name] for name in gradients.parameters])
        parts.append(f"gradient norm {norm:.6g}{of_some}")
    return ", ".join([*parts, run.describe()])


def describe_images(run: Pass) -> str:
    """How many images a pass looked at, and whether they are random."""
    count = len(run.names)
    return f"{count}{' random' if run.settings.input is None else ''} image{'s' if count > 1 else ''}"


def explain_calls(labels: Iterable[str]) -> str:
    """A line of its own that says what `relu#1` means, with the first such name among the labels; empty without."""
    numbered = next((label for label in labels if "#" in label), None)
    if numbered is None:
        return ""
    module = numbered.partition("#")[0]
    return f"\n{module}#1 is the first call of {module} in a pass, {module}#2 the second"


def explain_update_ratio(lr: float) -> str:
    """A line of its own about what update ratios are healthy."""
    return f"\nupdate ratio: about 1e-3 per step of SGD is healthy (here with lr {lr:g})"


def name_hidden(hidden: Sequence[Column], names: Iterable[str]) -> str:
    """A line of its own about the parameters among the columns that the terminal has no room for; empty without."""
    parameters = list(names)
    count = sum(column.field in parameters for column in hidden)
    if not count:
        return ""
    return f"\n{count} of {len(parameters)} parameters not shown: --param chooses some, --json has all"
