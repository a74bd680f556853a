"""A run's settings as options by their long names, for a configuration file, and back."""

from __future__ import annotations

import types
from collections.abc import Mapping, Sequence
from dataclasses import asdict, fields
from typing import Any, Literal, Union, cast, get_args, get_origin, get_type_hints

from gradcli.errors import UsageError
from gradcli.training.finetuning.settings import FinetuneSettings
from gradcli.training.freezing import FreezeRule
from gradcli.training.optimizers import AdamWSettings, OptimizerSettings, SGDSettings
from gradcli.training.schedules import ScheduleName, ScheduleSettings

_OPTIMIZERS: dict[str, type[OptimizerSettings]] = {kind.name: kind for kind in (SGDSettings, AdamWSettings)}
# Fields that are options of another name or form.
_NOT_PLAIN = ("verify", "freeze", "optimizer", "schedule", "feature_cache")
# Options that a run may go on with other values of.
_MAY_CHANGE = {"data", "weights", "no-verify", "checkpoint-every", "no-feature-cache", "log-grads"}


def options_of(settings: FinetuneSettings) -> dict[str, Any]:
    """The options that give these settings, but for those of freezing, which depend on the model."""
    options: dict[str, Any] = {"data": settings.data, "weights": settings.weights}  # what a reader looks for first
    options |= {field.name: getattr(settings, field.name) for field in fields(settings) if field.name not in _NOT_PLAIN}
    schedule = asdict(settings.schedule)
    options |= {
        "no_verify": not settings.verify,
        "no_feature_cache": not settings.feature_cache,
        "optimizer": settings.optimizer.name,
        **asdict(settings.optimizer),
        "schedule": schedule.pop("name"),
        **schedule,
    }
    return {name.replace("_", "-"): value for name, value in options.items()}


def settings_of(options: Mapping[str, Any], source: str) -> FinetuneSettings:
    """The settings that the options of a configuration file give; options that are no part of them are passed over.

    UsageError names `source`, the file, where it lacks the data or an option is of the wrong kind.
    """
    given = {name.replace("-", "_"): value for name, value in options.items()}
    if "data" not in given:
        raise UsageError(f"{source}: says no data; expected the configuration of a run")
    optimizer = _OPTIMIZERS[_one_of(given, "optimizer", list(_OPTIMIZERS), source)]
    schedule: Any = _one_of(given, "schedule", get_args(ScheduleName), source)
    return FinetuneSettings(
        **_values(FinetuneSettings, given, source, leave_out=_NOT_PLAIN),
        verify=not given.get("no_verify", False),
        feature_cache=not given.get("no_feature_cache", False),
        freeze=_freeze_rules(given),
        optimizer=optimizer(**_values(optimizer, given, source)),
        schedule=ScheduleSettings(name=schedule, **_values(ScheduleSettings, given, source, leave_out=("name",))),
    )


def require_same_options(options: Mapping[str, Any], begun_with: Mapping[str, Any], source: str) -> None:
    """UsageError that names an option of `source` whose value is another than a run began with.

    Where data and weights lie, how often the run is saved, what is logged and whether features are kept changes no
    result.
    """
    for name in sorted({*options, *begun_with} - _MAY_CHANGE):
        now, before = (_as_in_toml(each.get(name)) for each in (options, begun_with))
        if now != before:
            raise UsageError(
                f"{source}: {name} is {_in_words(now)}, but the run began with {_in_words(before)}; put that back, "
                "or start a new run"
            )


def _as_in_toml(value: Any) -> Any:
    return list(value) if isinstance(value, tuple) else value


def _in_words(value: Any) -> str:
    return "not given" if value is None else repr(value)


def _one_of(given: Mapping[str, Any], name: str, choices: Sequence[str], source: str) -> str:
    """What is given by a name, the first of the choices if nothing is; UsageError for none of them."""
    chosen = given.get(name, choices[0])
    if chosen not in choices:
        raise UsageError(f"{source}: {name} = {chosen!r}: expected {' or '.join(choices)}")
    return str(chosen)


def _freeze_rules(given: Mapping[str, Any]) -> tuple[FreezeRule, ...]:
    """The rules in the order of the options."""
    rules: list[FreezeRule] = []
    for name, value in given.items():
        if name == "freeze_backbone" and value:
            rules.append(("freeze-backbone", ""))
        elif name in ("freeze", "unfreeze"):
            patterns = [value] if isinstance(value, str) else value
            rules += [(cast("Literal['freeze', 'unfreeze']", name), pattern) for pattern in patterns]
    return tuple(rules)


def _values(kind: type[Any], given: Mapping[str, Any], source: str, leave_out: tuple[str, ...] = ()) -> dict[str, Any]:
    """What is given of the fields of a dataclass, checked against their types."""
    hints = get_type_hints(kind)
    values = {}
    for field in fields(kind):
        if field.name in given and field.name not in leave_out:
            value = given[field.name]
            value = tuple(value) if isinstance(value, list) else value
            if not _fits(value, hints[field.name]):
                raise UsageError(f"{source}: {field.name.replace('_', '-')} = {value!r} is of the wrong kind")
            values[field.name] = value
    return values


def _fits(value: Any, hint: Any) -> bool:
    """Whether a value read from TOML is what the type hint says; whole numbers are floats too."""
    origin = get_origin(hint)
    if origin in (Union, types.UnionType):
        return any(_fits(value, each) for each in get_args(hint))
    if origin is Literal:
        return value in get_args(hint)
    if origin is tuple:
        parts = get_args(hint)
        if parts[-1] is Ellipsis:
            return isinstance(value, tuple) and all(_fits(part, parts[0]) for part in value)
        return isinstance(value, tuple) and len(value) == len(parts) and all(map(_fits, value, parts))
    if hint is float:
        return type(value) in (int, float)
    return type(value) is hint
