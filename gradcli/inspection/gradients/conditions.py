"""Conditions that a healthy gradient does not meet, for scripts that stop at the first sign of trouble."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from gradcli.checkpoints.quoting import some_names
from gradcli.errors import CheckError
from gradcli.inspection.gradients.choices import Condition
from gradcli.inspection.gradients.collection import Gradients
from gradcli.kernels.statistics import statistics


@dataclass(frozen=True, kw_only=True)
class Thresholds:
    """Norms of a parameter's gradient: below `vanishing` it vanishes, above `exploding` it explodes.

    The defaults are those of the gradient audit of TorchLens.
    """

    vanishing: float = 1e-7
    exploding: float = 1e4


def failing_gradients(
    gradients: Gradients, conditions: Sequence[Condition], thresholds: Thresholds
) -> dict[Condition, list[str]]:
    """The names of the gradients that meet each of the conditions, in the model's order; an empty list if none does.

    `nonfinite`: NaN or infinity among the elements; `zero`: all elements are zero, or no gradient was computed;
    `vanishing`: a norm below the threshold, so that zero vanishes too; `exploding`: a norm above the threshold or none
    at all, as NaN is.
    """
    described = {name: statistics(array) for name, array in gradients.arrays.items()} if conditions else {}

    def meets(name: str, condition: Condition) -> bool:
        found = described[name]
        if condition == "nonfinite":
            return found.nonfinite > 0
        if condition == "zero":
            return found.zeros == gradients.arrays[name].size
        if condition == "vanishing":
            return found.norm < thresholds.vanishing
        return not found.norm <= thresholds.exploding

    return {
        condition: [name for name in described if meets(name, condition)]
        + (gradients.unreached if condition in ("zero", "vanishing") else [])
        for condition in conditions
    }


def check_gradients(
    failing: Mapping[Condition, Sequence[str]], thresholds: Thresholds, count: int, called: str = "gradients"
) -> None:
    """CheckError with the first names of each condition, unless every list is empty; `count` of them were looked at."""
    described = {
        "nonfinite": "have NaN or infinity",
        "zero": "are zero",
        "vanishing": f"have a norm below {thresholds.vanishing:g}",
        "exploding": f"have a norm above {thresholds.exploding:g}",
    }
    found = [
        f"{len(names)} of {count} {called} {described[condition]} ({condition}): {some_names(names)}"
        for condition, names in failing.items()
        if names
    ]
    if found:
        advice = "; `gradcli trace` finds where NaN or infinity begin" if failing.get("nonfinite") else ""
        raise CheckError(f"--fail-on: {'; '.join(found)}{advice}")
