"""Which options of `gradcli grads` go together: with each other, with a view, with a format."""

from __future__ import annotations

from collections.abc import Sequence

from gradcli.cli.formats import BINARY_FORMATS
from gradcli.cli.given_options import given_options
from gradcli.cli.gradient_options import StatisticsOptions, ViewOptions
from gradcli.cli.option_groups import PassOptions
from gradcli.cli.options import Loss
from gradcli.cli.output import Output
from gradcli.cli.ranking_options import RankingOptions
from gradcli.errors import UsageError

# Options of `grads` that make no sense in a view.
_REFUSED = {
    "--activations": ("--group-by", "--wrt-input"),
    "--saliency": ("--param", "--group-by", "--wrt-input"),
    "--per-sample": ("--group-by", "--histogram", "--values", "--wrt-input"),
    "--data": ("--group-by", "--histogram", "--values", "--wrt-input", "--fail-on"),
}


def check_combinations(
    destination: Output, statistics: StatisticsOptions, ranking: RankingOptions, *, why: bool, wrt_input: bool
) -> None:
    """UsageError for options that don't go with each other, with --why or with the format."""
    ordering = [option for option, given in (("--sort", ranking.sort), ("--top", ranking.top)) if given is not None]
    if statistics.values and destination.format in ("table", *BINARY_FORMATS):
        raise UsageError(f"--values goes with json, jsonl and csv, not with {destination.format}")
    if why:
        for option in (*statistics.given(), *(["--wrt-input"] if wrt_input else [])):
            raise UsageError(f"--why explains gradients of parameters instead of describing them; leave out {option}")
    if destination.format in BINARY_FORMATS:
        for option in (*statistics.given(), *ordering, *(["--why"] if why else [])):
            raise UsageError(f"{option} goes with table, json, jsonl and csv, not with {destination.format}")


def check_view(
    destination: Output, views: ViewOptions, options: PassOptions, given: Sequence[str], *, why: bool
) -> str | None:
    """The view that was asked for; UsageError for two, and for options and formats that don't go with it."""
    chosen = [*views.given(), *(["--why"] if why else [])]
    if len(chosen) > 1:
        raise UsageError(f"{chosen[0]} and {chosen[1]} show different things; leave out one of them")
    view = chosen[0] if chosen else None
    if destination.format == "png" and view != "--saliency":
        raise UsageError("--format png is a picture of the saliency; add --saliency")
    for option in given:
        if view is not None and option in _REFUSED.get(view, ()):
            raise UsageError(f"{option} does not go with {view}; leave out one of them")
    if view in ("--per-sample", "--data") and destination.format in BINARY_FORMATS:
        raise UsageError(f"{view} goes with table, json, jsonl and csv, not with {destination.format}")
    if view == "--data":
        chosen_options = dict(given_options(options.context))
        for name in ("input", "shape", "target"):
            if name in chosen_options:
                raise UsageError(f"--{name} does not go with --data, which has images and labels; leave it out")
        if "loss" in chosen_options and options.loss is not Loss.CROSS_ENTROPY:
            raise UsageError(
                f"--loss {options.loss.value} takes no labels; with --data the loss is cross-entropy, leave it out"
            )
    return view
